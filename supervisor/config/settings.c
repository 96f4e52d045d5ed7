/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stoker.ini -> struct settings; inih's only home. Called by the daemon and by stokerctl before
 * anything else. inih hands out neither lines nor columns, and passes over lines that it does not
 * understand: the reader that feeds it line by line knows where it is, and checks that each line
 * was understood. The format is described in stoker.ini(5).
 */
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "config/problems.h"
#include "config/scalar.h"
#include "model/check.h"

enum setting_type {
	SETTING_PATH,	    /* char *: absolute */
	SETTING_KERNEL,	    /* char *: "auto" or absolute */
	SETTING_CGROUP,	    /* char *: "auto", "none" or absolute */
	SETTING_VMM,	    /* char * */
	SETTING_LEVEL,	    /* int */
	SETTING_BOOL,	    /* bool: yes or no */
	SETTING_U32,	    /* uint32_t, also uid_t */
	SETTING_SIZE,	    /* uint64_t, bytes */
	SETTING_DURATION,   /* uint64_t, ms */
	SETTING_REGISTRIES, /* struct strv */
	SETTING_CHECKS,	    /* uint64_t, a set of enum check */
};

struct setting {
	const char *section, *key;
	enum setting_type type;
	size_t offset;
	uint64_t min, max;
};

#define AT(member) offsetof(struct settings, member)

static const struct setting table[] = {
	{ "paths", "fleet_dir", SETTING_PATH, AT(fleet_dir) },
	{ "paths", "state_dir", SETTING_PATH, AT(state_dir) },
	{ "paths", "run_dir", SETTING_PATH, AT(run_dir) },
	{ "paths", "log_dir", SETTING_PATH, AT(log_dir) },
	{ "paths", "bpf_dir", SETTING_PATH, AT(bpf_dir) },
	{ "paths", "libexec_dir", SETTING_PATH, AT(libexec_dir) },
	{ "daemon", "log_level", SETTING_LEVEL, AT(log_level) },
	{ "daemon", "uid_base", SETTING_U32, AT(uid_base), 1000, 4000000000 },
	{ "daemon", "uid_count", SETTING_U32, AT(uid_count), 16, 1000000 },
	{ "host", "require", SETTING_CHECKS, AT(required_checks) },
	{ "image", "insecure_registries", SETTING_REGISTRIES, AT(insecure_registries) },
	{ "image", "retries", SETTING_U32, AT(fetch_retries), 0, 100 },
	{ "image", "jobs", SETTING_U32, AT(jobs), 0, 256 },
	{ "vm", "vmm", SETTING_VMM, AT(default_vmm) },
	{ "vm", "kernel", SETTING_KERNEL, AT(default_kernel) },
	{ "vm", "qemu", SETTING_PATH, AT(qemu_path) },
	{ "vm", "firecracker", SETTING_PATH, AT(firecracker_path) },
	{ "vm", "jailer", SETTING_PATH, AT(jailer_path) },
	{ "vm", "jail", SETTING_BOOL, AT(jail) },
	{ "vm", "boot_timeout", SETTING_DURATION, AT(boot_timeout_ms), 1000, 3600000 },
	{ "vm", "guest_timeout", SETTING_DURATION, AT(guest_timeout_ms), 3000, 3600000 },
	{ "vm", "restart_delay_min", SETTING_DURATION, AT(restart_min_ms), 1, 3600000 },
	{ "vm", "restart_delay_max", SETTING_DURATION, AT(restart_max_ms), 1, 86400000 },
	{ "vm", "restart_reset_after", SETTING_DURATION, AT(restart_reset_ms), 1, 86400000 },
	{ "cgroup", "parent", SETTING_CGROUP, AT(cgroup_parent) },
	{ "log", "file_size", SETTING_SIZE, AT(log_file_bytes), 64 << 10, UINT64_C(1) << 40 },
	{ "log", "files", SETTING_U32, AT(log_files), 1, 100 },
	{ "log", "rate", SETTING_SIZE, AT(log_rate_bytes), 1 << 10, UINT64_C(1) << 40 },
};

enum { SETTINGS = sizeof(table) / sizeof(*table) };

