/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the configuration entries of protocol.h. The daemon and stoker-image wrote them, the
 * image's in the words of a stranger: lengths are checked here once more, texts are only carried.
 */
#include "guest-init/config.h"

#include <endian.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum entry_kind {
	ENTRY_TEXT,
	ENTRY_LIST,
	ENTRY_ENVIRONMENT,
	ENTRY_FLAG,
	ENTRY_MAC,
	ENTRY_KEY,
	ENTRY_FILE
};

enum {
	IMAGE = CONFIG_FROM_IMAGE,
	BOTH = CONFIG_FROM_IMAGE | CONFIG_FROM_MANIFEST,
	MANIFEST = CONFIG_FROM_MANIFEST,
	BASE = CONFIG_FROM_BASE,
	SESSION = CONFIG_FROM_HOST, /* FRAME_EXEC */
	LIST_MAX = 65536,
};

#define FIELD(member) offsetof(struct config, member)

static const struct grammar {
	enum config_tag tag;
	enum entry_kind kind;
	size_t offset;
	unsigned files; /* where it may stand */
} grammar[] = {
	{ CONFIG_ENTRYPOINT, ENTRY_LIST, FIELD(entrypoint), BOTH },
	{ CONFIG_COMMAND, ENTRY_LIST, FIELD(command), BOTH | SESSION },
	{ CONFIG_ENVIRONMENT, ENTRY_ENVIRONMENT, FIELD(environment), BOTH | SESSION },
	{ CONFIG_USER, ENTRY_TEXT, FIELD(user), BOTH | SESSION },
	{ CONFIG_WORKING_DIR, ENTRY_TEXT, FIELD(working_dir), BOTH | SESSION },
	{ CONFIG_STOP_SIGNAL, ENTRY_TEXT, FIELD(stop_signal), BOTH },
	{ CONFIG_VOLUME_PATH, ENTRY_LIST, FIELD(volume_paths), IMAGE },
	{ CONFIG_HAS_ENTRYPOINT, ENTRY_FLAG, FIELD(has_entrypoint), MANIFEST },
	{ CONFIG_HAS_COMMAND, ENTRY_FLAG, FIELD(has_command), MANIFEST },
	{ CONFIG_HOSTNAME, ENTRY_TEXT, FIELD(hostname), MANIFEST },
	{ CONFIG_ADDRESS, ENTRY_LIST, FIELD(addresses), MANIFEST },
	{ CONFIG_GATEWAY, ENTRY_LIST, FIELD(gateways), MANIFEST },
	{ CONFIG_GATEWAY_MAC, ENTRY_MAC, FIELD(gateway_mac), MANIFEST },
	{ CONFIG_HOSTS, ENTRY_LIST, FIELD(hosts), MANIFEST },
	{ CONFIG_PEERS, ENTRY_TEXT, FIELD(peers), MANIFEST },
	{ CONFIG_DNS, ENTRY_LIST, FIELD(dns), MANIFEST },
	{ CONFIG_TMPFS, ENTRY_LIST, FIELD(tmpfs), MANIFEST },
	{ CONFIG_FILE, ENTRY_FILE, FIELD(files), MANIFEST },
	{ CONFIG_SECRET, ENTRY_FILE, FIELD(files), MANIFEST },
	{ CONFIG_ULIMIT, ENTRY_LIST, FIELD(ulimits), MANIFEST },
	{ CONFIG_SYSCTL, ENTRY_LIST, FIELD(sysctls), MANIFEST },
	{ CONFIG_VOLUME, ENTRY_LIST, FIELD(volumes), MANIFEST },
	{ CONFIG_DISK, ENTRY_LIST, FIELD(disks), MANIFEST },
	{ CONFIG_CHANNEL_KEY, ENTRY_KEY, FIELD(channel_key), MANIFEST },
	{ CONFIG_VERITY, ENTRY_TEXT, FIELD(verity), IMAGE },
	{ CONFIG_VERIFY, ENTRY_FLAG, FIELD(verify), MANIFEST },
	{ CONFIG_READ_ONLY, ENTRY_FLAG, FIELD(read_only), MANIFEST },
	{ CONFIG_MODULE, ENTRY_LIST, FIELD(modules), BASE },
};

static void *must(void *allocated)
{
	if (!allocated)
		abort(); /* the kernel's panic message is the best that is left to say */
	return allocated;
}

static void list_add(struct list *list, char *text)
{
	list->items = must(realloc(list->items, (list->count + 2) * sizeof(*list->items)));
	list->items[list->count++] = text;
	list->items[list->count] = NULL;
}

static void list_reset(struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct list){ 0 };
}

static const char *file_name(enum config_file file)
{
	switch (file) {
	case CONFIG_FROM_IMAGE:
		return "image record";
	case CONFIG_FROM_MANIFEST:
		return "configuration";
	case CONFIG_FROM_BASE:
		return "module list";
	case CONFIG_FROM_HOST:
		return "session";
	}
	return "?";
}

