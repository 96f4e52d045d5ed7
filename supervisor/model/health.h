/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM's health check has shown, and what others may wait for. The guest counts, so that a
 * daemon that comes later knows as much: health is a function of what the guest tells last.
 */
#ifndef STOKER_MODEL_HEALTH_H
#define STOKER_MODEL_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum health {
	HEALTH_NONE,	 /* it has no check, or does not run */
	HEALTH_STARTING, /* not one check has succeeded, and not enough have failed */
	HEALTH_HEALTHY,
	HEALTH_UNHEALTHY, /* the last `retries` checks have failed */
};

/* `failures` are those in a row, without those of the start period. */
enum health health_judge(bool has_succeeded, uint32_t failures, uint32_t retries);

const char *health_name(enum health health); /* "" for HEALTH_NONE */

#endif
