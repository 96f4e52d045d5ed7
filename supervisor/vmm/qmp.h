/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listens to QEMU's monitor protocol (QMP, docs/interop/qmp-spec.txt of QEMU) for one thing: how
 * the VM ended. The driver asks when the process is gone. What QEMU writes may be shaped by a
 * hostile guest: lines are bounded, and a line that is not understood ends the listening, nothing
 * else.
 */
#ifndef STOKER_VMM_QMP_H
#define STOKER_VMM_QMP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "loop/loop.h"

enum { QMP_LINE_MAX = 64 << 10, QMP_WORD_MAX = 32 };

/* All that was said so far. */
struct qmp_record {
	bool greeted;		   /* connected */
	bool ready;		   /* its main loop runs and events are on */
	bool panicked;		   /* GUEST_PANICKED */
	bool shutdown;		   /* SHUTDOWN, */
	char reason[QMP_WORD_MAX]; /* with this reason: "guest-shutdown"; printable */
};

/* The decoder by itself: feed it bytes as they come. */
struct qmp_reader {
	struct qmp_record record;
	struct strbuf line; /* owned; the part that has no end yet */
};

/* -1 when it is not QMP. *ret_reply is set to a command to send, or is left alone. */
int qmp_reader_feed(struct qmp_reader *reader, const char *bytes, size_t length,
		    const char **ret_reply, struct error *err);
void qmp_reader_reset(struct qmp_reader *reader);

struct qmp;

/* Owns the connected, non-blocking fd. */
struct qmp *qmp_new(struct loop *loop, int fd);
struct qmp *qmp_free(struct qmp *qmp);

/* Reads what a process that is gone left in the socket, then says all that it ever said. */
const struct qmp_record *qmp_drain(struct qmp *qmp);

#endif