static int store_text(const struct grammar *row, const char *bytes, size_t length,
		      enum config_file file, struct config *config, struct failure *why)
{
	char *place = (char *)config + row->offset;
	char *text;

	if (memchr(bytes, '\0', length))
		return failure_set(why, "%s: entry %d has a NUL in its text", file_name(file),
				   row->tag);
	text = must(strndup(bytes, length));
	if (row->kind == ENTRY_TEXT) {
		free(*(char **)place);
		*(char **)place = text;
		return 0;
	}
	if (((struct list *)place)->count >= LIST_MAX) {
		free(text);
		return failure_set(why, "%s: more than %d entries %d", file_name(file), LIST_MAX,
				   row->tag);
	}
	if (row->kind == ENTRY_LIST) {
		list_add((struct list *)place, text);
		return 0;
	}
	if (!strchr(text, '=') || *text == '=') {
		failure_set(why, "%s: environment entry '%.60s' is not KEY=value", file_name(file),
			    text);
		free(text);
		return -1;
	}
	config_set_environment((struct list *)place, text);
	free(text);
	return 0;
}

static int store_file(const struct grammar *row, const char *bytes, size_t length,
		      enum config_file file, struct config *config, struct failure *why)
{
	struct file_list *list = (struct file_list *)((char *)config + row->offset);
	struct config_file_entry head;
	struct config_file_item *item;
	size_t path_length, user_length;

	if (length < sizeof(head))
		return failure_set(why, "%s: entry %d is cut short", file_name(file), row->tag);
	memcpy(&head, bytes, sizeof(head));
	bytes += sizeof(head);
	length -= sizeof(head);
	path_length = le16toh(head.path_length);
	user_length = le16toh(head.user_length);
	if (!path_length || path_length + user_length > length ||
	    memchr(bytes, '\0', path_length + user_length) || le32toh(head.mode) > 0777)
		return failure_set(why, "%s: entry %d does not describe a file", file_name(file),
				   row->tag);
	list->items = must(realloc(list->items, (list->count + 1) * sizeof(*list->items)));
	item = &list->items[list->count++];
	item->path = must(strndup(bytes, path_length));
	item->user = must(strndup(bytes + path_length, user_length));
	item->length = length - path_length - user_length;
	item->content = must(malloc(item->length + 1));
	memcpy(item->content, bytes + path_length + user_length, item->length);
	item->mode = le32toh(head.mode);
	item->is_secret = row->tag == CONFIG_SECRET;
	return 0;
}

static int store(uint32_t tag, const char *bytes, size_t length, enum config_file file,
		 struct config *config, struct failure *why)
{
	const struct grammar *row = NULL;

	for (size_t i = 0; i < sizeof(grammar) / sizeof(*grammar); i++)
		if ((uint32_t)grammar[i].tag == tag)
			row = &grammar[i];
	if (!row || !(row->files & file))
		return failure_set(why, "%s: entry %u does not belong here", file_name(file), tag);
	switch (row->kind) {
	case ENTRY_FLAG:
		if (length)
			return failure_set(why, "%s: entry %u is not empty", file_name(file), tag);
		*(bool *)((char *)config + row->offset) = true;
		return 0;
	case ENTRY_MAC:
		if (length != sizeof(config->gateway_mac))
			return failure_set(why, "%s: gateway address has %zu bytes",
					   file_name(file), length);
		memcpy(config->gateway_mac, bytes, length);
		config->has_gateway_mac = true;
		return 0;
	case ENTRY_KEY:
		if (length != sizeof(config->channel_key))
			return failure_set(why, "%s: the channel's key has %zu bytes",
					   file_name(file), length);
		memcpy(config->channel_key, bytes, length);
		return 0;
	case ENTRY_FILE:
		return store_file(row, bytes, length, file, config, why);
	case ENTRY_TEXT:
	case ENTRY_LIST:
	case ENTRY_ENVIRONMENT:
		return store_text(row, bytes, length, file, config, why);
	}
	return failure_set(why, "%s: entry %u has no kind", file_name(file), tag);
}

int config_parse(const void *bytes, size_t length, enum config_file file, struct config *config,
		 struct failure *why)
{
	const char *at = bytes, *end = at + length;

	while (at < end) {
		struct config_entry entry;
		size_t size;

		if ((size_t)(end - at) < sizeof(entry))
			return failure_set(why, "%s: cut short", file_name(file));
		memcpy(&entry, at, sizeof(entry));
		at += sizeof(entry);
		size = le32toh(entry.length);
		if (size > CONFIG_ENTRY_MAX)
			return failure_set(why, "%s: entry %u has %zu bytes (at most %d)",
					   file_name(file), le32toh(entry.tag), size,
					   CONFIG_ENTRY_MAX);
		if (size > (size_t)(end - at))
			return failure_set(why, "%s: cut short", file_name(file));
		if (store(le32toh(entry.tag), at, size, file, config, why) < 0)
			return -1;
		at += size;
	}
	return 0;
}

