/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by qemu_args.c for `tsc_early_khz=`. Under TCG, a guest that has to measure its counter
 * itself hangs in the calibration of the LAPIC timer; the error made here is the guest's clock
 * error.
 */
#include "vmm/tsc.h"

#ifdef __x86_64__

#include <time.h>
#include <x86intrin.h>

enum { INTERVAL_MS = 50, TRIES = 8 };

struct sample {
	uint64_t tsc;
	uint64_t ns;
};

static uint64_t raw_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_RAW, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The counter between two looks at the clock; of several tries the one that was interrupted least,
 * which leaves some 100 ns: 2 ppm of the interval. */
static struct sample take_sample(void)
{
	struct sample best = { 0 };
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = raw_ns();
		uint64_t tsc = __rdtsc();
		uint64_t after = raw_ns();

		if (after - before < best_width) {
			best_width = after - before;
			best = (struct sample){ .tsc = tsc, .ns = before + (after - before) / 2 };
		}
	}
	return best;
}

static uint64_t measure(void)
{
	struct timespec interval = { .tv_nsec = INTERVAL_MS * 1000000L };
	struct sample first = take_sample();
	struct sample second;

	nanosleep(&interval, NULL);
	second = take_sample();
	if (second.ns <= first.ns || second.tsc <= first.tsc)
		return 0;
	return (uint64_t)((__uint128_t)(second.tsc - first.tsc) * 1000000 / (second.ns - first.ns));
}

uint64_t tsc_khz(void)
{
	static uint64_t khz;

	if (!khz)
		khz = measure();
	return khz;
}

#else

uint64_t tsc_khz(void)
{
	return 0;
}

#endif
