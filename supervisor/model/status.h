/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is: one value per instance, as the roster sees it. The same value is printed by stokerctl
 * and read by the planner: that is the loop which reconciliation closes.
 */
#ifndef STOKER_MODEL_STATUS_H
#define STOKER_MODEL_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/json.h"
#include "model/health.h"
#include "model/progress.h"
#include "model/spec.h"
#include "model/stats.h"

/* In the order of a life; phase_name() gives the word. */
enum phase {
	PHASE_ABSENT,	 /* known, holds nothing */
	PHASE_FETCHING,	 /* waiting for its image */
	PHASE_PREPARING, /* disk, tap, guard, initramfs */
	PHASE_BOOTING,	 /* the VMM runs; no word from the guest yet */
	PHASE_RUNNING,	 /* the guest said hello: the workload runs */
	PHASE_PAUSED,	 /* an operator stopped its processors */
	PHASE_STOPPING,	 /* told to stop; the grace period runs */
	PHASE_STOPPED,	 /* ended, and the policy says to leave it so */
	PHASE_BACKOFF,	 /* ended; starts again when the delay is over */
	PHASE_FAILED, /* cannot run as it is; an operator or a new manifest must change something */
	PHASE_COUNT,
};

/* Why the last life ended, or why there was none. reason_name() gives the word. */
enum reason {
	REASON_NONE,
	REASON_EXITED,	    /* the workload ended by itself: exit_code */
	REASON_SIGNALLED,   /* the workload was killed: exit_signal */
	REASON_GUEST_OOM,   /* the guest's kernel ran out of memory */
	REASON_DAEMONISED,  /* the workload ended with 0 and left processes: message */
	REASON_PANIC,	    /* the guest's kernel panicked */
	REASON_INIT_KILLED, /* likewise, for somebody inside made its PID 1 end */
	REASON_GUEST_ENDED, /* the guest powered off or reset without saying why */
	REASON_VMM_CRASHED, /* the VMM ended by itself, with neither report nor shutdown event */
	REASON_VMM_KILLED,  /* the VMM was killed from outside: exit_signal */
	REASON_BOOT_TIMEOUT,
	REASON_LOST_CHANNEL,
	REASON_UNHEALTHY, /* its check failed too often, and it was stopped for it: message */
	REASON_LOST_TAP,  /* its tap, or the guard on it, is gone and cannot be put back: message */
	REASON_START_ERROR, /* preparing failed: message */
	REASON_IMAGE_ERROR, /* no image: message */
	REASON_OPERATOR,    /* stopped, restarted, replaced or removed by an operator */
	REASON_HOST_UNFIT,  /* the host falls short of [host] require: message */
	REASON_COUNT,
};

/* What a guest says of its start, by its own clock: a claim. */
struct boot_times {
	bool is_known;
	uint64_t kernel_ms;   /* until the kernel handed over to stoker-init */
	uint64_t init_ms;     /* from there until the workload was executed */
	uint64_t workload_ms; /* until then in all */
};

struct instance_status {
	const struct spec *spec; /* what runs now; borrowed from the instance */
	enum phase phase;
	enum reason reason;
	int exit_code;	   /* with REASON_EXITED */
	int exit_signal;   /* of the workload or the VMM, by REASON; 0: none */
	char message[256]; /* "" or what an operator should read */
	enum health health;
	const char *health_message; /* what the last check found; borrowed; "" when unknown */
	pid_t pid;		    /* of the VMM; 0 when none */
	uint32_t slot;
	char tap[16]; /* "" when none */
	uint8_t mac[6];
	uint32_t restarts;		/* since the daemon knows it */
	uint64_t running_ms;		/* in PHASE_RUNNING: for how long */
	uint64_t next_start_ms;		/* in PHASE_BACKOFF: until the next start */
	uint64_t boot_ms;		/* VMM start to the guest's hello; 0 before */
	struct boot_times boot;		/* from within */
	struct image_progress progress; /* in PHASE_FETCHING */
	uint64_t log_dropped_bytes;
	struct guest_stats stats; /* what was heard last */
	const char *vmm;	  /* driver and accelerator, "qemu (tcg)"; borrowed */
	const char *vmm_why;	  /* why that driver; borrowed; "" when unknown */
};

struct fleet_status {
	struct instance_status *instances; /* owned; sorted as the fleet is */
	size_t count;
};

/* From microseconds since the guest's kernel began. Not known when they make no sense, and for
 * boot_us 0: no workload was executed. */
void boot_times_set(struct boot_times *ret, uint64_t init_us, uint64_t boot_us);

void fleet_status_reset(struct fleet_status *status);
const struct instance_status *fleet_status_find(const struct fleet_status *status,
						const char *name);

const char *phase_name(enum phase phase);
const char *reason_name(enum reason reason);

json_t *instance_status_to_json(const struct instance_status *status); /* new reference */

#endif
