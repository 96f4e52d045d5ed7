/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may change while a VM of the QEMU driver runs, on real guests: limits of the disks, balloon,
 * pause. Started by vmm-limits.t. No test here knows how fast the host is.
 */
#include "tests/system/vmm_host.h"

enum {
	READS = 50,
	READS_PER_SECOND = 5, /* so the reads take ten seconds, however fast the host is */
	READS_TIMEOUT_MS = 120000,
	MEMORY_TIMEOUT_MS = 60000,
	QUIET_MS = 2000,
	QUIET_TIMEOUT_MS = 60000,
	BALLOON_MIB = 120,
	EATEN_MIB = 150, /* more than the balloon leaves */
};

static const struct vmm_limits no_limits;

/* How long the guest's reads take; 0: they did not end. */
static uint64_t time_reads(struct guest *guest)
{
	uint64_t begin = loop_now_ms(), took;
	_cleanup_free_ char *command = xasprintf("read %d\n", READS);

	tell(guest, command);
	if (!hear(guest, "read done\n", READS_TIMEOUT_MS))
		return 0;
	took = loop_now_ms() - begin;
	printf("# %d reads of 4 KiB: %llu ms\n", READS, (unsigned long long)took);
	return took;
}

static bool answers(struct guest *guest)
{
	tell(guest, "ping\n");
	return hear(guest, "pong\n", ANSWER_TIMEOUT_MS);
}

static void test_disk_limit(struct guest *guest)
{
	struct vmm_limits limits = { .disk_iops = READS_PER_SECOND };
	pid_t pid = vmm_qemu.pid(guest->vmm);
	uint64_t limited, freed = 0;

	vmm_qemu.limit(guest->vmm, &limits);
	ok(answers(guest), "a running guest's disk is limited to %d requests a second",
	   READS_PER_SECOND);
	limited = time_reads(guest);
	ok(limited >= READS * 1000 / READS_PER_SECOND / 2, "its reads take their time");
	vmm_qemu.limit(guest->vmm, &no_limits);
	/* The host may be busy with something else, but not each time. */
	for (int i = 0; i < 5 && (freed == 0 || freed > limited / 2); i++)
		freed = time_reads(guest);
	ok(freed > 0 && freed < limited / 2, "without the limit they do not");
	ok(guest->refusals == 0 && vmm_qemu.pid(guest->vmm) == pid, "all that in one VM");
}

static void test_disk_bandwidth(struct guest *guest)
{
	/* 200 KiB in all. */
	struct vmm_limits limits = { .disk_bandwidth = 20 << 10 };
	uint64_t limited, freed = 0;

	vmm_qemu.limit(guest->vmm, &limits);
	limited = time_reads(guest);
	ok(limited >= 5000, "20 KiB a second are a limit too");
	vmm_qemu.limit(guest->vmm, &no_limits);
	for (int i = 0; i < 5 && (freed == 0 || freed > limited / 2); i++)
		freed = time_reads(guest);
	ok(freed > 0 && freed < limited / 2, "which can be lifted");
}

/* --- the balloon ------------------------------------------------------------------------------ */

static unsigned free_mib(struct guest *guest)
{
	const char *at;

	tell(guest, "memory\n");
	if (!hear(guest, "KiB free\n", ANSWER_TIMEOUT_MS))
		return 0;
	at = strstr(strbuf_text(&guest->heard), "memory ");
	return at ? (unsigned)strtoul(at + 7, NULL, 10) / 1024 : 0;
}

/* Until the guest's free memory lies there; the balloon takes its time. */
static bool free_becomes(struct guest *guest, unsigned least, unsigned most)
{
	uint64_t deadline = loop_now_ms() + MEMORY_TIMEOUT_MS;
	unsigned mib = free_mib(guest);

	while ((mib < least || mib > most) && loop_now_ms() < deadline && !guest->gone) {
		hear(guest, NULL, 500);
		mib = free_mib(guest);
	}
	printf("# the guest has %u MiB free\n", mib);
	return mib >= least && mib <= most;
}

