/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One VM's log on the host: plain lines "TIME STREAM TEXT", rotated by size (FILE, FILE.1, ...) and
 * capped in rate. What is over the cap is counted and said once per burst and stream; it never
 * blocks anybody, and no stream can take from another the part of the rate that is kept for it.
 */
#ifndef STOKER_INSTANCE_LOGFILE_H
#define STOKER_INSTANCE_LOGFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "forward/forward.h"
#include "model/settings.h"

struct logfile;

/* Opens for appending, creating directories; FILE is LOG_DIR/TENANT/VM[.N].log, 0640. Its lines are
 * forwarded as well, unless `forward`, which is borrowed, is NULL. */
int logfile_open(const struct settings *settings, const char *name, struct forward *forward,
		 struct logfile **ret, struct error *err);
struct logfile *logfile_close(struct logfile *log);

/* Splits into lines (at most LOGFILE_LINE_MAX bytes; longer ones are continued with a mark) and
 * writes them; bytes that could steer a terminal are escaped as \xNN. `name` is the stream's,
 * a short word. */
void logfile_write(struct logfile *log, const char *name, const void *bytes, size_t length);

uint64_t logfile_dropped_bytes(const struct logfile *log);

/* LOG_DIR/TENANT/VM[.N].log; the caller frees it. */
char *logfile_path(const struct settings *settings, const char *name);

#endif
