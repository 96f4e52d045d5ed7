/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial console and the VMM's own messages, on their way into a file whose size is bounded.
 *
 * The VMM writes into a FIFO without blocking and holds no other end of it. While no daemon reads,
 * its writes fail and are dropped, so that the guest does not wait; the next daemon opens the FIFO
 * again. A file would outlive the daemon too, but nothing could bound it meanwhile: RLIMIT_FSIZE
 * would cap the disks as well.
 */
#ifndef STOKER_VMM_CONSOLE_H
#define STOKER_VMM_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "loop/loop.h"
#include "model/status.h"

enum {
	CONSOLE_FILE_MAX = 256 << 10,  /* beyond, */
	CONSOLE_FILE_KEPT = 128 << 10, /* the newest of it are kept */
};

struct console;

/* Makes the FIFO `name` in the directory. The caller owns both ends. */
int console_make(int dir_fd, const char *name, int *ret_read_fd, int *ret_write_fd,
		 struct error *err);

/* The reading end of a FIFO that an earlier daemon made. */
int console_reopen(int dir_fd, const char *name, int *ret_read_fd, struct error *err);

/* Owns fifo_fd; duplicates file_fd (O_RDWR | O_APPEND). NULL when that fails. */
struct console *console_new(struct loop *loop, int fifo_fd, int file_fd, struct error *err);
struct console *console_free(struct console *console);

/* What the newest of what is kept says of a panic: REASON_NONE; REASON_PANIC; REASON_INIT_KILLED
 * when PID 1 was made to end, other than by stoker-init itself, which exits with 1. */
enum reason console_panic(const struct console *console);

/* Copies what a process that is gone left behind. */
void console_drain(struct console *console);

/* The last line that has text in it, with everything unprintable as '?'; "" when there is none. */
void console_last_line(const struct console *console, char *out, size_t size);

#endif