static void test_balloon(struct guest *guest)
{
	struct vmm_limits limits = { .balloon_bytes = (uint64_t)BALLOON_MIB << 20 };
	_cleanup_free_ char *command = xasprintf("eat %d\n", EATEN_MIB);
	unsigned before = free_mib(guest);

	printf("# the guest has %u MiB free\n", before);
	ok(before > EATEN_MIB, "a guest without a balloon has its memory");
	vmm_qemu.limit(guest->vmm, &limits);
	ok(free_becomes(guest, 1, before - BALLOON_MIB / 2), "a balloon takes some of it");
	vmm_qemu.limit(guest->vmm, &no_limits);
	ok(free_becomes(guest, before - BALLOON_MIB / 4, 256), "and gives it back");

	vmm_qemu.limit(guest->vmm, &limits);
	ok(free_becomes(guest, 1, before - BALLOON_MIB / 2), "taken again");
	tell(guest, command);
	ok(hear(guest, "eaten\n", MEMORY_TIMEOUT_MS),
	   "a guest that needs what was taken gets it back by itself");
	ok(answers(guest) && guest->refusals == 0, "and goes on");
	vmm_qemu.limit(guest->vmm, &no_limits);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void test_refusal(struct guest *guest)
{
	struct vmm_limits limits = { .disk_bandwidth = UINT64_C(1) << 60 };
	uint64_t deadline = loop_now_ms() + ANSWER_TIMEOUT_MS;

	vmm_qemu.limit(guest->vmm, &limits);
	ok(guest->refusals == 0, "what QEMU will refuse calls nobody back from inside");
	while (!guest->refusals && loop_now_ms() < deadline)
		hear(guest, NULL, 100);
	ok(guest->refusals == 1 && strstr(guest->refusal.text, "QEMU does not limit the disks: "),
	   "but is told: %s", guest->refusal.text);
	ok(answers(guest), "and the guest goes on");
}

/* --- pause ------------------------------------------------------------------------------------ */

/* True when the guest has said nothing for a while; what it said before is forgotten. */
static bool falls_silent(struct guest *guest)
{
	uint64_t deadline = loop_now_ms() + QUIET_TIMEOUT_MS;

	do {
		strbuf_reset(&guest->heard);
		hear(guest, NULL, QUIET_MS);
	} while (guest->heard.length && loop_now_ms() < deadline);
	return guest->heard.length == 0;
}

/* The number of the first whole beat that comes; 0: none. */
static unsigned next_beat(struct guest *guest)
{
	const char *at;

	if (!hear(guest, "\nbeat ", ANSWER_TIMEOUT_MS))
		return 0;
	hear(guest, NULL, QUIET_MS);
	at = strstr(strbuf_text(&guest->heard), "\nbeat ");
	return (unsigned)strtoul(at + 6, NULL, 10);
}

static void adopt_again(struct guest *guest)
{
	pid_t pid = vmm_qemu.pid(guest->vmm);
	uint64_t start_time = vmm_qemu.start_time(guest->vmm);
	struct error err = { 0 };

	let_go(guest);
	open_run_dir(guest, "limits");
	if (adopt_as(guest, "limits", pid, start_time, &err))
		die("adopt", &err);
}

static void test_pause(struct guest *guest)
{
	unsigned beat;

	tell(guest, "beat\n");
	ok(hear(guest, "beat 3\n", ANSWER_TIMEOUT_MS), "a guest's heart beats");
	vmm_qemu.pause(guest->vmm);
	ok(falls_silent(guest), "paused, it does not");
	hear(guest, NULL, QUIET_MS);
	ok(guest->heard.length == 0 && !guest->gone, "for as long as one listens");
	vmm_qemu.resume(guest->vmm);
	beat = next_beat(guest);
	printf("# goes on at %u\n", beat);
	ok(beat > 3, "resumed, it beats on from where it was");

	vmm_qemu.pause(guest->vmm);
	ok(falls_silent(guest), "paused again");
	adopt_again(guest);
	hear(guest, NULL, QUIET_MS);
	ok(guest->channels == 1 && guest->heard.length == 0 && !guest->gone,
	   "adopted by another daemon, it is still paused");
	vmm_qemu.pause(guest->vmm);
	hear(guest, NULL, QUIET_MS);
	ok(guest->heard.length == 0 && guest->refusals == 0, "to pause it twice is no mistake");
	vmm_qemu.resume(guest->vmm);
	ok(next_beat(guest) > beat, "and the other one resumes it");
}

/* One that is started with limits has them from the beginning, the balloon as soon as it can. */
static void test_from_the_start(void)
{
	struct guest guest;
	uint64_t took;

	host.limits = (struct vmm_limits){ .disk_iops = READS_PER_SECOND,
					   .balloon_bytes = (uint64_t)BALLOON_MIB << 20 };
	ok(boot(&guest, "from-the-start"), "a guest with limits boots");
	took = time_reads(&guest);
	ok(took >= READS * 1000 / READS_PER_SECOND / 2, "its disk is limited");
	ok(free_becomes(&guest, 1, EATEN_MIB), "its balloon is filled");
	ok(guest.refusals == 0, "nothing was refused");
	tell(&guest, "poweroff\n");
	ok(ends(&guest), "it powers off");
	release(&guest);
}

int main(int argc, char **argv)
{
	struct guest guest;

	host_open(argc, argv);
	if (!ok(boot(&guest, "limits"), "a guest boots"))
		exit(1);
	test_disk_limit(&guest);
	test_disk_bandwidth(&guest);
	test_balloon(&guest);
	test_refusal(&guest);
	test_pause(&guest);
	tell(&guest, "poweroff\n");
	ok(ends(&guest), "it powers off");
	release(&guest);
	test_from_the_start();
	return host_close();
}
