/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands of stokerctl have in common on their way to the terminal. Text comes from the
 * daemon, which has it from manifests, registries and guests: none of it may steer a terminal.
 */
#include "ctl/print.h"

#include <ctype.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "model/frame.h"

static bool is_steering(const unsigned char *at)
{
	/* ESC and friends; C1 controls are U+0080..U+009F, in UTF-8 C2 80 .. C2 9F. */
	return (at[0] < 0x20 && at[0] != '\n' && at[0] != '\t') || at[0] == 0x7f ||
	       (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0);
}

void print_text(FILE *out, const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		if (!is_steering(at)) {
			putc(*at, out);
			continue;
		}
		putc('?', out);
		at += *at == 0xc2;
	}
}

void print_duration(struct strbuf *out, uint64_t ms)
{
	unsigned long long s = ms / 1000, m = s / 60, h = m / 60, d = h / 24;

	if (ms < 1000)
		strbuf_printf(out, "%llums", (unsigned long long)ms);
	else if (m == 0)
		strbuf_printf(out, "%llus", s);
	else if (h == 0)
		strbuf_printf(out, "%llum%02llus", m, s % 60);
	else if (d == 0)
		strbuf_printf(out, "%lluh%02llum", h, m % 60);
	else
		strbuf_printf(out, "%llud%02lluh", d, h % 24);
}

void print_bytes(struct strbuf *out, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double amount = (double)bytes;
	size_t unit = 0;

	while (amount >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		amount /= 1024;
		unit++;
	}
	strbuf_printf(out, amount == (double)(uint64_t)amount ? "%.0f%s" : "%.1f%s", amount,
		      units[unit]);
}

void print_reason(struct strbuf *out, const json_t *instance)
{
	const char *reason = json_string_or(instance, "reason", "none");
	uint64_t number = json_u64_or(instance, "exit_signal", 0);
	const char *name = number < 65 ? sigabbrev_np((int)number) : NULL;

	if (strcmp(reason, "none") == 0)
		return;
	strbuf_puts(out, reason);
	if (json_object_get(instance, "exit_code"))
		strbuf_printf(out, " %llu",
			      (unsigned long long)json_u64_or(instance, "exit_code", 0));
	if (name)
		strbuf_printf(out, " SIG%s", name);
	else if (number)
		strbuf_printf(out, " signal %llu", (unsigned long long)number);
}

void print_phase(struct strbuf *out, const json_t *instance)
{
	const char *health = json_string_or(instance, "health", "");

	strbuf_puts(out, json_string_or(instance, "phase", "?"));
	if (*health)
		strbuf_printf(out, " (%s)", health);
}

static bool takes_color(void)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term &&
	       strcmp(term, "dumb") != 0;
}

const char *print_phase_color(const char *phase)
{
	static const struct {
		const char *phase, *color;
	} colors[] = {
		{ "running (unhealthy)", "\033[31m" },
		{ "running (starting)", "\033[33m" },
		{ "running", "\033[32m" },
		{ "failed", "\033[31m" },
		{ "backoff", "\033[31m" },
		{ "fetching", "\033[33m" },
		{ "preparing", "\033[33m" },
		{ "booting", "\033[33m" },
		{ "stopping", "\033[33m" },
		{ "paused", "\033[33m" },
		{ "ok", "\033[32m" },
		{ "warn", "\033[33m" },
		{ "bad", "\033[31m" },
	};

	size_t length = strcspn(phase, " ");

	for (size_t i = 0; takes_color() && i < sizeof(colors) / sizeof(colors[0]); i++)
		if (strcmp(colors[i].phase, phase) == 0 ||
		    (phase[length] && strlen(colors[i].phase) == length &&
		     strncmp(colors[i].phase, phase, length) == 0))
			return colors[i].color;
	return "";
}

const char *print_color_end(void)
{
	return takes_color() ? "\033[0m" : "";
}

enum { FRAME_MAX = 128 };

/* What hexadecimal digits say; stops at the first that is none. */
static size_t read_hex(const char *text, uint8_t bytes[FRAME_MAX])
{
	size_t count = 0;
	unsigned value;

	while (count < FRAME_MAX && isxdigit((unsigned char)text[0]) &&
	       isxdigit((unsigned char)text[1]) && sscanf(text, "%2x", &value) == 1) {
		bytes[count++] = (uint8_t)value;
		text += 2;
	}
	return count;
}

