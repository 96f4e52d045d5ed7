/* SPDX-License-Identifier: Apache-2.0 */
/* The guard's body, shared by the three files that make it up: guard (loading, ending), guard_maps
 * and guard_attach. */
#ifndef STOKER_NET_GUARD_INTERNAL_H
#define STOKER_NET_GUARD_INTERNAL_H

#include <bpf/libbpf.h>

#include "guard.skel.h"
#include "net/guard.h"

enum { PIN_PATH_MAX = 512 };

struct guard {
	char *bpf_dir;		    /* owned */
	struct guard_bpf *skeleton; /* owned */
	bool has_tcx;
	unsigned devices[GUARD_SLOTS_MAX]; /* by slot, as `vms` has them; 0 = none */
	struct ring_buffer *ring;	   /* owned; NULL: nobody listens */
	guard_event_fn *told;
	void *told_data;
};

/* BPF_DIR/NAMESUFFIX */
void guard_pin_path(char path[PIN_PATH_MAX], const struct guard *guard, const char *name,
		    const char *suffix);

int guard_vms_fd(const struct guard *guard);

/* Learns whose slots the map's entries are. Of two of one slot the first that is found is kept: the
 * other's device, if it is still there, passes nothing. */
int guard_learn_vms(struct guard *guard, struct error *err);

/* Forgets entries of devices that are gone, and pins of taps that are gone. */
int guard_sweep_vms(struct guard *guard, struct error *err);
int guard_sweep_pins(struct guard *guard, struct error *err);

#endif