struct reading {
	struct settings settings;
	struct report *report;
	const struct source *source;
	const char *next; /* what is not read yet */
	const char *line; /* the current line, as it stands in the file */
	size_t line_length;
	uint32_t line_number;
	bool is_understood;	    /* the current line holds nothing that inih could pass over */
	struct mark seen[SETTINGS]; /* of each key's value; source NULL: not set */
};

static struct mark mark_at(const struct reading *reading, size_t offset)
{
	return (struct mark){ .source = reading->source,
			      .line = reading->line_number,
			      .column = (uint32_t)offset + 1 };
}

static size_t skip_blanks(const struct reading *reading, size_t at)
{
	while (at < reading->line_length && isspace((unsigned char)reading->line[at]))
		at++;
	return at;
}

/* Where the value begins: behind the first '=' or ':', as inih sees it. */
static size_t value_offset(const struct reading *reading)
{
	size_t at = 0;

	while (at < reading->line_length && reading->line[at] != '=' && reading->line[at] != ':')
		at++;
	return skip_blanks(reading, at < reading->line_length ? at + 1 : at);
}

/* The names of sections, or of the keys of one section, for a suggestion. */
static const char *nearest(const char *text, const char *section)
{
	const char *words[SETTINGS + 1];
	size_t count = 0;

	for (size_t i = 0; i < SETTINGS; i++)
		if (!section || strcmp(table[i].section, section) == 0)
			words[count++] = section ? table[i].key : table[i].section;
	words[count] = NULL;
	return scalar_nearest(text, words);
}

static bool is_section(const char *name)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (strcmp(table[i].section, name) == 0)
			return true;
	return false;
}

static void check_section(struct reading *reading, size_t at)
{
	const char *open = reading->line + at;
	const char *close = memchr(open, ']', reading->line_length - at);
	_cleanup_free_ char *name = NULL;
	size_t rest;

	if (!close) {
		report_add(reading->report, mark_at(reading, at), "a section without ']'");
		return;
	}
	name = xstrndup(open + 1, (size_t)(close - open) - 1);
	if (!is_section(name) && nearest(name, NULL))
		report_add(reading->report, mark_at(reading, at + 1),
			   "unknown section '%s' (did you mean '%s'?)", name, nearest(name, NULL));
	else if (!is_section(name))
		report_add(reading->report, mark_at(reading, at + 1),
			   "unknown section '%s' (see stoker.ini(5))", name);
	rest = skip_blanks(reading, (size_t)(close - reading->line) + 1);
	if (rest < reading->line_length && !strchr(";#", reading->line[rest]))
		report_add(reading->report, mark_at(reading, rest), "text behind a section's name");
}

/* What inih would say nothing about. */
static void check_last_line(struct reading *reading)
{
	if (!reading->is_understood)
		report_add(reading->report, mark_at(reading, skip_blanks(reading, 0)),
			   "neither a section nor a setting (key = value)");
	reading->is_understood = true;
}

/* inih's fgets: one line, without leading blanks, which would make it continue the line before. */
static char *read_line(char *text, int size, void *stream)
{
	struct reading *reading = stream;
	size_t start;

	check_last_line(reading);
	if (!*reading->next)
		return NULL;
	reading->line = reading->next;
	reading->line_length = strcspn(reading->line, "\n");
	reading->next += reading->line_length + (reading->next[reading->line_length] == '\n');
	reading->line_number++;
	start = skip_blanks(reading, 0);
	text[0] = '\0';
	if (start == reading->line_length || strchr(";#", reading->line[start]))
		return text;
	if (reading->line[start] == '[')
		check_section(reading, start);
	else
		reading->is_understood = false;
	if (reading->line_length - start + 3 > (size_t)size) {
		report_add(reading->report, mark_at(reading, start),
			   "the line is longer than %d bytes", size - 3);
		reading->is_understood = true;
		return text;
	}
	memcpy(text, reading->line + start, reading->line_length - start);
	text[reading->line_length - start] = '\0';
	return text;
}

static int set_level(const char *value, int *ret, struct error *err)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = { { "error", LOG_LEVEL_ERROR },
		       { "warning", LOG_LEVEL_WARNING },
		       { "info", LOG_LEVEL_INFO },
		       { "debug", LOG_LEVEL_DEBUG } };

	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
		if (strcmp(levels[i].name, value) == 0) {
			*ret = levels[i].level;
			return 0;
		}
	return error_set(err, "'%s' is not a level (error, warning, info or debug)", value);
}

