/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How VMs of the QEMU driver live, end and are adopted: started by vmm-qemu.t.
 */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/vmm_host.h"
#include "vmm/console.h"

enum { FLOOD_BYTES = 16 << 10 };

static void ended_as(const struct guest *guest, const char *what, enum reason reason, int number,
		     const char *detail)
{
	printf("# %s: %s\n", what, guest->exit.detail);
	ok(guest->exit.reason == reason && guest->exit.exit_signal == number &&
		   strcmp(guest->exit.detail, detail) == 0,
	   "%s: reason and detail", what);
}

/* --- the tests -------------------------------------------------------------------------------- */

static bool status_has(const char *status, const char *key, const char *value)
{
	_cleanup_free_ char *line = xasprintf("\n%s:\t%s\n", key, value);

	return strstr(status, line);
}

static void read_proc(pid_t pid, const char *file, struct strbuf *out)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/%s", (int)pid, file);
	struct error err = { 0 };

	if (fs_read(path, 1 << 20, out, &err))
		die("proc", &err);
}

static void list_root(pid_t pid, struct strbuf *out)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/root", (int)pid);
	struct dirent **names;
	int count = scandir(path, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		if (names[i]->d_name[0] != '.')
			strbuf_printf(out, "%s ", names[i]->d_name);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

static void test_confined(pid_t pid)
{
	_cleanup_strbuf_ struct strbuf status = { 0 };
	_cleanup_strbuf_ struct strbuf links = { 0 };
	_cleanup_strbuf_ struct strbuf root = { 0 };
	_cleanup_strbuf_ struct strbuf mounts = { 0 };
	_cleanup_free_ char *uids = xasprintf("%d\t%d\t%d\t%d", UID, UID, UID, UID);
	const char *text;
	int lines = 0;

	read_proc(pid, "status", &status);
	text = strbuf_text(&status);
	ok(status_has(text, "Uid", uids) && status_has(text, "Gid", uids),
	   "uid and gid of its own");
	ok(status_has(text, "Groups", " ") || status_has(text, "Groups", ""), "no groups");
	ok(status_has(text, "CapEff", "0000000000000000") &&
		   status_has(text, "CapPrm", "0000000000000000") &&
		   status_has(text, "CapInh", "0000000000000000") &&
		   status_has(text, "CapBnd", "0000000000000000") &&
		   status_has(text, "CapAmb", "0000000000000000"),
	   "no capabilities in any set");
	ok(status_has(text, "Seccomp", "2"), "system calls are filtered");
	ok(status_has(text, "NoNewPrivs", "1"), "no new privileges");

	read_proc(pid, "net/dev", &links);
	for (const char *c = strbuf_text(&links); (c = strchr(c, '\n')); c++)
		lines++;
	ok(lines == 3 && strstr(strbuf_text(&links), "lo:"), "its network has lo and nothing else");

	list_root(pid, &root);
	printf("# root: %s\n", strbuf_text(&root));
	ok(strcmp(strbuf_text(&root), "dev lib lib64 proc usr ") == 0, "its root is minimal");
	read_proc(pid, "mounts", &mounts);
	ok(!strstr(strbuf_text(&mounts), " rw,"), "nothing it sees can be written");
	ok(strstr(strbuf_text(&mounts), "hidepid=invisible") != NULL, "it sees no other process");
}

static void test_life(void)
{
	struct guest guest;
	struct stat st = { 0 };

	if (!ok(boot(&guest, "life"), "a guest boots and speaks on its channel"))
		exit(1);
	ok(strstr(strbuf_text(&guest.heard), "hello base upper 02:53:00:00:00:01\n") ||
		   strstr(strbuf_text(&guest.heard), "hello upper base 02:53:00:00:00:01\n"),
	   "it finds its disks by serial and its network card");
	ok(strcmp(vmm_qemu.describe(guest.vmm), "qemu (tcg)") == 0 ||
		   strcmp(vmm_qemu.describe(guest.vmm), "qemu (kvm)") == 0,
	   "described as %s", vmm_qemu.describe(guest.vmm));
	test_confined(vmm_qemu.pid(guest.vmm));

	tell(&guest, "flood\n");
	for (int i = 0; i < 60 && st.st_size < FLOOD_BYTES; i++) {
		hear(&guest, NULL, 500);
		fstat(guest.console_fd, &st);
	}
	printf("# console file: %lld bytes\n", (long long)st.st_size);
	ok(guest.gone == 0, "a guest that floods its console goes on");
	ok(st.st_size >= FLOOD_BYTES, "the flood arrives");
	ok(st.st_size <= CONSOLE_FILE_MAX + (64 << 10), "and is bounded");
	tell(&guest, "ping\n");
	ok(hear(&guest, "pong\n", ANSWER_TIMEOUT_MS), "it still answers on its channel");

	tell(&guest, "poweroff\n");
	ok(ends(&guest), "it powers off");
	ended_as(&guest, "power-off", REASON_GUEST_ENDED, 0,
		 "SHUTDOWN guest-shutdown, exit code 0");
	ok(guest.channels == 1, "one channel");
	release(&guest);
}

static void test_panic(void)
{
	struct guest guest;

	ok(boot(&guest, "panic"), "another guest boots");
	tell(&guest, "panic\n");
	ok(ends(&guest), "it panics");
	/* An arm64 guest has no device to tell by: its console does. */
	ended_as(&guest, "panic", REASON_PANIC, 0,
		 host.machine == MACHINE_X86_64 ? "SHUTDOWN guest-panic, exit code 0"
						: "SHUTDOWN guest-reset, exit code 0");
	release(&guest);
}

static void test_signal(const char *name, bool booted, int number, enum reason reason,
			int exit_signal, const char *detail)
{
	struct guest guest;
	uint64_t begin;

	if (booted)
		ok(boot(&guest, name), "%s: boots", name);
	else
		start(&guest, name);
	begin = loop_now_ms();
	kill(vmm_qemu.pid(guest.vmm), number);
	ok(ends(&guest), "%s: ends", name);
	printf("# %s: signal to gone: %llu ms\n", name,
	       (unsigned long long)(guest.gone_ms - begin));
	ended_as(&guest, name, reason, exit_signal, detail);
	release(&guest);
}

static void test_kill(void)
{
	struct guest guest;

	start(&guest, "kill");
	vmm_qemu.kill(guest.vmm);
	ok(guest.gone == 0, "kill() calls nobody back from inside");
	ok(ends(&guest), "kill() ends it");
	ended_as(&guest, "kill()", REASON_OPERATOR, SIGKILL, "no shutdown event, signal 9");
	release(&guest);
}

struct handover {
	pid_t pid;
	uint64_t start_time;
};

/* The first daemon: starts a VM, hears it, and dies of a SIGKILL. */
static void first_daemon(int report_fd)
{
	struct handover handover = { 0 };
	struct error err = { 0 };
	struct guest guest;

	host.loop = loop_new(&err);
	if (host.loop && boot(&guest, "adopt")) {
		handover.pid = vmm_qemu.pid(guest.vmm);
		handover.start_time = vmm_qemu.start_time(guest.vmm);
		if (write(report_fd, &handover, sizeof(handover)) < 0)
			die("handover", NULL);
	}
	fflush(stdout);
	kill(getpid(), SIGKILL);
}

static void adopt(struct guest *guest, const struct handover *handover)
{
	struct error err = { 0 };

	open_run_dir(guest, "adopt");
	if (adopt_as(guest, "adopt", handover->pid, handover->start_time, &err))
		die("adopt", &err);
}

static void test_adoption(void)
{
	struct handover handover = { 0 };
	struct error err = { 0 };
	struct guest guest;
	int ends_of_pipe[2];
	pid_t pid;

	if (pipe2(ends_of_pipe, O_CLOEXEC))
		die("pipe", NULL);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		first_daemon(ends_of_pipe[1]);
	close(ends_of_pipe[1]);
	ok(read(ends_of_pipe[0], &handover, sizeof(handover)) == (ssize_t)sizeof(handover),
	   "a first daemon starts a guest");
	close(ends_of_pipe[0]);
	waitpid(pid, NULL, 0);
	ok(kill(handover.pid, 0) == 0, "the VM outlives it");

	open_run_dir(&guest, "adopt");
	ok(adopt_as(&guest, "adopt", handover.pid, handover.start_time + 1, &err) == -1,
	   "not adopted with another start time: %s", err.text);
	release(&guest);

	adopt(&guest, &handover);
	hear(&guest, NULL, 500);
	ok(guest.channels == 1, "adopted: the channel is there again");
	tell(&guest, "ping\n");
	ok(hear(&guest, "pong\n", ANSWER_TIMEOUT_MS), "and carries an answer");
	tell(&guest, "flood\n");
	let_go(&guest);
	sleep(2);
	ok(kill(handover.pid, 0) == 0, "let go, it runs on");

	adopt(&guest, &handover);
	hear(&guest, NULL, 500);
	tell(&guest, "ping\n");
	ok(hear(&guest, "pong\n", ANSWER_TIMEOUT_MS),
	   "adopted again: it answers, though nobody had read the flood on its console");
	tell(&guest, "poweroff\n");
	ok(ends(&guest), "it powers off");
	ended_as(&guest, "power-off of an adopted guest", REASON_GUEST_ENDED, 0,
		 "SHUTDOWN guest-shutdown, exit status unknown");
	release(&guest);
}

static bool run_dir_is_clean(const struct guest *guest)
{
	return faccessat(guest->run_dir_fd, "qmp.sock", F_OK, 0) &&
	       faccessat(guest->run_dir_fd, "channel.sock", F_OK, 0) &&
	       faccessat(guest->run_dir_fd, "console.fifo", F_OK, 0);
}

static void test_refusals(void)
{
	struct settings settings = host.settings;
	struct error err = { 0 };
	struct guest guest;

	ok(start_with(&guest, "root", host.kernel.path, 0, &err) == -1 && run_dir_is_clean(&guest),
	   "uid 0 is refused and nothing is left: %s", err.text);
	release(&guest);

	host.settings.qemu_path = (char *)"/usr/bin/env";
	ok(start_with(&guest, "env", host.kernel.path, UID, &err) == 0 && ends(&guest),
	   "a program that is no QEMU ends");
	ok(guest.exit.reason == REASON_VMM_CRASHED && strstr(guest.exit.detail, "exit code"),
	   "and is called a crash: %s", guest.exit.detail);
	release(&guest);
	host.settings = settings;

	if (host.machine != MACHINE_X86_64)
		return; /* QEMU takes any file for an Image: kernel_resolve() does not */
	ok(start_with(&guest, "no-kernel", host.initrd, UID, &err) == 0 && ends(&guest),
	   "a kernel that is none ends QEMU");
	ok(guest.exit.reason == REASON_VMM_CRASHED && strstr(guest.exit.detail, "exit code 1: "),
	   "and its message is kept: %s", guest.exit.detail);
	release(&guest);
}

int main(int argc, char **argv)
{
	host_open(argc, argv);
	test_life();
	test_panic();
	test_signal("SIGKILL", true, SIGKILL, REASON_VMM_KILLED, SIGKILL,
		    "no shutdown event, signal 9");
	test_signal("SIGSEGV", false, SIGSEGV, REASON_VMM_CRASHED, SIGSEGV,
		    "no shutdown event, signal 11");
	test_signal("SIGTERM", true, SIGTERM, REASON_VMM_KILLED, 0,
		    "SHUTDOWN host-signal, exit code 0");
	test_kill();
	test_adoption();
	test_refusals();
	return host_close();
}