void print_guard_event(const json_t *event)
{
	const char *kind = json_string_or(event, "guard", "?");
	_cleanup_strbuf_ struct strbuf frame = { 0 };
	uint8_t head[FRAME_MAX];

	if (strcmp(kind, "drop") != 0) {
		print_text(stdout, kind);
		fputs(": ", stdout);
		print_text(stdout, json_string_or(event, "message", ""));
		return;
	}
	frame_describe(head, read_hex(json_string_or(event, "frame", ""), head), &frame);
	fputs("dropped ", stdout);
	print_text(stdout, json_string_or(event, "reason", "?"));
	printf(" %s the guest, %llu bytes: %s",
	       json_bool_or(event, "to_guest", false) ? "to" : "from",
	       (unsigned long long)json_u64_or(event, "bytes", 0), strbuf_text(&frame));
}

void print_change(const json_t *instance)
{
	const char *message = json_string_or(instance, "message", "");
	_cleanup_strbuf_ struct strbuf reason = { 0 }, phase = { 0 };

	print_reason(&reason, instance);
	print_phase(&phase, instance);
	print_text(stdout, json_string_or(instance, "name", "?"));
	if (json_object_get(instance, "guard")) {
		fputs("  guard  ", stdout);
		print_guard_event(instance);
		putchar('\n');
		return;
	}
	printf("  %s", print_phase_color(strbuf_text(&phase)));
	print_text(stdout, strbuf_text(&phase));
	fputs(print_color_end(), stdout);
	if (reason.length) {
		fputs("  ", stdout);
		print_text(stdout, strbuf_text(&reason));
	}
	if (!*message)
		message = json_string_or(instance, "health_message", "");
	if (*message) {
		fputs("  ", stdout);
		print_text(stdout, message);
	}
	putchar('\n');
}

/* --- tables ------------------------------------------------------------------------------------
 */

enum { GAP = 2 };

static void measure(const struct column *columns, size_t count, const struct strv *cells,
		    size_t *widths)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		widths[i] = strlen(columns[i].title);
	for (size_t i = 0; i < cells->count; i++)
		if (strlen(cells->items[i]) > widths[i % count])
			widths[i % count] = strlen(cells->items[i]);
	for (size_t i = 0; i < count; i++)
		total += widths[i] + (i ? GAP : 0);
	for (size_t i = count; i-- > 0 && total > PRINT_WIDTH;) {
		size_t spare = widths[i] > columns[i].min ? widths[i] - columns[i].min : 0;

		if (columns[i].cut == CUT_NEVER)
			continue;
		if (spare > total - PRINT_WIDTH)
			spare = total - PRINT_WIDTH;
		widths[i] -= spare;
		total -= spare;
	}
}

/* At most `width` characters; ".." stands for what is missing. */
static void print_cell(const char *text, size_t width, enum cut cut, bool is_last)
{
	size_t length = strlen(text);

	if (length <= width) {
		print_text(stdout, text);
		if (!is_last)
			printf("%*s", (int)(width - length), "");
	} else if (cut == CUT_HEAD) {
		fputs("..", stdout);
		print_text(stdout, text + length - (width - 2));
	} else {
		_cleanup_free_ char *head = xstrndup(text, width - 2);

		print_text(stdout, head);
		fputs("..", stdout);
	}
}

void print_table(const struct column *columns, size_t column_count, const struct strv *cells,
		 size_t phase)
{
	size_t *widths = xcalloc(column_count, sizeof(*widths));

	measure(columns, column_count, cells, widths);
	for (size_t i = 0; i < column_count; i++) {
		print_cell(columns[i].title, widths[i], CUT_TAIL, i + 1 == column_count);
		fputs(i + 1 == column_count ? "\n" : "  ", stdout);
	}
	for (size_t i = 0; i < cells->count; i++) {
		size_t column = i % column_count;
		bool is_last = column + 1 == column_count;

		if (column == phase)
			fputs(print_phase_color(cells->items[i]), stdout);
		print_cell(cells->items[i], widths[column], columns[column].cut, is_last);
		if (column == phase)
			fputs(print_color_end(), stdout);
		fputs(is_last ? "\n" : "  ", stdout);
	}
	free(widths);
}
