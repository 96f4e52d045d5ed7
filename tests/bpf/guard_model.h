/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard's rules once more, in plain C over a frame in memory: what bpf/guard.bpf.c is compared
 * with, frame by frame. It knows what BPF_PROG_TEST_RUN can say: no VLAN tags, no kinds of
 * segments, no checksum offsets, no rates; those are written to taps by tests/unit/test_guard.c.
 */
#ifndef STOKER_TESTS_GUARD_MODEL_H
#define STOKER_TESTS_GUARD_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/guard.h"

struct model {
	struct guard_vm vm;	      /* that sends, or is sent to */
	struct guard_vm strangers[2]; /* other VMs; of which tenant, they say */

	/* Of the last frame: the number of the rule that judged it, below model_rule_count(). */
	unsigned rule;
};

struct model_frame {
	const uint8_t *bytes;
	size_t length;	 /* at least 14 */
	size_t readable; /* of them, in linear memory: all, or at least 128 */
	uint32_t gso_size;
};

enum guard_reason model_from_guest(struct model *model, const struct model_frame *frame);
enum guard_reason model_to_guest(struct model *model, const struct model_frame *frame);

unsigned model_rule_count(void);

/* The line of guard_model.c that holds the rule. */
unsigned model_rule_line(unsigned rule);

/* Is it for frames that BPF_PROG_TEST_RUN does not take: IP headers cut short, and, before Linux
 * 6.19, frames that are not linear? */
bool model_rule_is_of_taps(unsigned rule);

#endif
