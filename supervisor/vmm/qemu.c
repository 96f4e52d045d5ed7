/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QEMU driver: one confined `qemu-system-*` per VM, for instance/ through vmm.h.
 *
 * In the run directory lie qmp.sock and channel.sock, on which QEMU listens by descriptors that it
 * got, and console.fifo. Connections are made through /proc/self/fd, as sun_path has 108 bytes.
 */
#include "vmm/qemu.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "host/probe.h"
#include "vmm/cgroup.h"
#include "vmm/console.h"
#include "vmm/jail.h"
#include "vmm/qemu_args.h"
#include "vmm/sockets.h"

#define QMP_SOCKET     "qmp.sock"
#define CHANNEL_SOCKET "channel.sock"
#define CONSOLE_FIFO   "console.fifo"

/* Twice what its group held and could not give back with QEMU 7.2, 31 MiB with KVM, 65 MiB with
 * TCG, whose translated code (tb-size) and its tables are the difference; the rest is room for the
 * disks' page cache. Threads: main loop, RCU, up to 64 for the disks (util/thread-pool.c). */
static const struct cgroup_needs needs_tcg = { .memory_bytes = 128 << 20, .threads = 72 };
static const struct cgroup_needs needs_kvm = { .memory_bytes = 64 << 20, .threads = 72 };

struct vmm {
	struct loop *loop;		       /* borrowed */
	const struct settings *settings;       /* borrowed */
	const struct vmm_callbacks *callbacks; /* borrowed */
	void *data;
	struct child *child;	  /* owned; NULL when gone */
	struct cgroup_leaf *leaf; /* owned; NULL: no limits of the host, or gone */
	struct qmp *qmp;	  /* owned */
	struct console *console;  /* owned */
	struct watch *announce;	  /* owned; until the channel was handed over */
	int channel_fd;		  /* owned until then */
	bool kvm;
	bool killed;
	pid_t pid;
	uint64_t start_time;
};

static void remove_from(int dir_fd)
{
	unlinkat(dir_fd, QMP_SOCKET, 0);
	unlinkat(dir_fd, CHANNEL_SOCKET, 0);
	unlinkat(dir_fd, CONSOLE_FIFO, 0);
}

/* --- how it ended ---------------------------------------------------------------------------- */

struct cause {
	const char *shutdown_reason; /* qapi/run-state.json of QEMU, ShutdownCause */
	enum reason reason;
};

#define RESET "guest-reset"

static const struct cause causes[] = {
	{ "guest-shutdown", REASON_GUEST_ENDED }, { RESET, REASON_GUEST_ENDED },
	{ "guest-panic", REASON_PANIC },	  { "host-qmp-quit", REASON_OPERATOR },
	{ "host-signal", REASON_VMM_KILLED }, /* SIGTERM, SIGINT or SIGHUP, taken in order */
};

static enum reason reason_of_shutdown(const char *word)
{
	for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
		if (strcmp(causes[i].shutdown_reason, word) == 0)
			return causes[i].reason;
	return REASON_VMM_CRASHED; /* host-error, and what no VM of ours is asked for */
}

/* Signals that nothing but another process sends. */
static bool comes_from_outside(int number)
{
	return number == SIGKILL || number == SIGTERM || number == SIGINT || number == SIGHUP;
}

/* Without a word: the status decides. An orderly exit means that the guest ended it. */
static enum reason reason_of_status(const struct child_exit *ended)
{
	if (!ended->known)
		return REASON_VMM_CRASHED;
	if (ended->signaled)
		return comes_from_outside(ended->code) ? REASON_VMM_KILLED : REASON_VMM_CRASHED;
	return ended->code == 0 ? REASON_GUEST_ENDED : REASON_VMM_CRASHED;
}

static void describe_end(const struct qmp_record *said, const struct child_exit *ended, char *out,
			 size_t size)
{
	char status[48];

	if (!ended->known)
		snprintf(status, sizeof(status), "exit status unknown");
	else
		snprintf(status, sizeof(status), "%s %d", ended->signaled ? "signal" : "exit code",
			 ended->code);
	if (said->shutdown)
		snprintf(out, size, "SHUTDOWN %s, %s", said->reason, status);
	else
		snprintf(out, size, "%s, %s",
			 said->panicked ? "GUEST_PANICKED" : "no shutdown event", status);
}

void qemu_classify(const struct qmp_record *said, const struct child_exit *ended, bool killed,
		   struct vmm_exit *ret)
{
	*ret = (struct vmm_exit){ 0 };
	if (said->panicked)
		ret->reason = REASON_PANIC;
	else if (said->shutdown)
		ret->reason = reason_of_shutdown(said->reason);
	else if (killed)
		ret->reason = REASON_OPERATOR;
	else
		ret->reason = reason_of_status(ended);
	if (ended->known && ended->signaled)
		ret->exit_signal = ended->code;
	describe_end(said, ended, ret->detail, sizeof(ret->detail));
}

