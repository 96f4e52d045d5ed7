/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of a plan as text, in the spelling of manifests; called by plan.c. Most fields print
 * by their type; the few that an operator reads differently have a row of their own.
 */
#include "plan/change.h"

#include <string.h>

#include "model/volume.h"

static void print_text(const char *text, const char *when_empty, struct strbuf *out)
{
	strbuf_puts(out, text && *text ? text : when_empty);
}

static void print_size(uint64_t bytes, struct strbuf *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t unit = 0;

	for (; bytes && bytes % 1024 == 0 && unit < 4; unit++)
		bytes /= 1024;
	strbuf_printf(out, "%llu%s", (unsigned long long)bytes, units[unit]);
}

static void print_duration(uint64_t ms, struct strbuf *out)
{
	if (ms % 1000)
		strbuf_printf(out, "%llums", (unsigned long long)ms);
	else
		strbuf_printf(out, "%llus", (unsigned long long)ms / 1000);
}

static void print_list(const struct strv *list, struct strbuf *out)
{
	strbuf_putc(out, '[');
	for (size_t i = 0; i < list->count; i++)
		strbuf_printf(out, "%s%s", i ? ", " : "", list->items[i]);
	strbuf_putc(out, ']');
}

static void print_addresses(const struct address_list *list, struct strbuf *out)
{
	char text[ADDRESS_TEXT_MAX];

	if (list->count == 0)
		strbuf_puts(out, "none");
	for (uint32_t i = 0; i < list->count; i++)
		strbuf_printf(out, "%s%s", i ? ", " : "", address_format(&list->items[i], text));
}

static void print_plain(const struct spec *spec, const struct spec_field *field, struct strbuf *out)
{
	const void *value = (const char *)spec + field->offset;

	switch (field->type) {
	case FIELD_STRING:
		print_text(*(char *const *)value, "(image's)", out);
		return;
	case FIELD_STRV:
		print_list(value, out);
		return;
	case FIELD_U32:
		strbuf_printf(out, "%u", *(const uint32_t *)value);
		return;
	case FIELD_U64:
		strbuf_printf(out, "%llu", (unsigned long long)*(const uint64_t *)value);
		return;
	case FIELD_BOOL:
		strbuf_puts(out, *(const bool *)value ? "true" : "false");
		return;
	case FIELD_ADDRESSES:
		print_addresses(value, out);
		return;
	}
}

static void print_memory(const struct spec *spec, struct strbuf *out)
{
	print_size(spec->memory_bytes, out);
}

static void print_disk(const struct spec *spec, struct strbuf *out)
{
	print_size(spec->disk_bytes, out);
}

static void print_rate_disk_bandwidth(const struct spec *spec, struct strbuf *out)
{
	if (!spec->rate_disk_bandwidth) {
		strbuf_puts(out, "none");
		return;
	}
	print_size(spec->rate_disk_bandwidth, out);
	strbuf_puts(out, "/s");
}

static void print_rate_disk_iops(const struct spec *spec, struct strbuf *out)
{
	if (spec->rate_disk_iops)
		strbuf_printf(out, "%u", spec->rate_disk_iops);
	else
		strbuf_puts(out, "none");
}

static void print_rate_network_bandwidth(const struct spec *spec, struct strbuf *out)
{
	static const char *const units[] = { "bit", "kbit", "Mbit", "Gbit" };
	uint64_t bits = spec->rate_network_bandwidth;
	size_t unit = 0;

	for (; bits && bits % 1000 == 0 && unit < 3; bits /= 1000)
		unit++;
	if (bits)
		strbuf_printf(out, "%llu%s", (unsigned long long)bits, units[unit]);
	else
		strbuf_puts(out, "none");
}

static void print_rate_network_packets(const struct spec *spec, struct strbuf *out)
{
	if (spec->rate_network_packets)
		strbuf_printf(out, "%u", spec->rate_network_packets);
	else
		strbuf_puts(out, "none");
}

static void print_balloon(const struct spec *spec, struct strbuf *out)
{
	print_size(spec->balloon_bytes, out);
}

static void print_grace(const struct spec *spec, struct strbuf *out)
{
	print_duration(spec->stop_grace_ms, out);
}

