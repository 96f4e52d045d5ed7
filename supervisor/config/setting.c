/* SPDX-License-Identifier: Apache-2.0 */
/* Called by settings.c. A value is strict, and complete when it is taken. */
#include "config/setting.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "config/scalar.h"
#include "model/address.h"
#include "model/check.h"
#include "model/reference.h"
#include "model/target.h"

enum setting_type {
	SETTING_PATH,	     /* char *: absolute */
	SETTING_KERNEL,	     /* char *: "auto" or absolute */
	SETTING_CGROUP,	     /* char *: "auto", "none" or absolute */
	SETTING_VMM,	     /* char * */
	SETTING_LISTEN,	     /* char *: "unix", "off" or an endpoint */
	SETTING_TARGET,	     /* char *: as in model/target.h */
	SETTING_LEVEL,	     /* int */
	SETTING_BOOL,	     /* bool: yes or no */
	SETTING_AUTO,	     /* bool: auto or off */
	SETTING_U32,	     /* uint32_t, also uid_t */
	SETTING_SIZE,	     /* uint64_t, bytes */
	SETTING_DURATION,    /* uint64_t, ms */
	SETTING_REGISTRIES,  /* struct strv */
	SETTING_HOST,	     /* char * */
	SETTING_MIRRORS,     /* struct strv */
	SETTING_CHECKS,	     /* uint64_t, a set of enum check */
	SETTING_COMPRESSION, /* struct compression */
};

struct setting {
	const char *section, *key;
	enum setting_type type;
	size_t offset;
	uint64_t min, max;
};

#define AT(member)	    offsetof(struct settings, member)
#define OF_REGISTRY(member) offsetof(struct registry_settings, member)

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
	{ "image", "stall_timeout", SETTING_DURATION, AT(stall_timeout_ms), 1000, 3600000 },
	{ "image", "foreign_layers", SETTING_BOOL, AT(foreign_layers) },
	{ "image", "credentials", SETTING_PATH, AT(credentials_path) },
	{ "image", "credential_helpers", SETTING_PATH, AT(credential_helpers_dir) },
	{ "image", "jobs", SETTING_U32, AT(jobs), 0, 64 },
	{ "image", "compress", SETTING_COMPRESSION, AT(compression) },
	{ "image", "verity", SETTING_BOOL, AT(verity) },
	{ "image", "keep", SETTING_U32, AT(image_keep), 0, 1000000 },
	{ "image", "keep_for", SETTING_DURATION, AT(image_keep_for_ms), 0, UINT32_MAX },
	{ "image", "min_free", SETTING_SIZE, AT(image_min_free), 0, UINT64_C(1) << 50 },
	{ SETTING_REGISTRY_SECTION, "mirrors", SETTING_MIRRORS, OF_REGISTRY(mirrors) },
	{ SETTING_REGISTRY_SECTION, "ca", SETTING_PATH, OF_REGISTRY(ca_path) },
	{ SETTING_REGISTRY_SECTION, "token_server", SETTING_HOST, OF_REGISTRY(token_server) },
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
	{ "guard", "flood_shield", SETTING_AUTO, AT(flood_shield) },
	{ "metrics", "listen", SETTING_LISTEN, AT(metrics_listen) },
	{ "cgroup", "parent", SETTING_CGROUP, AT(cgroup_parent) },
	{ "log", "file_size", SETTING_SIZE, AT(log_file_bytes), 64 << 10, UINT64_C(1) << 40 },
	{ "log", "files", SETTING_U32, AT(log_files), 1, 100 },
	{ "log", "rate", SETTING_SIZE, AT(log_rate_bytes), 1 << 10, UINT64_C(1) << 40 },
	{ "log", "forward", SETTING_TARGET, AT(log_forward) },
	{ "log", "forward_ca", SETTING_PATH, AT(log_forward_ca) },
	{ "log", "forward_cert", SETTING_PATH, AT(log_forward_cert) },
	{ "log", "forward_key", SETTING_PATH, AT(log_forward_key) },
};

const size_t setting_count = sizeof(table) / sizeof(*table);
_Static_assert(sizeof(table) / sizeof(*table) <= SETTINGS_MAX, "callers have room for all");

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