static int set_bool(const char *value, bool *ret, struct error *err)
{
	bool is_yes = strcmp(value, "yes") == 0;

	if (!is_yes && strcmp(value, "no") != 0)
		return error_set(err, "'%s' is neither yes nor no", value);
	*ret = is_yes;
	return 0;
}

static int set_registries(const char *value, struct strv *ret, struct error *err)
{
	_cleanup_strv_ struct strv words = { 0 };

	if (scalar_words(value, &words, err) < 0)
		return -1;
	STRV_EACH (word, &words)
		if (scalar_registry(word, err) < 0)
			return -1;
	strv_copy(ret, &words);
	return 0;
}

static int add_check(const char *name, uint64_t *set, struct error *err)
{
	const char *near = scalar_nearest(name, check_names);

	for (enum check check = 0; check < CHECK_COUNT; check++)
		if (strcmp(check_names[check], name) == 0) {
			*set |= CHECK_BIT(check);
			return 0;
		}
	if (near)
		return error_set(err, "'%s' is not a check (did you mean '%s'?)", name, near);
	return error_set(err, "'%s' is not a check (see stokerctl doctor)", name);
}

static int set_checks(const char *value, uint64_t *ret, struct error *err)
{
	_cleanup_strv_ struct strv words = { 0 };
	uint64_t set = 0;

	if (scalar_words(value, &words, err) < 0)
		return -1;
	STRV_EACH (word, &words)
		if (add_check(word, &set, err) < 0)
			return -1;
	*ret = set;
	return 0;
}

static int check_range(const struct setting *setting, uint64_t value, const char *text,
		       struct error *err)
{
	_cleanup_strbuf_ struct strbuf range = { 0 };

	if (value >= setting->min && value <= setting->max)
		return 0;
	if (setting->type == SETTING_SIZE) {
		scalar_print_size(setting->min, &range);
		strbuf_puts(&range, " to ");
		scalar_print_size(setting->max, &range);
	} else {
		strbuf_printf(&range, "%llums to %llus", (unsigned long long)setting->min,
			      (unsigned long long)setting->max / 1000);
	}
	return error_set(err, "%s is out of range (%s)", text, strbuf_text(&range));
}

static int check_group(const char *value, struct error *err)
{
	if (strcmp(value, "auto") == 0 || strcmp(value, "none") == 0)
		return 0;
	/* The root of the hierarchy is everybody's. */
	if (scalar_path(value, NULL) < 0 || value[strlen(value) - 1] == '/')
		return error_set(err,
				 "'%s' is neither auto, none nor the path of a group (as in "
				 "/stoker)",
				 value);
	return 0;
}

static int set_word(const struct setting *setting, const char *value, char **ret, struct error *err)
{
	bool is_auto = strcmp(value, "auto") == 0;

	if (setting->type == SETTING_VMM && scalar_vmm(value, err) < 0)
		return -1;
	if (setting->type == SETTING_KERNEL && !is_auto && scalar_path(value, NULL) < 0)
		return error_set(err, "'%s' is neither auto nor an absolute path", value);
	if (setting->type == SETTING_CGROUP && check_group(value, err) < 0)
		return -1;
	if (setting->type == SETTING_PATH && scalar_path(value, err) < 0)
		return -1;
	free(*ret);
	*ret = xstrdup(value);
	return 0;
}

static int set_number(const struct setting *setting, const char *value, void *field,
		      struct error *err)
{
	uint64_t number;

	if (setting->type == SETTING_U32) {
		if (scalar_u64(value, setting->min, setting->max, &number, err) < 0)
			return -1;
		*(uint32_t *)field = (uint32_t)number;
		return 0;
	}
	if ((setting->type == SETTING_SIZE ? scalar_size(value, &number, err)
					   : scalar_duration(value, &number, err)) < 0 ||
	    check_range(setting, number, value, err) < 0)
		return -1;
	*(uint64_t *)field = number;
	return 0;
}

static int set_value(const struct setting *setting, const char *value, struct settings *settings,
		     struct error *err)
{
	void *field = (char *)settings + setting->offset;

