/* SPDX-License-Identifier: Apache-2.0 */
/* How stokerctl shows things: tables, durations, colour; nothing that steers a terminal. */
#ifndef STOKER_CTL_PRINT_H
#define STOKER_CTL_PRINT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "base/strv.h"

enum { PRINT_WIDTH = 100 };

/* Writes text without its control characters (newline and tab stay). */
void print_text(FILE *out, const char *text);

/* "850ms", "12s", "5m12s", "2h05m", "3d04h". */
void print_duration(struct strbuf *out, uint64_t ms);

/* "512B", "1.5KiB", "256MiB". */
void print_bytes(struct strbuf *out, uint64_t bytes);

/* The words for how an instance ended: "exited 1", "vmm-killed SIGKILL", or "" for none. */
/* "running", or with its health "running (healthy)". */
void print_phase(struct strbuf *out, const json_t *instance);

void print_reason(struct strbuf *out, const json_t *instance);

/* The escape sequences that dress a phase or verdict, or ""; "" also when stdout takes no colour.
 */
const char *print_phase_color(const char *phase);
const char *print_color_end(void);

/* One event or result as a line: "acme/web  backoff  exited 1  MESSAGE". */
void print_change(const json_t *instance);

/* What a guard told: "dropped source-mac from the guest, 60 bytes: FRAME", or a message. No line
 * end. */
void print_guard_event(const json_t *event);

enum cut { CUT_NEVER, CUT_HEAD, CUT_TAIL }; /* what goes when a cell is too long */

struct column {
	const char *title;
	size_t min; /* not narrower than this */
	enum cut cut;
};

/* Rows of `column_count` cells each; columns that may be cut give way, the last one first, until
 * a line fits PRINT_WIDTH. The column `phase` is coloured by its word. */
void print_table(const struct column *columns, size_t column_count, const struct strv *cells,
		 size_t phase);

#endif
