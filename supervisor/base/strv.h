/* SPDX-License-Identifier: Apache-2.0 */
/* A list of strings: argument vectors, environments, search lists. Zero-initialise it. */
#ifndef STOKER_BASE_STRV_H
#define STOKER_BASE_STRV_H

#include <stdbool.h>
#include <stddef.h>

struct strv {
	char **items; /* owned, as is each string; items[count] is NULL once something was added */
	size_t count;
};

void strv_add(struct strv *list, const char *text); /* copies */
void strv_add_taken(struct strv *list, char *text); /* owns text from here on */
void strv_addf(struct strv *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
void strv_copy(struct strv *to, const struct strv *from); /* to is reset first */
bool strv_equal(const struct strv *a, const struct strv *b);
bool strv_contains(const struct strv *list, const char *text);
void strv_reset(struct strv *list); /* frees what it holds */

#define STRV_EACH(text, list)                            \
	for (char **each_ = (list)->items, *text = NULL; \
	     each_ && each_ < (list)->items + (list)->count && (text = *each_, 1); each_++)

#define _cleanup_strv_ __attribute__((cleanup(strv_reset)))

#endif