static void print_volumes(const struct spec *spec, struct strbuf *out)
{
	const char *separator = "";

	strbuf_putc(out, '[');
	STRV_EACH (line, &spec->volumes) {
		struct spec_volume volume;

		if (spec_volume_parse(line, &volume, NULL) < 0)
			continue;
		strbuf_printf(out, "%s%s:%s:", separator, volume.name, volume.target);
		print_size(volume.size_bytes, out);
		strbuf_puts(out, volume.read_only ? ":ro" : "");
		separator = ", ";
		spec_volume_reset(&volume);
	}
	strbuf_putc(out, ']');
}

static void print_entrypoint(const struct spec *spec, struct strbuf *out)
{
	if (spec->has_entrypoint)
		print_list(&spec->entrypoint, out);
	else
		strbuf_puts(out, "(image's)");
}

static void print_command(const struct spec *spec, struct strbuf *out)
{
	if (spec->has_command)
		print_list(&spec->command, out);
	else
		strbuf_puts(out, "(image's)");
}

static void print_restart(const struct spec *spec, struct strbuf *out)
{
	static const char *const names[] = { [RESTART_ALWAYS] = "always",
					     [RESTART_ON_FAILURE] = "on-failure",
					     [RESTART_NO] = "no" };

	strbuf_puts(out, spec->restart <= RESTART_NO ? names[spec->restart] : "?");
	if (spec->restart_limit)
		strbuf_printf(out, ":%u", spec->restart_limit);
}

static void print_pull_policy(const struct spec *spec, struct strbuf *out)
{
	static const char *const names[] = {
		[PULL_MISSING] = "missing", [PULL_ALWAYS] = "always", [PULL_NEVER] = "never"
	};

	strbuf_puts(out, spec->pull_policy <= PULL_NEVER ? names[spec->pull_policy] : "?");
}

static void print_healthcheck(const struct spec *spec, struct strbuf *out)
{
	if (spec->healthcheck.count)
		print_list(&spec->healthcheck, out);
	else
		strbuf_puts(out, "none");
}

static void print_health_interval(const struct spec *spec, struct strbuf *out)
{
	print_duration(spec->health_interval_ms, out);
}

static void print_health_timeout(const struct spec *spec, struct strbuf *out)
{
	print_duration(spec->health_timeout_ms, out);
}

static void print_health_retries(const struct spec *spec, struct strbuf *out)
{
	strbuf_printf(out, "%u", spec->health_retries);
}

static void print_health_start_period(const struct spec *spec, struct strbuf *out)
{
	print_duration(spec->health_start_period_ms, out);
}

static void print_on_unhealthy(const struct spec *spec, struct strbuf *out)
{
	strbuf_puts(out, spec->unhealthy_stops ? "stop" : "none");
}

static const struct {
	const char *field; /* of spec_fields */
	const char *key;   /* of the manifest */
	void (*print)(const struct spec *spec, struct strbuf *out);
} special[] = {
	{ "pull_policy", "pull_policy", print_pull_policy },
	{ "memory", "memory", print_memory },
	{ "disk", "disk", print_disk },
	{ "rate_disk_bandwidth", "rate.disk.bandwidth", print_rate_disk_bandwidth },
	{ "rate_disk_iops", "rate.disk.iops", print_rate_disk_iops },
	{ "rate_network_bandwidth", "rate.network.bandwidth", print_rate_network_bandwidth },
	{ "rate_network_packets", "rate.network.packets", print_rate_network_packets },
	{ "balloon", "balloon", print_balloon },
	{ "has_entrypoint", "entrypoint", print_entrypoint },
	{ "entrypoint", "entrypoint", print_entrypoint },
	{ "has_command", "command", print_command },
	{ "command", "command", print_command },
	{ "volumes", "volumes", print_volumes },
	{ "restart", "restart", print_restart },
	{ "restart_limit", "restart", print_restart },
	{ "healthcheck", "healthcheck", print_healthcheck },
	{ "healthcheck_interval", "healthcheck.interval", print_health_interval },
	{ "healthcheck_timeout", "healthcheck.timeout", print_health_timeout },
	{ "healthcheck_retries", "healthcheck.retries", print_health_retries },
	{ "healthcheck_start_period", "healthcheck.start_period", print_health_start_period },
	{ "healthcheck_unhealthy_stops", "healthcheck.on_unhealthy", print_on_unhealthy },
	{ "stop_grace_period", "stop_grace_period", print_grace },
};

