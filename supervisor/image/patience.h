/* SPDX-License-Identifier: Apache-2.0 */
/* How long to wait before a registry is asked again. Called by registry.c and token.c. */
#ifndef STOKER_IMAGE_PATIENCE_H
#define STOKER_IMAGE_PATIENCE_H

#include <stdint.h>
#include <time.h>

/* What Retry-After asks for in milliseconds, at most a minute: seconds or an HTTP date (RFC 9110,
 * 10.2.3), seen from `now`. 0: NULL, in the past, or neither. */
uint64_t patience_asked_ms(const char *retry_after, time_t now);

/* Before the next try after `failures` (from 1) in a row: doubles from half a second to 30 s. Half
 * of it is random, so that hosts which lost a registry together do not return together. */
uint64_t patience_backoff_ms(uint32_t failures);

#endif
