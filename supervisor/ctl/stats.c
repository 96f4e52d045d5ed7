/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl stats: how guests are doing, by what they say of themselves. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "ctl/client.h"
#include "ctl/print.h"

enum { AGAIN_S = 2, NO_PHASE = 1000 };

static const struct column columns[] = {
	{ "NAME", 4, CUT_NEVER }, { "UPTIME", 6, CUT_TAIL }, { "MEMORY", 6, CUT_NEVER },
	{ "DISK", 4, CUT_NEVER }, { "LOAD", 4, CUT_NEVER },  { "TASKS", 5, CUT_NEVER },
	{ "CPU%", 4, CUT_NEVER }, { "MEM%", 4, CUT_NEVER },  { "IO%", 3, CUT_NEVER },
};
enum { COLUMN_COUNT = sizeof(columns) / sizeof(columns[0]) };

static void on_answer(void *data, const char *key, const json_t *value)
{
	if (strcmp(key, "guest") == 0)
		json_array_append((json_t *)data, (json_t *)value);
}

static void add_share(struct strv *cells, uint64_t used, uint64_t total)
{
	struct strbuf text = { 0 };

	print_bytes(&text, used);
	strbuf_puts(&text, "/");
	print_bytes(&text, total);
	strv_add_taken(cells, strbuf_take(&text));
}

/* "1.25", or "-" where the guest's kernel does not tell. */
static void add_real(struct strv *cells, const json_t *stats, const char *key)
{
	const json_t *value = json_object_get(stats, key);

	if (json_is_number(value))
		strv_addf(cells, "%.2f", json_number_value(value));
	else
		strv_add(cells, "-");
}

static void add_row(struct strv *cells, const json_t *guest)
{
	const json_t *stats = json_object_get(guest, "stats");
	uint64_t total = json_u64_or(stats, "memory_total_bytes", 0);
	uint64_t available = json_u64_or(stats, "memory_available_bytes", 0);
	const char *phase = json_string_or(guest, "phase", "?");
	struct strbuf uptime = { 0 };

	strv_add(cells, json_string_or(guest, "name", "?"));
	if (!json_is_object(stats)) {
		strv_add(cells, strcmp(phase, "running") == 0 ? "no answer" : phase);
		for (size_t i = 2; i < COLUMN_COUNT; i++)
			strv_add(cells, "");
		return;
	}
	print_duration(&uptime, json_u64_or(stats, "uptime_ms", 0));
	strv_add_taken(cells, strbuf_take(&uptime));
	add_share(cells, available < total ? total - available : 0, total);
	add_share(cells, json_u64_or(stats, "disk_used_bytes", 0),
		  json_u64_or(stats, "disk_total_bytes", 0));
	add_real(cells, stats, "load_1");
	strv_addf(cells, "%llu", (unsigned long long)json_u64_or(stats, "tasks", 0));
	add_real(cells, stats, "pressure_cpu_percent");
	add_real(cells, stats, "pressure_memory_percent");
	add_real(cells, stats, "pressure_io_percent");
}

static void print_guests(const struct ctl *ctl, const json_t *guests)
{
	_cleanup_strv_ struct strv cells = { 0 };
	const json_t *guest;
	size_t i;

	if (ctl->is_json) {
		/* One line each time that it is asked; alone, for people to read. */
		json_dumpf(guests, stdout, ctl->is_following ? JSON_COMPACT : JSON_INDENT(2));
		putchar('\n');
		return;
	}
	json_array_foreach (guests, i, guest)
		add_row(&cells, guest);
	if (json_array_size(guests) > 0)
		print_table(columns, COLUMN_COUNT, &cells, NO_PHASE);
	else
		puts("no instances (manifests go to fleet.d, then: stokerctl reload)");
}

static int show(const struct ctl *ctl, struct error *err)
{
	_cleanup_json_ json_t *guests = json_array();
	struct request request;

	if (request_init(&request, COMMAND_STATS, ctl, err) < 0 ||
	    client_ask(ctl, &request, on_answer, guests, NULL, err) < 0)
		return -1;
	print_guests(ctl, guests);
	return 0;
}

int ctl_stats(const struct ctl *ctl)
{
	const struct timespec pause = { .tv_sec = AGAIN_S };
	struct error err = { 0 };

	for (;;) {
		if (show(ctl, &err) < 0)
			return ctl_fail(&err);
		if (!ctl->is_following)
			return EXIT_DONE;
		if (fflush(stdout) == EOF)
			return EXIT_REFUSED;
		nanosleep(&pause, NULL);
	}
}
