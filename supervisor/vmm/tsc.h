/* SPDX-License-Identifier: Apache-2.0 */
/* The rate of the host's time stamp counter, which an emulated guest sees as its own. */
#ifndef STOKER_VMM_TSC_H
#define STOKER_VMM_TSC_H

#include <stdint.h>

/* Measured once per process, which takes 50 ms. 0 where there is no such counter. */
uint64_t tsc_khz(void);

#endif
