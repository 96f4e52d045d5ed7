/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guard's benchmarks share: clocks, medians, goals. The machine is noisy, so everything is
 * measured by turns and compared by medians; only ratios and what a goal says carry over.
 */
#ifndef STOKER_TESTS_BENCH_H
#define STOKER_TESTS_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double clock_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

/* Sorts `values`. */
static inline double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	return values[count / 2];
}

/* Prints the verdict of a goal; `is_at_most`: smaller is better. */
static inline void goal(const char *name, double value, double wanted, int is_at_most,
			const char *unit)
{
	int is_met = is_at_most ? value <= wanted : value >= wanted;

	printf("  %-6s %-52s %8.3f%s (%s %.2f%s)\n", is_met ? "met" : "MISSED", name, value, unit,
	       is_at_most ? "at most" : "at least", wanted, unit);
}

static inline unsigned rounds_or(unsigned fallback)
{
	const char *text = getenv("ROUNDS");

	return text && *text ? (unsigned)atoi(text) : fallback;
}

/* A set-up step; nothing that follows would mean anything. */
static inline void command(const char *line)
{
	if (system(line) == 0)
		return;
	fprintf(stderr, "make bench-guard: failed: %s\n", line);
	exit(1);
}

#endif