/* --- the environment ------------------------------------------------------------------------ */

static char **find_key(const struct list *environment, const char *key, size_t length)
{
	for (size_t i = 0; i < environment->count; i++) {
		char *entry = environment->items[i];

		if (!strncmp(entry, key, length) && entry[length] == '=')
			return &environment->items[i];
	}
	return NULL;
}

void config_set_environment(struct list *environment, const char *entry)
{
	char **old = find_key(environment, entry, strcspn(entry, "="));
	char *copy = must(strdup(entry));

	if (!old) {
		list_add(environment, copy);
		return;
	}
	free(*old);
	*old = copy;
}

const char *config_environment(const struct list *environment, const char *key)
{
	char **entry = find_key(environment, key, strlen(key));

	return entry ? *entry + strlen(key) + 1 : NULL;
}

/* --- merging -------------------------------------------------------------------------------- */

static void take_list(struct list *to, struct list *from)
{
	list_reset(to);
	*to = *from;
	*from = (struct list){ 0 };
}

static void take_text(char **to, char **from)
{
	if (*to && **to)
		return;
	free(*to);
	*to = *from;
	*from = NULL;
}

void config_merge(struct config *config, struct config *image)
{
	struct list environment = { 0 };

	if (!config->has_command && !config->has_entrypoint)
		take_list(&config->command, &image->command);
	if (!config->has_entrypoint)
		take_list(&config->entrypoint, &image->entrypoint);

	take_list(&environment, &image->environment);
	for (size_t i = 0; i < config->environment.count; i++)
		config_set_environment(&environment, config->environment.items[i]);
	take_list(&config->environment, &environment);

	take_list(&config->volume_paths, &image->volume_paths);
	take_text(&config->user, &image->user);
	take_text(&config->working_dir, &image->working_dir);
	take_text(&config->stop_signal, &image->stop_signal);
	take_text(&config->verity, &image->verity);
}

void config_forget_files(struct config *config)
{
	for (size_t i = 0; i < config->files.count; i++) {
		struct config_file_item *item = &config->files.items[i];

		explicit_bzero(item->content, item->length);
		free(item->content);
		free(item->path);
		free(item->user);
	}
	free(config->files.items);
	config->files = (struct file_list){ 0 };
}

void config_reset(struct config *config)
{
	config_forget_files(config);
	for (size_t i = 0; i < sizeof(grammar) / sizeof(*grammar); i++) {
		char *place = (char *)config + grammar[i].offset;

		if (grammar[i].kind == ENTRY_TEXT)
			free(*(char **)place);
		else if (grammar[i].kind == ENTRY_LIST || grammar[i].kind == ENTRY_ENVIRONMENT)
			list_reset((struct list *)place);
	}
	*config = (struct config){ 0 };
}

/* --- signals -------------------------------------------------------------------------------- */

/* Numbers of real-time signals as images mean them: the kernel's, not a C library's. */
enum { RT_FIRST = 34, RT_LAST = 64 };

static int parse_number(const char *text, int low, int high)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < low || value > high)
		return 0;
	return (int)value;
}

static int parse_realtime(const char *name)
{
	bool up = !strncmp(name, "RTMIN", 5);
	int offset;

	if (!up && strncmp(name, "RTMAX", 5) != 0)
		return 0;
	if (!name[5])
		return up ? RT_FIRST : RT_LAST;
	if (name[5] != (up ? '+' : '-'))
		return 0;
	offset = parse_number(name + 6, 1, RT_LAST - RT_FIRST);
	if (!offset)
		return 0;
	return up ? RT_FIRST + offset : RT_LAST - offset;
}

int config_signal(const char *text)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {
		{ "HUP", SIGHUP },	 { "INT", SIGINT },   { "QUIT", SIGQUIT },
		{ "ILL", SIGILL },	 { "TRAP", SIGTRAP }, { "ABRT", SIGABRT },
		{ "BUS", SIGBUS },	 { "FPE", SIGFPE },   { "KILL", SIGKILL },
		{ "USR1", SIGUSR1 },	 { "SEGV", SIGSEGV }, { "USR2", SIGUSR2 },
		{ "PIPE", SIGPIPE },	 { "ALRM", SIGALRM }, { "TERM", SIGTERM },
		{ "CHLD", SIGCHLD },	 { "CONT", SIGCONT }, { "STOP", SIGSTOP },
		{ "TSTP", SIGTSTP },	 { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU },
		{ "URG", SIGURG },	 { "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
		{ "VTALRM", SIGVTALRM }, { "PROF", SIGPROF }, { "WINCH", SIGWINCH },
		{ "IO", SIGIO },	 { "PWR", SIGPWR },   { "SYS", SIGSYS },
	};
	const char *name = strncmp(text, "SIG", 3) ? text : text + 3;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(names[i].name, name))
			return names[i].number;
	if (*name == 'R')
		return parse_realtime(name);
	return name == text ? parse_number(text, 1, RT_LAST) : 0;
}
