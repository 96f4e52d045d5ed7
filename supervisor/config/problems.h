/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a value stands in a file, and all that is wrong with a set of files. The parsers add
 * problems in any order; they are sorted, quoted and printed once, at the end of a load.
 */
#ifndef STOKER_CONFIG_PROBLEMS_H
#define STOKER_CONFIG_PROBLEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "config/load.h"

enum {
	SOURCE_BYTES_MAX = 1 << 20, /* of one file */
	PROBLEMS_MAX = 200,	    /* printed; the rest is counted */
};

/* A file that was read, kept so that a late message can still quote it. */
struct source {
	char *name; /* owned; as messages show it */
	char *path; /* owned; where it was opened */
	char *text; /* owned; NUL-terminated */
	size_t length;
	size_t index; /* in the order of reading: the order of the messages */
	bool failed;  /* could not be read: reported once */
};

/* Line and column count from 1, the column in characters; line 0 is the file as a whole. */
struct mark {
	const struct source *source;
	uint32_t line;
	uint32_t column;
};

struct report;

struct report *report_new(void);
struct report *report_free(struct report *report);

/* Reads a file that only root (or the caller) can have written; a second call with the same name
 * gives the same source. What is wrong with it is reported; NULL then. Borrowed from the report. */
const struct source *report_read(struct report *report, const char *path, const char *name);

/* Adds "place: fact (remedy)". */
void report_add(struct report *report, struct mark mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Adds a problem of something that is no file, such as a directory. */
void report_add_bare(struct report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

size_t report_count(const struct report *report);

/* Appends all problems, sorted and each once, to `problems`. */
void report_render(const struct report *report, struct problems *problems);

/* "file:line:column" for a message about another place; the caller frees it. */
char *mark_format(struct mark mark);

#define _cleanup_report_ CLEANUP(report_free_cleanup)
DEFINE_CLEANUP(struct report, report_free);

#endif
