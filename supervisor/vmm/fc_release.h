/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which release of Firecracker is installed, and what it has: the API grew fields over time, and
 * refuses those that it does not know.
 */
#ifndef STOKER_VMM_FC_RELEASE_H
#define STOKER_VMM_FC_RELEASE_H

#include <stdbool.h>

#include "base/error.h"

struct fc_release {
	unsigned major, minor, patch;
};

/* The oldest that is supported: from 1.8 on, guests find their devices through ACPI, as the kernels
 * of distributions want it. */
#define FC_RELEASE_MIN ((struct fc_release){ 1, 8, 0 })

#define FC_HAS_SERIAL	      ((struct fc_release){ 1, 14, 0 }) /* PUT /serial */
#define FC_HAS_SERIAL_LIMITER ((struct fc_release){ 1, 16, 0 }) /* its rate_limiter */
#define FC_HAS_MTU	      ((struct fc_release){ 1, 16, 0 }) /* of a network interface */

bool fc_release_at_least(const struct fc_release *release, struct fc_release wanted);

/* The first line of `firecracker --version`: "Firecracker v1.16.1". One older than FC_RELEASE_MIN
 * is an error that names both. */
int fc_release_from_text(const char *text, const char *path, struct fc_release *ret,
			 struct error *err);

/* Asks the program, once for as long as the file stays as it is. The program must belong to root
 * and be writable for nobody else. Waits for at most 5 s. */
int fc_release_read(const char *path, struct fc_release *ret, struct error *err);

#endif
