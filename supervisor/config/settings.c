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
#include "config/problems.h"
#include "config/scalar.h"
#include "config/setting.h"
#include "model/target.h"

struct reading {
	struct settings settings;
	struct report *report;
	const struct source *source;
	const char *next; /* what is not read yet */
	const char *line; /* the current line, as it stands in the file */
	size_t line_length;
	uint32_t line_number;
	bool is_understood; /* the current line holds nothing that inih could pass over */
	/* Of each key's value; source NULL: not set. A registry's keys start anew in each section.
	 */
	struct mark seen[SETTINGS_MAX];
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
	const char *words[SETTINGS_MAX + 1];
	size_t count = 0;

	for (size_t i = 0; i < setting_count; i++)
		if (!section || strcmp(setting_section(i), section) == 0)
			words[count++] = section ? setting_key(i) : setting_section(i);
	words[count] = NULL;
	return scalar_nearest(text, words);
}

static bool is_section(const char *name)
{
	for (size_t i = 0; i < setting_count; i++)
		if (strcmp(setting_section(i), name) == 0)
			return true;
	return false;
}

/* "[registry HOST]": its keys go to a new entry, even when the host is no good. */
static void begin_registry(struct reading *reading, const char *host, struct mark mark)
{
	struct settings *settings = &reading->settings;
	struct error err;

	host += strspn(host, " \t");
	if (!*host)
		report_add(reading->report, mark,
			   "the section 'registry' needs a host ([registry docker.io])");
	else if (scalar_registry(host, &err) < 0)
		report_add(reading->report, mark, "%s", err.text);
	else if (settings_registry(settings, host))
		report_add(reading->report, mark, "a second section for '%s'", host);
	else if (settings->registry_count == SETTINGS_REGISTRIES_MAX)
		report_add(reading->report, mark, "more than %d registries",
			   SETTINGS_REGISTRIES_MAX);
	settings->registries = xreallocarray(settings->registries, settings->registry_count + 1,
					     sizeof(*settings->registries));
	settings->registries[settings->registry_count++] =
		(struct registry_settings){ .host = xstrdup(host) };
	for (size_t i = 0; i < setting_count; i++)
		if (strcmp(setting_section(i), SETTING_REGISTRY_SECTION) == 0)
			reading->seen[i] = (struct mark){ 0 };
}

/* True: it is one of a registry. */
static bool check_section(struct reading *reading, size_t at)
{
	static const char registry[] = SETTING_REGISTRY_SECTION;
	const char *open = reading->line + at;
	const char *close = memchr(open, ']', reading->line_length - at);
	_cleanup_free_ char *name = NULL;
	bool is_registry;
	size_t rest;

	if (!close) {
		report_add(reading->report, mark_at(reading, at), "a section without ']'");
		return false;
	}
	name = xstrndup(open + 1, (size_t)(close - open) - 1);
	is_registry = strncmp(name, registry, strlen(registry)) == 0 &&
		      strchr(" \t", name[strlen(registry)]);
	if (is_registry)
		begin_registry(reading, name + strlen(registry), mark_at(reading, at + 1));
	else if (!is_section(name) && nearest(name, NULL))
		report_add(reading->report, mark_at(reading, at + 1),
			   "unknown section '%s' (did you mean '%s'?)", name, nearest(name, NULL));
	else if (!is_section(name))
		report_add(reading->report, mark_at(reading, at + 1),
			   "unknown section '%s' (see stoker.ini(5))", name);
	rest = skip_blanks(reading, (size_t)(close - reading->line) + 1);
	if (rest < reading->line_length && !strchr(";#", reading->line[rest]))
		report_add(reading->report, mark_at(reading, rest), "text behind a section's name");
	return is_registry;
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
	/* inih keeps 49 bytes of a section's name: the host is kept here. */
	if (reading->line[start] == '[' && check_section(reading, start))
		return strcpy(text, "[" SETTING_REGISTRY_SECTION "]");
	reading->is_understood = reading->line[start] == '[';
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
	size_t setting = setting_find(section, key);
	struct mark mark = mark_at(reading, value_offset(reading));
	struct mark *seen;
	struct error err;

	reading->is_understood = true;
	if (setting == setting_count) {
		refuse_key(reading, section, key);
		return 1;
	}
	seen = &reading->seen[setting];
	if (seen->source)
		report_add(reading->report, mark_at(reading, skip_blanks(reading, 0)),
			   "duplicate key '%s' (first in line %u)", key, seen->line);
	else if (setting_set(setting, value, &reading->settings, &err) < 0)
		report_add(reading->report, mark, "%s: %s", key, err.text);
	*seen = mark;
	return 1;
}

static struct mark seen_mark(const struct reading *reading, const char *section, const char *key)
{
	return reading->seen[setting_find(section, key)];
}

/* Certificates that nobody would look at are a misunderstanding. */
static void check_forward(const struct reading *reading)
{
	static const char *const keys[] = { "forward_ca", "forward_cert", "forward_key" };
	struct mark cert = seen_mark(reading, "log", "forward_cert");
	struct mark key = seen_mark(reading, "log", "forward_key");
	struct target target;

	if (target_parse(reading->settings.log_forward, &target, NULL) < 0)
		return;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		struct mark mark = seen_mark(reading, "log", keys[i]);

		if (mark.source && target.kind != TARGET_TLS && target.kind != TARGET_OFF)
			report_add(reading->report, mark, "%s is for a target of tls:// alone",
				   keys[i]);
	}
	if (!cert.source != !key.source)
		report_add(reading->report, cert.source ? cert : key,
			   "forward_cert and forward_key come together");
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
	check_forward(reading);
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