const char *change_key(const struct spec_field *field)
{
	for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++)
		if (strcmp(special[i].field, field->name) == 0)
			return special[i].key;
	return field->name;
}

static void print_value(const char *key, const struct spec *spec, struct strbuf *out)
{
	for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++)
		if (strcmp(special[i].key, key) == 0) {
			special[i].print(spec, out);
			return;
		}
	for (size_t i = 0; i < spec_field_count; i++)
		if (strcmp(spec_fields[i].name, key) == 0)
			print_plain(spec, &spec_fields[i], out);
}

/* By what stands before the separator. */
static int compare_heads(const char *a, const char *b, const char *separator)
{
	size_t a_length = strcspn(a, separator), b_length = strcspn(b, separator);
	int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

	return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int compare_keys(const char *a, const char *b)
{
	return compare_heads(a, b, "=");
}

static void print_pair(char sign, const char *pair, bool with_value, struct strbuf *out)
{
	strbuf_printf(out, " %c", sign);
	strbuf_add(out, pair, with_value ? strlen(pair) : strcspn(pair, "="));
}

/* Two lists of "key=value", each sorted by key: +added -removed ~changed. */
static void print_pairs(const struct strv *from, const struct strv *to, bool with_values,
			struct strbuf *out)
{
	size_t i = 0, j = 0;

	while (i < from->count || j < to->count) {
		int order = i == from->count ? 1
			    : j == to->count ? -1
					     : compare_keys(from->items[i], to->items[j]);

		if (order < 0)
			print_pair('-', from->items[i++], with_values, out);
		else if (order > 0)
			print_pair('+', to->items[j++], with_values, out);
		else if (strcmp(from->items[i++], to->items[j++]) != 0)
			print_pair('~', to->items[j - 1], with_values, out);
	}
}

/* Two lists of files, each sorted by path: what they hold is nobody's business. */
static void print_files(const struct strv *from, const struct strv *to, struct strbuf *out)
{
	size_t i = 0, j = 0;

	while (i < from->count || j < to->count) {
		const char *left = i < from->count ? from->items[i] : NULL;
		const char *right = j < to->count ? to->items[j] : NULL;
		int order = !left ? 1 : !right ? -1 : compare_heads(left, right, "\t");
		const char *line = order > 0 ? right : left;

		if (order != 0 || strcmp(left, right) != 0)
			strbuf_printf(out, " %c%.*s",
				      order < 0	  ? '-'
				      : order > 0 ? '+'
						  : '~',
				      (int)strcspn(line, "\t"), line);
		i += order <= 0;
		j += order >= 0;
	}
}

/* A plan is one line for each action, and text of a manifest must not steer a terminal. */
static void make_printable(struct strbuf *out, size_t start)
{
	for (size_t i = start; i < out->length; i++)
		if ((unsigned char)out->data[i] < 0x20 || out->data[i] == 0x7f)
			out->data[i] = '?';
}

void change_print(const char *key, const struct spec *from, const struct spec *to,
		  struct strbuf *out)
{
	size_t start = out->length;

	strbuf_printf(out, "%s:", key);
	if (strcmp(key, "environment") == 0) {
		print_pairs(&from->environment, &to->environment, false, out);
	} else if (strcmp(key, "labels") == 0) {
		print_pairs(&from->labels, &to->labels, true, out);
	} else if (strcmp(key, "depends_on") == 0) {
		print_pairs(&from->depends_on, &to->depends_on, true, out);
	} else if (strcmp(key, "files") == 0) {
		print_files(&from->files, &to->files, out);
	} else if (strcmp(key, "secrets") == 0) {
		print_files(&from->secrets, &to->secrets, out);
	} else {
		strbuf_putc(out, ' ');
		print_value(key, from, out);
		strbuf_puts(out, " -> ");
		print_value(key, to, out);
	}
	make_printable(out, start);
}
