/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the name from left to right; names of endpoints hold dashes too and are matched whole. */
#include "tests/fakes/fc_fault.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fakes/fc_schema.h"

/* Steps over `word` and the dash or end behind it. */
static bool skip_word(const char **at, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(*at, word, length) != 0 || ((*at)[length] != '-' && (*at)[length] != '\0'))
		return false;
	*at += length + ((*at)[length] == '-');
	return true;
}

static bool skip_one_of(const char **at, const char *const *words, const char **ret)
{
	for (; *words; words++)
		if (skip_word(at, *words)) {
			*ret = *words;
			return true;
		}
	return false;
}

static bool skip_flag(const char **at, struct fc_faults *faults)
{
	static const struct {
		const char *word;
		size_t offset;
	} flags[] = {
		{ "slow-api", offsetof(struct fc_faults, slow_api) },
		{ "no-socket", offsetof(struct fc_faults, no_socket) },
		{ "late-socket", offsetof(struct fc_faults, late_socket) },
		{ "garbage-http", offsetof(struct fc_faults, garbage_http) },
		{ "garbage-version", offsetof(struct fc_faults, garbage_version) },
		{ "full-disk", offsetof(struct fc_faults, full_disk) },
		{ "no-kvm", offsetof(struct fc_faults, no_kvm) },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (skip_word(at, flags[i].word)) {
			*(bool *)((char *)faults + flags[i].offset) = true;
			return true;
		}
	return false;
}

/* "PUT-drives-upper": method, endpoint, and for the two that have ids, an id. */
static int read_call(const char **at, enum fault_kind kind, struct fc_faults *faults,
		     struct error *err)
{
	static const char *const methods[] = { "GET", "PUT", "PATCH", NULL };
	static const char *const names[] = { "logger",	    "metrics", "serial",  "machine-config",
					     "boot-source", "vsock",   "entropy", "balloon",
					     "actions",	    "version", "vm",	  NULL };
	static const char *const with_id[] = { "drives", "network-interfaces", NULL };
	const char *method, *name;
	struct fault_call *call = &faults->calls[faults->call_count];

	if (faults->call_count == FAULT_CALLS_MAX)
		return error_set(err, "more than %d faults of calls", FAULT_CALLS_MAX);
	if (!skip_one_of(at, methods, &method))
		return error_set(err, "no method at '%s'", *at);
	*call = (struct fault_call){ .kind = kind };
	if (skip_one_of(at, with_id, &name)) {
		size_t length = strcspn(*at, "-");

		snprintf(call->id, sizeof(call->id), "%.*s", (int)length, *at);
		*at += length + ((*at)[length] == '-');
	} else if (!skip_one_of(at, names, &name)) {
		return error_set(err, "no endpoint at '%s'", *at);
	}
	snprintf(call->method, sizeof(call->method), "%s", method);
	snprintf(call->name, sizeof(call->name), "%s", name);
	faults->call_count++;
	return 0;
}

static int read_version(const char **at, struct fc_faults *faults, struct error *err)
{
	size_t length = strcspn(*at, "-");

	snprintf(faults->version, sizeof(faults->version), "%.*s", (int)length, *at);
	if (!fc_release_parse(faults->version))
		return error_set(err, "no version at '%s'", *at);
	*at += length + ((*at)[length] == '-');
	return 0;
}

static int read_fault(const char **at, struct fc_faults *faults, struct error *err)
{
	static const struct {
		const char *word;
		enum fault_kind kind;
	} kinds[] = {
		{ "fail", FAULT_REFUSE },
		{ "hang", FAULT_HANG },
		{ "die-before", FAULT_DIE_BEFORE },
		{ "die-after", FAULT_DIE_AFTER },
		{ "die-between", FAULT_DIE_BETWEEN },
	};
	const char *start = "PUT-actions";

	if (skip_flag(at, faults))
		return 0;
	if (skip_word(at, "old"))
		return read_version(at, faults, err);
	if (skip_word(at, "hang-start"))
		return read_call(&start, FAULT_HANG, faults, err);
	if (skip_word(at, "exit")) {
		char *end;

		faults->exit_code = (int)strtol(*at, &end, 10);
		if (end == *at || (*end && *end != '-'))
			return error_set(err, "no exit code at '%s'", *at);
		*at = end + (*end == '-');
		return 0;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (skip_word(at, kinds[i].word))
			return read_call(at, kinds[i].kind, faults, err);
	return error_set(err, "no fault at '%s'", *at);
}

int fc_faults_parse(const char *file_name, struct fc_faults *ret, struct error *err)
{
	struct fc_faults faults = { .version = "1.16.1", .exit_code = -1 };
	const char *at = file_name;

	if (!skip_word(&at, "firecracker"))
		return error_set(err, "'%s': the name begins with 'firecracker'", file_name);
	while (*at)
		if (read_fault(&at, &faults, err) < 0)
			return error_wrap(err, "'%s'", file_name);
	*ret = faults;
	return 0;
}

enum fault_kind fc_faults_of(const struct fc_faults *faults, const char *method, const char *path)
{
	path += *path == '/';
	for (size_t i = 0; i < faults->call_count; i++) {
		const struct fault_call *call = &faults->calls[i];
		size_t length = strlen(call->name);

		if (strcmp(call->method, method) != 0 || strncmp(call->name, path, length) != 0)
			continue;
		if (path[length] == '\0' && !*call->id)
			return call->kind;
		if (path[length] == '/' && (!*call->id || !strcmp(call->id, path + length + 1)))
			return call->kind;
	}
	return FAULT_NONE;
}
