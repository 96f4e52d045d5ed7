/* SPDX-License-Identifier: Apache-2.0 */
#include "base/strv.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

void strv_add_taken(struct strv *list, char *text)
{
	list->items = xreallocarray(list->items, list->count + 2, sizeof(*list->items));
	list->items[list->count++] = text;
	list->items[list->count] = NULL;
}

void strv_add(struct strv *list, const char *text)
{
	strv_add_taken(list, xstrdup(text));
}

void strv_addf(struct strv *list, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	strv_add_taken(list, xvasprintf(format, args));
	va_end(args);
}

void strv_copy(struct strv *to, const struct strv *from)
{
	strv_reset(to);
	for (size_t i = 0; i < from->count; i++)
		strv_add(to, from->items[i]);
}

bool strv_equal(const struct strv *a, const struct strv *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

bool strv_contains(const struct strv *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], text) == 0)
			return true;
	return false;
}

void strv_reset(struct strv *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct strv){ 0 };
}
