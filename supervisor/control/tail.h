/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a rotated log as one text: FILE, before it FILE.1, FILE.2 ... as instance/logfile keeps
 * them. A reader that is behind moves on through the rotated files in order; only when a file was
 * deleted under it are lines missing, and it is told so.
 */
#ifndef STOKER_CONTROL_TAIL_H
#define STOKER_CONTROL_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { TAIL_FILES_MAX = 16, TAIL_CHUNK_MAX = 32 * 1024 };

struct tail;

/* Begins `lines` lines before the end (0: with the oldest that is kept), but not with a line from
 * before `since` (NULL: any time will do): the text of a time that lines begin with, in their
 * order. A file that does not exist yet is an empty one. */
int tail_open(const char *path, uint64_t lines, const char *since, struct tail **ret,
	      struct error *err);

/* Up to TAIL_CHUNK_MAX bytes, cut after a line's end unless the line is longer than that; *ret
 * holds until the next call. 0: nothing there now. TAIL_GAP: some was deleted unread; go on.
 * `at_end`: nothing more will come, so half a line is better than none. */
enum { TAIL_GAP = -2 };
int tail_read(struct tail *tail, bool at_end, const char **ret);

struct tail *tail_close(struct tail *tail); /* NULL is fine; returns NULL */

#endif
