/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collects what load.c, settings.c and their helpers find, and prints it as a compiler would:
 * place, fact, remedy, the line and a caret. What is quoted may be any bytes; only what a terminal
 * shows harmlessly is passed on.
 */
#include "config/problems.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/scalar.h"
#include "config/source.h"

enum {
	TEXT_MAX = 400,	 /* bytes of one message */
	QUOTE_MAX = 120, /* characters of a quoted line */
};

struct problem {
	struct mark mark; /* source NULL: not about a file */
	size_t serial;
	char *text; /* owned */
};

struct report {
	struct source **sources; /* owned, as is each */
	size_t source_count;
	struct problem *problems; /* owned */
	size_t count;
	size_t capacity;
};

struct report *report_new(void)
{
	return xcalloc(1, sizeof(struct report));
}

struct report *report_free(struct report *report)
{
	if (!report)
		return NULL;
	for (size_t i = 0; i < report->source_count; i++) {
		free(report->sources[i]->name);
		free(report->sources[i]->path);
		free(report->sources[i]->text);
		free(report->sources[i]);
	}
	for (size_t i = 0; i < report->count; i++)
		free(report->problems[i].text);
	free(report->sources);
	free(report->problems);
	free(report);
	return NULL;
}

const struct source *report_read(struct report *report, const char *path, const char *name)
{
	struct source *source;
	struct error err;

	for (size_t i = 0; i < report->source_count; i++)
		if (strcmp(report->sources[i]->name, name) == 0)
			return report->sources[i]->failed ? NULL : report->sources[i];
	source = xcalloc(1, sizeof(*source));
	source->name = xstrdup(name);
	source->path = xstrdup(path);
	source->index = report->source_count;
	report->sources = xreallocarray(report->sources, report->source_count + 1,
					sizeof(struct source *));
	report->sources[report->source_count++] = source;
	if (source_read(source, path, &err) < 0) {
		source->failed = true;
		report_add(report, (struct mark){ .source = source }, "%s", err.text);
		return NULL;
	}
	return source;
}

/* Cuts at a whole UTF-8 character, so that the end of a long value cannot garble what follows. */
static void cut(char *text)
{
	size_t length = strlen(text);

	if (length <= TEXT_MAX)
		return;
	for (length = TEXT_MAX - 3; length > 0 && ((uint8_t)text[length] & 0xc0) == 0x80;)
		length--;
	memcpy(text + length, "...", 4);
}

__attribute__((format(printf, 3, 0))) static void add(struct report *report, struct mark mark,
						      const char *format, va_list args)
{
	char *text = xvasprintf(format, args);
	struct problem *problem;

	cut(text);
	if (report->count == report->capacity) {
		report->capacity = report->capacity ? 2 * report->capacity : 16;
		report->problems = xreallocarray(report->problems, report->capacity,
						 sizeof(*report->problems));
	}
	problem = &report->problems[report->count];
	*problem = (struct problem){ .mark = mark, .serial = report->count++, .text = text };
}

void report_add(struct report *report, struct mark mark, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(report, mark, format, args);
	va_end(args);
}

void report_add_bare(struct report *report, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(report, (struct mark){ 0 }, format, args);
	va_end(args);
}

size_t report_count(const struct report *report)
{
	return report->count;
}

char *mark_format(struct mark mark)
{
	if (!mark.source)
		return xstrdup("");
	if (mark.line == 0)
		return xstrdup(mark.source->name);
	return xasprintf("%s:%u:%u", mark.source->name, mark.line, mark.column);
}

static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_places(const struct mark *a, const struct mark *b)
{
	int order;

	if (!a->source || !b->source)
		return (a->source != NULL) - (b->source != NULL);
	order = (a->source->index > b->source->index) - (a->source->index < b->source->index);
	if (order == 0)
		order = compare_u32(a->line, b->line);
	return order ? order : compare_u32(a->column, b->column);
}

