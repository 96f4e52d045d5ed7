/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called once by main.c, before anything sleeps.
 *
 * A guest of QEMU's microvm has one timer, that of its local APIC, whose rate Linux measures within
 * 100 ms of its boot (calibrate_APIC_clock in arch/x86/kernel/apic/apic.c). If the host does not
 * run the virtual processor for so long at the wrong moment, Linux finds a rate of nearly nothing,
 * does without the timer, and sleeps for good where it sleeps first. So this neither sleeps nor
 * polls: the clock goes on without timers.
 */
#include "guest-init/timer.h"

#include <stdbool.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { FIRE_NS = 1000000, WAIT_S = 5 }; /* the host may be busy now as well */

static bool has_fired(int fd)
{
	uint64_t times;

	return read(fd, &times, sizeof(times)) == (ssize_t)sizeof(times);
}

int timer_check(struct failure *why)
{
	const struct itimerspec soon = { .it_value.tv_nsec = FIRE_NS };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	struct timespec begin, now;
	bool fired;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (fd < 0 || timerfd_settime(fd, 0, &soon, NULL) < 0)
		return failure_set(why, "the kernel has no timers");
	do {
		fired = has_fired(fd);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!fired && now.tv_sec - begin.tv_sec <= WAIT_S);
	close(fd);
	if (!fired)
		return failure_set(why, "the kernel found no working timer, as happens when the "
					"host is too busy while it boots");
	return 0;
}
