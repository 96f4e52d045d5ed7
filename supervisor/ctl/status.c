/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl status: the fleet as a table, one VM in detail, or either as JSON. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ctl/client.h"
#include "ctl/meter.h"
#include "ctl/print.h"

static const struct column columns[] = {
	{ "NAME", 4, CUT_NEVER },   { "PHASE", 5, CUT_NEVER },	   { "REASON", 10, CUT_TAIL },
	{ "UPTIME", 6, CUT_NEVER }, { "RESTARTS", 8, CUT_NEVER },  { "PID", 3, CUT_NEVER },
	{ "TAP", 3, CUT_NEVER },    { "ADDRESSES", 12, CUT_TAIL }, { "IMAGE", 14, CUT_HEAD },
};
enum { COLUMN_COUNT = sizeof(columns) / sizeof(columns[0]), COLUMN_PHASE = 1 };

static void on_answer(void *data, const char *key, const json_t *value)
{
	json_t *status = data;

	if (strcmp(key, "instance") == 0)
		json_array_append(json_object_get(status, "instances"), (json_t *)value);
	else
		json_object_set(status, key, (json_t *)value);
}

/* --- cells -------------------------------------------------------------------------------------
 */

static void add_reason(struct strv *cells, const json_t *instance)
{
	uint64_t done = json_u64_or(instance, "progress_done", 0);
	uint64_t total = json_u64_or(instance, "progress_total", 0);
	const char *stage = json_string_or(instance, "progress_stage", "");
	struct strbuf text = { 0 };

	if (*stage && total > 0 && done <= total)
		strbuf_printf(&text, "%s %.0f%%", stage, 100.0 * (double)done / (double)total);
	else if (*stage)
		strbuf_puts(&text, stage);
	else
		print_reason(&text, instance);
	strv_add_taken(cells, strbuf_take(&text));
}

/* How long it runs, or how long until it starts again. */
static void add_uptime(struct strv *cells, const json_t *instance)
{
	uint64_t running = json_u64_or(instance, "running_ms", 0);
	uint64_t next = json_u64_or(instance, "next_start_ms", 0);
	struct strbuf text = { 0 };

	if (running > 0) {
		print_duration(&text, running);
	} else if (next > 0) {
		strbuf_puts(&text, "in ");
		print_duration(&text, next);
	}
	strv_add_taken(cells, strbuf_take(&text));
}

static void add_addresses(struct strv *cells, const json_t *instance)
{
	const json_t *list = json_object_get(instance, "addresses");
	const char *first = json_string_value(json_array_get(list, 0));

	if (json_array_size(list) > 1)
		strv_addf(cells, "%s +%zu", first ? first : "?", json_array_size(list) - 1);
	else
		strv_add(cells, first ? first : "");
}

/* Without what is the same for most: the default registry, and the digest. */
static void add_image(struct strv *cells, const json_t *instance)
{
	static const char common[] = "docker.io/library/";
	const char *image = json_string_or(instance, "image", "");

	if (strncmp(image, common, strlen(common)) == 0)
		image += strlen(common);
	strv_add_taken(cells, xstrndup(image, strcspn(image, "@")));
}

static void add_row(struct strv *cells, const json_t *instance)
{
	uint64_t pid = json_u64_or(instance, "pid", 0);
	struct strbuf phase = { 0 };

	strv_add(cells, json_string_or(instance, "name", "?"));
	print_phase(&phase, instance);
	strv_add_taken(cells, strbuf_take(&phase));
	add_reason(cells, instance);
	add_uptime(cells, instance);
	strv_addf(cells, "%llu", (unsigned long long)json_u64_or(instance, "restarts", 0));
	strv_add_taken(cells, pid ? xasprintf("%llu", (unsigned long long)pid) : xstrdup(""));
	strv_add(cells, json_string_or(instance, "tap", ""));
	add_addresses(cells, instance);
	add_image(cells, instance);
}

/* --- views -------------------------------------------------------------------------------------
 */

static void print_summary(const json_t *daemon)
{
	_cleanup_strbuf_ struct strbuf uptime = { 0 };
	const char *refusal = json_string_or(daemon, "refusal", NULL);
	const json_t *warning;
	size_t i;

	print_duration(&uptime, json_u64_or(daemon, "uptime_ms", 0));
	fputs("stokerd ", stdout);
	print_text(stdout, json_string_or(daemon, "version", "?"));
	printf(", pid %llu, up %s\n", (unsigned long long)json_u64_or(daemon, "pid", 0),
	       strbuf_text(&uptime));
	json_array_foreach (json_object_get(daemon, "warnings"), i, warning) {
		printf("%swarning:%s ", print_phase_color("bad"), print_color_end());
		print_text(stdout, json_string_value(warning) ? json_string_value(warning) : "?");
		putchar('\n');
	}
	if (!refusal)
		return;
	fputs("the last reload was refused, the fleet from before it runs on:\n", stdout);
	print_text(stdout, refusal);
	if (*refusal && refusal[strlen(refusal) - 1] != '\n')
		putchar('\n');
}