static int compare_problems(const void *a, const void *b)
{
	const struct problem *left = *(struct problem *const *)a;
	const struct problem *right = *(struct problem *const *)b;
	int order = compare_places(&left->mark, &right->mark);

	return order ? order : (left->serial > right->serial) - (left->serial < right->serial);
}

/* Control characters, and what is no character, become '?': the quoted bytes must not steer the
 * reader's terminal, and must fit into JSON. */
static void add_printable(struct strbuf *out, const char *text, size_t length)
{
	size_t good = scalar_utf8(text, length);

	for (size_t i = 0; i < length; i++) {
		uint8_t byte = (uint8_t)text[i];

		if (i == good) {
			strbuf_putc(out, '?');
			good = i + 1 + scalar_utf8(text + i + 1, length - i - 1);
			continue;
		}
		strbuf_putc(out, (byte < 0x20 && byte != '\t') || byte == 0x7f ? '?' : text[i]);
	}
}

static bool starts_character(char byte)
{
	return ((uint8_t)byte & 0xc0) != 0x80;
}

/* The first byte of the character with this number (from 0), or the end. */
static size_t character_at(const char *line, size_t length, uint32_t number)
{
	size_t at = 0;

	for (uint32_t i = 0; at < length; at++)
		if (starts_character(line[at]) && i++ == number)
			break;
	return at;
}

/* Nothing of an empty line; else the line and a caret under the column; of a long line only what
 * surrounds the column. Tabs stay tabs in both, so that the caret stands where the terminal puts
 * the character. */
static void quote(const struct mark *mark, struct strbuf *out)
{
	uint32_t column = mark->column ? mark->column - 1 : 0, first = 0;
	size_t length, begin, caret, end;
	const char *line = source_line(mark->source, mark->line, &length);

	if (!line || length == 0)
		return;
	if (column > QUOTE_MAX - 40)
		first = column - (QUOTE_MAX - 40) / 2;
	begin = character_at(line, length, first);
	caret = character_at(line, length, column);
	end = character_at(line, length, first + QUOTE_MAX);
	strbuf_puts(out, first ? "..." : "");
	add_printable(out, line + begin, end - begin);
	strbuf_puts(out, end < length ? "...\n" : "\n");
	strbuf_puts(out, first ? "   " : "");
	for (size_t i = begin; i < caret; i++)
		if (starts_character(line[i]))
			strbuf_putc(out, line[i] == '\t' ? '\t' : ' ');
	strbuf_puts(out, "^\n");
}

static void render(const struct problem *problem, struct strbuf *out)
{
	char *place = mark_format(problem->mark);

	add_printable(out, place, strlen(place));
	strbuf_puts(out, *place ? ": " : "");
	for (const char *c = problem->text; *c; c++)
		add_printable(out, *c == '\t' || *c == '\n' ? "?" : c, 1);
	strbuf_putc(out, '\n');
	free(place);
	if (problem->mark.source)
		quote(&problem->mark, out);
}

static bool same(const struct problem *a, const struct problem *b)
{
	return compare_places(&a->mark, &b->mark) == 0 && strcmp(a->text, b->text) == 0;
}

void report_render(const struct report *report, struct problems *problems)
{
	_cleanup_free_ struct problem **sorted = xcalloc(report->count, sizeof(*sorted));
	size_t printed = 0, left_out = 0;

	for (size_t i = 0; i < report->count; i++)
		sorted[i] = &report->problems[i];
	qsort(sorted, report->count, sizeof(*sorted), compare_problems);
	for (size_t i = 0; i < report->count; i++) {
		if (i > 0 && same(sorted[i], sorted[i - 1]))
			continue;
		problems->count++;
		if (printed++ < PROBLEMS_MAX)
			render(sorted[i], &problems->text);
		else
			left_out++;
	}
	if (left_out)
		strbuf_printf(&problems->text, "... and %zu more\n", left_out);
}

void problems_reset(struct problems *problems)
{
	strbuf_reset(&problems->text);
	problems->count = 0;
}
