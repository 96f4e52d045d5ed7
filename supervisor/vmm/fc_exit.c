/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a Firecracker ended, called by firecracker.c. Its exit code is 0 for a reset of the guest,
 * orderly or after a panic, so what the guest's console said counts too; the other codes are those
 * of Firecracker's FcExitCode (src/vmm/src/lib.rs).
 */
#include <signal.h>
#include <stdio.h>

#include "vmm/firecracker.h"

static const struct {
	int code;
	const char *meaning;
} codes[] = {
	{ 1, "error" },
	{ 2, "unexpected error" },
	{ 148, "a system call that its filter forbids" },
	{ 149, "SIGBUS" },
	{ 150, "SIGSEGV" },
	{ 151, "SIGXFSZ: a file larger than its limit" },
	{ 152, "bad configuration" },
	{ 153, "bad arguments" },
	{ 154, "SIGXCPU" },
	{ 155, "SIGPIPE" },
	{ 156, "SIGHUP" },
	{ 157, "SIGILL" },
};

static const char *meaning_of(int code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].meaning;
	return "unknown to this version";
}

/* Signals that nothing but another process sends. */
static bool comes_from_outside(int number)
{
	return number == SIGKILL || number == SIGTERM || number == SIGINT || number == SIGHUP;
}

/* Not when it died by itself, and the driver saw its API fail first. */
static bool was_given_up(const struct fc_end *end)
{
	const struct child_exit *ended = &end->ended;

	return end->failure && (!ended->known || (ended->signaled && ended->code == SIGKILL));
}

static enum reason reason_of(const struct fc_end *end)
{
	const struct child_exit *ended = &end->ended;

	if (was_given_up(end))
		return REASON_START_ERROR;
	if (end->was_killed)
		return REASON_OPERATOR;
	if (!ended->known)
		return end->panic != REASON_NONE ? end->panic : REASON_VMM_CRASHED;
	if (ended->signaled)
		return comes_from_outside(ended->code) ? REASON_VMM_KILLED : REASON_VMM_CRASHED;
	if (!end->was_started)
		return REASON_START_ERROR;
	if (ended->code != 0)
		return REASON_VMM_CRASHED;
	return end->panic != REASON_NONE ? end->panic : REASON_GUEST_ENDED;
}

static const char *what_guest_did(enum reason panic)
{
	if (panic == REASON_INIT_KILLED)
		return "kernel panic, as its init was made to end";
	return panic == REASON_PANIC ? "kernel panic on the console" : "the guest was reset";
}

static void describe(const struct fc_end *end, char *out, size_t size)
{
	const struct child_exit *ended = &end->ended;

	if (was_given_up(end))
		snprintf(out, size, "%s", end->failure);
	else if (!ended->known)
		snprintf(out, size, "exit status unknown");
	else if (ended->signaled)
		snprintf(out, size, "signal %d", ended->code);
	else if (!end->was_started)
		snprintf(out, size, "exit code %d before the guest was started: %s", ended->code,
			 end->last_line);
	else if (ended->code != 0)
		snprintf(out, size, "exit code %d (%s)", ended->code, meaning_of(ended->code));
	else
		snprintf(out, size, "%s, exit code 0", what_guest_did(end->panic));
}

void firecracker_classify(const struct fc_end *end, struct vmm_exit *ret)
{
	*ret = (struct vmm_exit){ .reason = reason_of(end) };
	if (end->ended.known && end->ended.signaled && !was_given_up(end))
		ret->exit_signal = end->ended.code;
	describe(end, ret->detail, sizeof(ret->detail));
}