/* Before its main loop, which answers the first command, no guest has run: the last line on the
 * console is QEMU's own and says what is wrong. */
static void add_start_failure(const struct vmm *vmm, struct vmm_exit *exit)
{
	char line[64];
	size_t used = strlen(exit->detail);

	console_last_line(vmm->console, line, sizeof(line));
	snprintf(exit->detail + used, sizeof(exit->detail) - used, ": %s", line);
}

/* Which panic it was; and whether it was one at all: a guest that does not tell its pvpanic, as
 * those of aarch64 have none, is reset by it. */
static void ask_console(const struct vmm *vmm, struct vmm_exit *exit)
{
	enum reason said = console_panic(vmm->console);

	if (said != REASON_NONE)
		exit->reason = said;
}

static void on_exit_of_child(struct child *child, const struct child_exit *ended, void *data)
{
	struct vmm *vmm = data;
	const struct qmp_record *said = qmp_drain(vmm->qmp);
	struct vmm_exit exit;
	struct error err;

	console_drain(vmm->console);
	qemu_classify(said, ended, vmm->killed, &exit);
	if (exit.reason == REASON_PANIC || (said->shutdown && strcmp(said->reason, RESET) == 0))
		ask_console(vmm, &exit);
	cgroup_leaf_blame(vmm->leaf, &exit);
	if (exit.reason == REASON_VMM_CRASHED && !said->ready && ended->known && !ended->signaled)
		add_start_failure(vmm, &exit);
	vmm->child = child_free(child);
	if (cgroup_leaf_remove(take_ptr(vmm->leaf), &err))
		log_warning("%s", err.text);
	vmm->callbacks->gone(vmm->data, &exit); /* may have freed vmm */
}

/* --- a running VM ---------------------------------------------------------------------------- */

static struct vmm *qemu_free(struct vmm *vmm)
{
	if (!vmm)
		return NULL;
	watch_free(vmm->announce);
	qmp_free(vmm->qmp);
	console_free(vmm->console);
	child_free(vmm->child);
	cgroup_leaf_free(vmm->leaf);
	if (vmm->channel_fd >= 0)
		close(vmm->channel_fd);
	free(vmm);
	return NULL;
}

static void qemu_free_cleanup(struct vmm **vmm)
{
	qemu_free(*vmm);
}

static void on_announce(struct watch *watch, unsigned events, void *data)
{
	struct vmm *vmm = data;

	(void)events;
	vmm->announce = watch_free(watch);
	vmm->callbacks->channel(vmm->data, take_fd(&vmm->channel_fd));
}

static void on_refused(void *data, enum vmm_wish wish, const struct error *why)
{
	struct vmm *vmm = data;

	vmm->callbacks->refused(vmm->data, wish, why);
}

static struct vmm *vmm_new(struct loop *loop, const struct settings *settings,
			   const struct vmm_config *config, const struct vmm_callbacks *callbacks,
			   void *data)
{
	struct vmm *vmm = xcalloc(1, sizeof(*vmm));

	vmm->loop = loop;
	vmm->settings = settings;
	vmm->callbacks = callbacks;
	vmm->data = data;
	vmm->channel_fd = -1;
	vmm->kvm = config->machine == MACHINE_HOST && kvm_probe(settings) == KVM_HARDWARE;
	return vmm;
}

/* From here on the VM is watched. */
static int watch_vm(struct vmm *vmm, int run_dir_fd, int fifo_fd, int console_fd, struct error *err)
{
	int qmp_fd = -1;

	vmm->console = console_new(vmm->loop, fifo_fd, console_fd, err);
	if (!vmm->console || socket_connect(run_dir_fd, CHANNEL_SOCKET, &vmm->channel_fd, err) ||
	    socket_connect(run_dir_fd, QMP_SOCKET, &qmp_fd, err))
		return -1;
	vmm->qmp = qmp_new(vmm->loop, qmp_fd, on_refused, vmm);
	vmm->announce = loop_soon(vmm->loop, on_announce, vmm);
	return 0;
}

static void note_process(struct vmm *vmm)
{
	vmm->pid = child_pid(vmm->child);
	vmm->start_time = child_start_time(vmm->child);
}

static int spawn(struct vmm *vmm, const struct vmm_config *config, const struct qemu_parts *parts,
		 struct error *err)
{
	CLEANUP(qemu_args_reset) struct qemu_args args = { 0 };
	struct jail jail = {
		.uid = config->uid,
		.program = parts->program,
		.mount_dir = config->run_dir,
		.leaf = vmm->leaf,
		.needs_kvm = parts->kvm,
	};
	struct child_options options = { .setup = jail_enter, .setup_data = &jail };

	qemu_args_build(config, parts, &args);
	options.argv = args.argv.items;
	options.fds = args.fds;
	options.fd_count = args.fd_count;
	return child_spawn(vmm->loop, &options, on_exit_of_child, vmm, &vmm->child, err);
}

