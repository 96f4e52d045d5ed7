/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's monitor protocol (QMP, docs/interop/qmp-spec.txt of QEMU) for the driver: hears how the VM
 * ended, and asks for the few things that may change while it runs. What QEMU writes may be shaped
 * by a hostile guest: lines are bounded, and a line that is not understood ends the conversation,
 * nothing else.
 */
#ifndef STOKER_VMM_QMP_H
#define STOKER_VMM_QMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "loop/loop.h"
#include "vmm/vmm.h"

enum { QMP_LINE_MAX = 64 << 10, QMP_WORD_MAX = 32, QMP_REASON_MAX = 160 };

/* All that was said so far. */
struct qmp_record {
	bool greeted;		   /* connected */
	bool ready;		   /* its main loop runs and events are on */
	bool panicked;		   /* GUEST_PANICKED */
	bool shutdown;		   /* SHUTDOWN, */
	char reason[QMP_WORD_MAX]; /* with this reason: "guest-shutdown"; printable */
	uint64_t memory_bytes;	   /* of the guest, once it was asked for */
};

/* The decoder by itself: feed it bytes as they come. */
struct qmp_reader {
	struct qmp_record record;
	struct strbuf line; /* owned; the part that has no end yet */
	uint32_t awaited; /* id of the one command without an answer; the caller sets it; 0: none */
	bool refused;	  /* the answer that came last was an error, */
	char refusal[QMP_REASON_MAX]; /* in these words */
};

/* -1 when it is not QMP. *ret_reply is set to a command to send, or is left alone. */
int qmp_reader_feed(struct qmp_reader *reader, const char *bytes, size_t length,
		    const char **ret_reply, struct error *err);
void qmp_reader_reset(struct qmp_reader *reader);

struct qmp;

/* QEMU does not do what was asked for. Never fires from inside a call that asks; the callee does
 * not free the qmp. */
typedef void qmp_refused_fn(void *data, enum vmm_wish wish, const struct error *why);

/* Owns the connected, non-blocking fd. */
struct qmp *qmp_new(struct loop *loop, int fd, qmp_refused_fn *refused, void *data);
struct qmp *qmp_free(struct qmp *qmp);

/* Each is sent when QEMU is ready and has answered the one before; of two that say the same with
 * other values and were not sent yet, the later counts. 0: no limit, no balloon. */
void qmp_limit_disks(struct qmp *qmp, uint64_t bandwidth, uint64_t iops);
void qmp_set_balloon(struct qmp *qmp, uint64_t bytes); /* taken from the guest */
void qmp_set_paused(struct qmp *qmp, bool paused);

/* Reads what a process that is gone left in the socket, then says all that it ever said. */
const struct qmp_record *qmp_drain(struct qmp *qmp);

/* The throttle group that all writable disks are in. */
#define QMP_DISK_LIMITS "limits"

#endif