static void print_fleet(const json_t *status)
{
	const json_t *instances = json_object_get(status, "instances");
	_cleanup_strv_ struct strv cells = { 0 };
	json_t *instance;
	size_t i;

	print_summary(json_object_get(status, "daemon"));
	if (json_array_size(instances) == 0) {
		puts("no instances (manifests go to fleet.d, then: stokerctl reload)");
		return;
	}
	json_array_foreach (instances, i, instance)
		add_row(&cells, instance);
	print_table(columns, COLUMN_COUNT, &cells, COLUMN_PHASE);
}

/* A line of the detailed view; none for what is not there. */
static void print_member(const char *title, const char *text)
{
	if (!text || !*text)
		return;
	printf("%-11s", title);
	print_text(stdout, text);
	putchar('\n');
}

static void print_list(const char *title, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		print_member(i == 0 ? title : "", json_string_value(item));
}

static void print_number(const char *title, const json_t *instance, const char *key,
			 void (*format)(struct strbuf *, uint64_t))
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	uint64_t number = json_u64_or(instance, key, 0);

	if (number == 0)
		return;
	if (format)
		format(&text, number);
	else
		strbuf_printf(&text, "%llu", (unsigned long long)number);
	print_member(title, strbuf_text(&text));
}

/* Of the image that it waits for: all of it, then each layer. */
static void print_progress(const json_t *instance)
{
	const json_t *layer;
	size_t i;

	if (json_u64_or(instance, "progress_total", 0) > 0) {
		_cleanup_strbuf_ struct strbuf text = { 0 };

		meter_amount(&text, json_u64_or(instance, "progress_done", 0),
			     json_u64_or(instance, "progress_total", 0),
			     json_u64_or(instance, "progress_rate", 0));
		print_member("progress", strbuf_text(&text));
	}
	json_array_foreach (json_object_get(instance, "progress_layers"), i, layer) {
		_cleanup_strbuf_ struct strbuf text = { 0 };

		strbuf_printf(&text, "%.19s  ", json_string_or(layer, "digest", "?"));
		meter_amount(&text, json_u64_or(layer, "done", 0), json_u64_or(layer, "total", 0),
			     0);
		print_member(i == 0 ? "layers" : "", strbuf_text(&text));
	}
}

/* As the guest tells it, by its own clock. */
static void print_boot(const json_t *instance)
{
	const json_t *boot = json_object_get(instance, "boot");
	_cleanup_strbuf_ struct strbuf text = { 0 };

	if (!json_is_object(boot))
		return;
	strbuf_printf(&text,
		      "kernel %" PRIu64 " ms, init %" PRIu64 " ms, workload after %" PRIu64 " ms",
		      json_u64_or(boot, "kernel_ms", 0), json_u64_or(boot, "init_ms", 0),
		      json_u64_or(boot, "workload_ms", 0));
	print_member("boot", strbuf_text(&text));
}

static void print_instance(const json_t *instance)
{
	_cleanup_strbuf_ struct strbuf phase = { 0 };
	_cleanup_strv_ struct strv reason = { 0 };

	add_reason(&reason, instance);
	print_member("name", json_string_or(instance, "name", "?"));
	print_phase(&phase, instance);
	printf("%-11s%s", "phase", print_phase_color(strbuf_text(&phase)));
	print_text(stdout, strbuf_text(&phase));
	printf("%s\n", print_color_end());
	print_member("reason", reason.items[0]);
	print_member("last check", json_string_or(instance, "health_message", ""));
	print_progress(instance);
	print_member("message", json_string_or(instance, "message", ""));
	print_number("running", instance, "running_ms", print_duration);
	print_number("starts in", instance, "next_start_ms", print_duration);
	print_number("booted in", instance, "boot_ms", print_duration);
	print_boot(instance);
	print_number("restarts", instance, "restarts", NULL);
	print_member("image", json_string_or(instance, "image", ""));
	print_number("cpus", instance, "cpus", NULL);
	print_number("memory", instance, "memory_bytes", print_bytes);
	print_list("addresses", json_object_get(instance, "addresses"));
	print_member("mac", json_string_or(instance, "mac", ""));
	print_member("tap", json_string_or(instance, "tap", ""));
	print_member("vmm", json_string_or(instance, "vmm", ""));
	print_member("chosen as", json_string_or(instance, "vmm_why", ""));
	print_number("pid", instance, "pid", NULL);
	print_list("labels", json_object_get(instance, "labels"));
	print_number("log lost", instance, "log_dropped_bytes", print_bytes);
}

int ctl_status(const struct ctl *ctl)
{
	_cleanup_json_ json_t *status = json_pack("{s:{}, s:[]}", "daemon", "instances");
	struct error err = { 0 };
	struct request request;

	if (request_init(&request, COMMAND_STATUS, ctl, &err) < 0 ||
	    client_ask(ctl, &request, on_answer, status, NULL, &err) < 0)
		return ctl_fail(&err);
	if (ctl->is_json) {
		json_dumpf(status, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (ctl->arg_count > 0) {
		print_instance(json_array_get(json_object_get(status, "instances"), 0));
	} else {
		print_fleet(status);
	}
	return EXIT_DONE;
}
