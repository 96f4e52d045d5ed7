/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scripted guest of the fake firecracker: stoker-init's end of the channel, with a script where
 * stoker-init has a workload. The scripts are told at the head of firecracker.c.
 */
#ifndef STOKER_TESTS_FAKES_FC_GUEST_H
#define STOKER_TESTS_FAKES_FC_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "guest-init/channel.h"
#include "tests/fakes/fc_initrd.h"
#include "tests/fakes/fc_machine.h"

enum guest_phase {
	GUEST_BOOTING,
	GUEST_RUNNING,
	GUEST_STOPPING,	 /* until the grace is over */
	GUEST_REPORTING, /* until the report was seen */
	GUEST_HALTED,	 /* its vCPUs do nothing any more; the process lives */
	GUEST_OVER,	 /* the process is to end with exit_code */
};

struct script;

struct guest {
	struct machine *machine; /* borrowed */
	struct channel channel;
	struct initrd initrd;
	const struct script *script;
	int number;	  /* second word of the script */
	bool is_early;	  /* the word "early": before the channel */
	unsigned wait_ms; /* the word after "after" */

	enum guest_phase phase;
	uint64_t started_ms, due_ms, deadline_ms;
	struct frame_exit report;
	bool said_garbage; /* on this connection */
	uint64_t serial_tokens, serial_burst, serial_filled_ms;
	int exit_code;
};

/* Reads the script and begins to boot. A failure is that of a guest: it is reported as one. */
void guest_start(struct guest *guest, struct machine *machine, int epoll, uint64_t token);

/* To be called on every turn of the loop while the machine is not paused. Returns how long the loop
 * may sleep. */
int guest_tend(struct guest *guest);

/* The descriptor of its channel has an event. */
void guest_on_event(struct guest *guest, uint32_t events);

#endif