	switch (setting->type) {
	case SETTING_PATH:
	case SETTING_KERNEL:
	case SETTING_CGROUP:
	case SETTING_VMM:
		return set_word(setting, value, field, err);
	case SETTING_LEVEL:
		return set_level(value, field, err);
	case SETTING_BOOL:
		return set_bool(value, field, err);
	case SETTING_U32:
	case SETTING_SIZE:
	case SETTING_DURATION:
		return set_number(setting, value, field, err);
	case SETTING_REGISTRIES:
		return set_registries(value, field, err);
	case SETTING_CHECKS:
		return set_checks(value, field, err);
	}
	return error_set(err, "has an unknown type");
}

static const struct setting *find_setting(const char *section, const char *key)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (strcmp(table[i].section, section) == 0 && strcmp(table[i].key, key) == 0)
			return &table[i];
	return NULL;
}

static void refuse_key(struct reading *reading, const char *section, const char *key)
{
	struct mark mark = mark_at(reading, skip_blanks(reading, 0));
	const char *near = nearest(key, section);

	if (!*section)
		report_add(reading->report, mark, "'%s' stands before any section", key);
	else if (!is_section(section))
		return; /* the section was reported */
	else if (near)
		report_add(reading->report, mark, "unknown key '%s' (did you mean '%s'?)", key,
			   near);
	else
		report_add(reading->report, mark, "unknown key '%s' in [%s] (see stoker.ini(5))",
			   key, section);
}

static int handle(void *user, const char *section, const char *key, const char *value)
{
	struct reading *reading = user;
	const struct setting *setting = find_setting(section, key);
	struct mark mark = mark_at(reading, value_offset(reading));
	struct mark *seen;
	struct error err;

	reading->is_understood = true;
	if (!setting) {
		refuse_key(reading, section, key);
		return 1;
	}
	seen = &reading->seen[setting - table];
	if (seen->source)
		report_add(reading->report, mark_at(reading, skip_blanks(reading, 0)),
			   "duplicate key '%s' (first in line %u)", key, seen->line);
	else if (set_value(setting, value, &reading->settings, &err) < 0)
		report_add(reading->report, mark, "%s: %s", key, err.text);
	*seen = mark;
	return 1;
}

static struct mark seen_mark(const struct reading *reading, const char *section, const char *key)
{
	return reading->seen[find_setting(section, key) - table];
}

/* Between settings; the defaults agree with each other, so one of the two has a place. */
static void check_together(const struct reading *reading)
{
	const struct settings *settings = &reading->settings;
	struct mark min = seen_mark(reading, "vm", "restart_delay_min");
	struct mark max = seen_mark(reading, "vm", "restart_delay_max");
	struct mark base = seen_mark(reading, "daemon", "uid_base");
	struct mark count = seen_mark(reading, "daemon", "uid_count");

	if (settings->restart_min_ms > settings->restart_max_ms)
		report_add(reading->report, min.source ? min : max,
			   "restart_delay_min is larger than restart_delay_max");
	/* (uid_t)-1 and what lies near it mean "nobody" or "unchanged" to system calls. */
	if ((uint64_t)settings->uid_base + settings->uid_count > 4294967000)
		report_add(reading->report, count.source ? count : base,
			   "uid_base and uid_count together go beyond 4294967000");
}

int settings_load(const char *path, struct settings *ret, struct problems *problems)
{
	_cleanup_report_ struct report *report = report_new();
	struct reading reading = { .report = report, .is_understood = true };
	static const char default_path[] = STOKER_SYSCONFDIR "/stoker/stoker.ini";
	size_t count;

	settings_defaults(&reading.settings);
	if (strcmp(path, default_path) != 0 || access(path, F_OK) == 0 || errno != ENOENT) {
		reading.source = report_read(report, path, path);
		if (reading.source) {
			reading.next = reading.source->text;
			if (strncmp(reading.next, "\xef\xbb\xbf", 3) == 0)
				reading.next += 3; /* a byte order mark */
			ini_parse_stream(read_line, &reading, handle, &reading);
			check_together(&reading);
		}
	}
	count = report_count(report);
	report_render(report, problems);
	if (count) {
		settings_reset(&reading.settings);
		return -1;
	}
	*ret = reading.settings;
	return 0;
}