static int set_auto(const char *value, bool *ret, struct error *err)
{
	bool is_auto = strcmp(value, "auto") == 0;

	if (!is_auto && strcmp(value, "off") != 0)
		return error_set(err, "'%s' is neither auto nor off", value);
	*ret = is_auto;
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

/* host[:port][/path], where the path goes in front of the repository's name. */
static int check_mirror(const char *text, struct error *err)
{
	size_t length = strcspn(text, "/");
	_cleanup_free_ char *host = xstrndup(text, length);
	_cleanup_free_ char *image = xasprintf("%s/x", text);
	struct reference reference = { 0 };

	if (scalar_registry(host, err) < 0)
		return -1;
	if (!text[length])
		return 0;
	/* The path must be good for the beginning of a repository's name. */
	if (reference_parse(image, &reference, NULL) < 0)
		return error_set(err, "'%s' is not host[:port][/path]", text);
	reference_reset(&reference);
	return 0;
}

static int set_mirrors(const char *value, struct strv *ret, struct error *err)
{
	_cleanup_strv_ struct strv words = { 0 };

	if (scalar_words(value, &words, err) < 0)
		return -1;
	if (words.count > SETTINGS_MIRRORS_MAX)
		return error_set(err, "%zu mirrors (at most %d)", words.count,
				 SETTINGS_MIRRORS_MAX);
	STRV_EACH (word, &words)
		if (check_mirror(word, err) < 0)
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

/* The daemon has no right to ports below 1024. */
static int check_listen(const char *value, struct error *err)
{
	struct endpoint endpoint;

	if (strcmp(value, "unix") == 0 || strcmp(value, "off") == 0)
		return 0;
	if (endpoint_parse(value, &endpoint) < 0)
		return error_set(err,
				 "'%s' is neither unix, off nor an address with a port (as in "
				 "127.0.0.1:9469 or [::1]:9469)",
				 value);
	if (endpoint.port < 1024)
		return error_set(err, "port %u is out of range (1024 to 65535)", endpoint.port);
	return 0;
}

static int set_word(const struct setting *setting, const char *value, char **ret, struct error *err)
{
	bool is_auto = strcmp(value, "auto") == 0;
	struct target target;

	if (setting->type == SETTING_TARGET && target_parse(value, &target, err) < 0)
		return -1;
	if (setting->type == SETTING_VMM && scalar_vmm(value, err) < 0)
		return -1;
	if (setting->type == SETTING_KERNEL && !is_auto && scalar_path(value, NULL) < 0)
		return error_set(err, "'%s' is neither auto nor an absolute path", value);
	if (setting->type == SETTING_CGROUP && check_group(value, err) < 0)
		return -1;
	if (setting->type == SETTING_LISTEN && check_listen(value, err) < 0)
		return -1;
	if (setting->type == SETTING_PATH && scalar_path(value, err) < 0)
		return -1;
	if (setting->type == SETTING_HOST && scalar_registry(value, err) < 0)
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

size_t setting_find(const char *section, const char *key)
{
	size_t i = 0;

	while (i < setting_count &&
	       (strcmp(table[i].section, section) != 0 || strcmp(table[i].key, key) != 0))
		i++;
	return i;
}

const char *setting_section(size_t index)
{
	return table[index].section;
}

const char *setting_key(size_t index)
{
	return table[index].key;
}

int setting_set(size_t index, const char *value, struct settings *settings, struct error *err)
{
	const struct setting *setting = &table[index];
	bool is_registry = strcmp(setting->section, SETTING_REGISTRY_SECTION) == 0;
	char *object = is_registry ? (char *)&settings->registries[settings->registry_count - 1]
				   : (char *)settings;
	void *field = object + setting->offset;

	switch (setting->type) {
	case SETTING_PATH:
	case SETTING_HOST:
	case SETTING_KERNEL:
	case SETTING_CGROUP:
	case SETTING_VMM:
	case SETTING_LISTEN:
	case SETTING_TARGET:
		return set_word(setting, value, field, err);
	case SETTING_LEVEL:
		return set_level(value, field, err);
	case SETTING_BOOL:
		return set_bool(value, field, err);
	case SETTING_AUTO:
		return set_auto(value, field, err);
	case SETTING_U32:
	case SETTING_SIZE:
	case SETTING_DURATION:
		return set_number(setting, value, field, err);
	case SETTING_REGISTRIES:
		return set_registries(value, field, err);
	case SETTING_MIRRORS:
		return set_mirrors(value, field, err);
	case SETTING_CHECKS:
		return set_checks(value, field, err);
	case SETTING_COMPRESSION:
		return compression_parse(value, field, err);
	}
	return error_set(err, "has an unknown type");
}
