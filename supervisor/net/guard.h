/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard's program and maps, from loading to counting: guard.c, guard_maps.c, guard_attach.c,
 * libbpf's home. Pins under bpf_dir are
 * what outlives the daemon: the maps `vms`, `counts`, `buckets`, `events`, `owners4`, `owners6`,
 * and with TCX the links `TAP-in` and `TAP-out`. One daemon per bpf_dir.
 */
#ifndef STOKER_NET_GUARD_H
#define STOKER_NET_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "bpf/guard.h"

struct guard;

struct guard_options {
	const char *bpf_dir;
	bool without_tcx;	     /* attach as kernels before 6.6 do */
	bool without_kernel_context; /* read the sk_buff as kernels before 6.2 do */
	bool has_test_clock;	     /* rates go by guard_turn_clock */
};

/* Loads the program; makes the maps, or goes on with those that an earlier daemon pinned. */
int guard_open(const struct guard_options *options, struct guard **ret, struct error *err);
struct guard *guard_close(struct guard *guard); /* pins stay; NULL is fine; returns NULL */

/* Takes the pins away, and bpf_dir when it is then empty. A VM that is left is an error. */
int guard_remove(struct guard *guard, struct error *err);

/* Fills in the VM behind the device and whose its addresses are. An address that another slot has
 * is an error. An error leaves nothing of the VM. While its addresses stay the same the new value
 * takes the place of the old in one step. */
int guard_set_vm(struct guard *guard, unsigned ifindex, const struct guard_vm *vm,
		 struct error *err);

/* By device where it is known (else 0), and in any case by slot. Missing is fine. */
int guard_clear_vm(struct guard *guard, unsigned ifindex, uint32_t slot, struct error *err);

/* Holds this very value for the device, with its addresses? */
bool guard_has_vm(struct guard *guard, unsigned ifindex, const struct guard_vm *vm);

/* Forgets entries and pins of devices that are gone. */
int guard_sweep(struct guard *guard, struct error *err);

/* Puts the program on both sides of the device, the first to see a frame. */
int guard_attach(struct guard *guard, const char *tap, unsigned ifindex, struct error *err);

/* Both sides hold a program of ours, whichever daemon's. */
bool guard_is_attached(struct guard *guard, const char *tap, unsigned ifindex);

/* True when both sides were guarded already; they then run this daemon's program, swapped without
 * a gap. */
bool guard_reattach(struct guard *guard, const char *tap, unsigned ifindex);

/* Puts the flood shield in front of the guard; it is there as long as *ret_link, the caller's, is
 * open. */
int guard_raise_shield(struct guard *guard, const char *tap, unsigned ifindex, int *ret_link,
		       struct error *err);

/* For a device that has a new name. Missing pins are fine. */
int guard_rename(struct guard *guard, const char *from, const char *to, struct error *err);

/* Drops the pins of a deleted device. Missing is fine. */
void guard_forget(struct guard *guard, const char *tap);

/* Calls `told` with a sample of what is dropped, from inside guard_hear, which is to be called when
 * *ret_fd (the guard's) is readable. What a guest wrote is in it. */
typedef void guard_event_fn(void *data, const struct guard_event *event);
int guard_listen(struct guard *guard, guard_event_fn *told, void *data, int *ret_fd,
		 struct error *err);
void guard_hear(struct guard *guard);

/* The value that the program goes by. Missing is an error. */
int guard_read_vm(struct guard *guard, unsigned ifindex, struct guard_vm *ret, struct error *err);

int guard_counts_read(struct guard *guard, uint32_t slot, struct guard_counts *ret,
		      struct error *err);
int guard_counts_clear(struct guard *guard, uint32_t slot, struct error *err);

const char *guard_attachment(const struct guard *guard); /* "tcx" or "clsact" */

/* For BPF_PROG_TEST_RUN. */
int guard_program_fd(const struct guard *guard, bool is_egress);
int guard_shield_fd(const struct guard *guard);
void guard_turn_clock(struct guard *guard, uint64_t ns);

#define _cleanup_guard_ CLEANUP(guard_close_cleanup)
DEFINE_CLEANUP(struct guard, guard_close);

#endif
