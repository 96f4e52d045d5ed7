/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest guest that tells hardware virtualisation from an imitation. For probe.c. */
#ifndef STOKER_HOST_TINYGUEST_H
#define STOKER_HOST_TINYGUEST_H

#include <stdbool.h>
#include <stdint.h>

struct tinyguest_result {
	bool halted; /* it ran to its end within 200 ms */
	uint64_t run_us;
	bool has_statistics;
	uint64_t emulated_instructions; /* with has_statistics */
};

/* Runs it on /dev/kvm. Changes the process's SIGALRM and interval timer: for a child only. -1 when
 * KVM refused a step. */
int tinyguest_run(struct tinyguest_result *ret);

#endif