static int start_in(struct vmm *vmm, const struct settings *settings,
		    const struct vmm_config *config, struct error *err)
{
	_cleanup_free_ char *program = realpath(settings->qemu_path, NULL);
	_cleanup_close_ int qmp_fd = -1;
	_cleanup_close_ int channel_fd = -1;
	_cleanup_close_ int console_write_fd = -1;
	int console_read_fd = -1;
	struct qemu_parts parts;

	if (!program)
		return error_errno(err, errno, "%s", settings->qemu_path);
	if (socket_listen(config->run_dir_fd, QMP_SOCKET, &qmp_fd, err) ||
	    socket_listen(config->run_dir_fd, CHANNEL_SOCKET, &channel_fd, err) ||
	    console_make(config->run_dir_fd, CONSOLE_FIFO, &console_read_fd, &console_write_fd,
			 err) ||
	    watch_vm(vmm, config->run_dir_fd, console_read_fd, config->console_fd, err) ||
	    cgroup_leaf_start(config, settings, vmm->kvm ? &needs_kvm : &needs_tcg, &vmm->leaf,
			      err))
		return -1;
	parts = (struct qemu_parts){
		.program = program,
		.kvm = vmm->kvm,
		.qmp_fd = qmp_fd,
		.channel_fd = channel_fd,
		.console_fd = console_write_fd,
	};
	/* The limits of the disks are on the command line; for the balloon there is no option. */
	if (config->limits.balloon_bytes)
		qmp_set_balloon(vmm->qmp, config->limits.balloon_bytes);
	return spawn(vmm, config, &parts, err);
}

static int qemu_start(struct loop *loop, const struct settings *settings,
		      const struct vmm_config *config, const struct vmm_callbacks *callbacks,
		      void *data, struct vmm **ret, struct error *err)
{
	CLEANUP(qemu_free_cleanup)
	struct vmm *vmm = vmm_new(loop, settings, config, callbacks, data);

	if (start_in(vmm, settings, config, err)) {
		cgroup_leaf_remove(take_ptr(vmm->leaf), NULL);
		remove_from(config->run_dir_fd);
		return error_wrap(err, "start QEMU");
	}
	note_process(vmm);
	*ret = take_ptr(vmm);
	return 0;
}

static int qemu_adopt(struct loop *loop, const struct settings *settings,
		      const struct vmm_config *config, pid_t pid, uint64_t start_time,
		      const struct vmm_callbacks *callbacks, void *data, struct vmm **ret,
		      struct error *err)
{
	CLEANUP(qemu_free_cleanup)
	struct vmm *vmm = vmm_new(loop, settings, config, callbacks, data);
	int fifo_fd = -1;

	if (child_adopt(loop, pid, start_time, on_exit_of_child, vmm, &vmm->child, err) ||
	    console_reopen(config->run_dir_fd, CONSOLE_FIFO, &fifo_fd, err) ||
	    watch_vm(vmm, config->run_dir_fd, fifo_fd, config->console_fd, err))
		return error_wrap(err, "adopt '%s' from %s", config->name, config->run_dir);
	vmm->leaf = cgroup_leaf_find("", config->name, pid);
	note_process(vmm);
	*ret = take_ptr(vmm);
	return 0;
}

static void qemu_kill(struct vmm *vmm)
{
	vmm->killed = true;
	if (vmm->child)
		child_kill(vmm->child, SIGKILL);
	cgroup_leaf_kill(vmm->leaf);
}

static void qemu_limit(struct vmm *vmm, const struct vmm_limits *limits)
{
	struct error err;

	qmp_limit_disks(vmm->qmp, limits->disk_bandwidth, limits->disk_iops);
	qmp_set_balloon(vmm->qmp, limits->balloon_bytes);
	if (cgroup_leaf_limit_disks(vmm->leaf, vmm->settings, limits, &err))
		log_warning("%s", err.text);
}

static void qemu_pause(struct vmm *vmm)
{
	qmp_set_paused(vmm->qmp, true);
}

static void qemu_resume(struct vmm *vmm)
{
	qmp_set_paused(vmm->qmp, false);
}

static pid_t qemu_pid(const struct vmm *vmm)
{
	return vmm->pid;
}

static uint64_t qemu_start_time(const struct vmm *vmm)
{
	return vmm->start_time;
}

static const char *qemu_describe(const struct vmm *vmm)
{
	return vmm->kvm ? "qemu (kvm)" : "qemu (tcg)";
}

const struct vmm_driver vmm_qemu = {
	.name = "qemu",
	.has_serials = true,
	.start = qemu_start,
	.adopt = qemu_adopt,
	.kill = qemu_kill,
	.limit = qemu_limit,
	.pause = qemu_pause,
	.resume = qemu_resume,
	.pid = qemu_pid,
	.start_time = qemu_start_time,
	.describe = qemu_describe,
	.free = qemu_free,
};
