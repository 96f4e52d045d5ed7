/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Firecracker driver: one jailed `firecracker` per VM, for instance/ through vmm.h. A start
 * goes on after `start` has returned: the requests of fc_requests.c are sent one by one, and a
 * refusal ends the process with Firecracker's own words.
 *
 * In the run directory lie the FIFOs of the console and of the metrics, what was read from them,
 * and `started`, which says that the guest runs: a later daemon takes over no half-configured VM.
 * Everything else, the API socket and the channel's listener too, is in the jail (fc_jail.c), which
 * is reached through /proc/PID/cwd.
 */
#include "vmm/firecracker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "vmm/cgroup.h"
#include "vmm/console.h"
#include "vmm/fc_api.h"
#include "vmm/fc_jail.h"
#include "vmm/fc_release.h"
#include "vmm/fc_requests.h"
#include "vmm/vsock.h"

#define CONSOLE_FIFO "console.fifo"
#define METRICS_FIFO "metrics.fifo"
#define METRICS_FILE "metrics.json" /* lines; the newest are kept */
#define STARTED_FILE "started"	    /* holds what `describe` says */
#define JAIL_DIR     "jail"

/* Its own 5 MiB at most (SPECIFICATION.md of Firecracker), the copy of the program in its jail, and
 * buffers, with room. Threads: the API's, the main loop's, and the jailer before them. */
static const struct cgroup_needs needs = { .memory_bytes = 48 << 20, .threads = 16 };

struct vmm {
	struct loop *loop;		       /* borrowed */
	const struct settings *settings;       /* borrowed */
	const struct vmm_callbacks *callbacks; /* borrowed */
	void *data;
	struct child *child;	  /* owned, as is all below; NULL when gone */
	struct cgroup_leaf *leaf; /* NULL: no limits of the host, or gone */
	struct console *console;
	struct console *metrics;
	struct vsock *vsock;
	struct fc_api *api;
	int root_fd; /* of the jail */
	char *run_dir;
	struct strv writable; /* serials of the disks that may be limited */
	struct vmm_limits limits;
	pid_t pid;
	uint64_t start_time;
	bool was_started;
	bool was_killed;
	bool is_paused;
	char *failure; /* why the start was given up; NULL: it was not */
	char description[64];
};

/* --- how it ended ---------------------------------------------------------------------------- */

static void on_exit_of_child(struct child *child, const struct child_exit *ended, void *data)
{
	struct vmm *vmm = data;
	struct vmm_exit exit;
	struct error err;
	char line[160];
	struct fc_end end = {
		.ended = *ended,
		.was_started = vmm->was_started,
		.was_killed = vmm->was_killed,
		.failure = vmm->failure,
		.last_line = line,
	};

	console_drain(vmm->console);
	console_drain(vmm->metrics);
	console_last_line(vmm->console, line, sizeof(line));
	end.panic = console_panic(vmm->console);
	firecracker_classify(&end, &exit);
	cgroup_leaf_blame(vmm->leaf, &exit);
	vmm->api = fc_api_free(vmm->api);
	vmm->child = child_free(child);
	if (cgroup_leaf_remove(take_ptr(vmm->leaf), &err))
		log_warning("%s", err.text);
	vmm->callbacks->gone(vmm->data, &exit); /* may have freed vmm */
}

static void give_up(struct vmm *vmm, const struct error *err)
{
	if (!vmm->failure)
		vmm->failure = xstrdup(err->text);
	if (vmm->child)
		child_kill(vmm->child, SIGKILL);
}

/* What a run of requests is for: TAG_BOOT, or an enum vmm_wish. */
enum { TAG_BOOT = -1 };

/* --- the API --------------------------------------------------------------------------------- */

static int with_netns(const struct vmm *vmm,
		      int (*verb)(void *data, int netns_fd, struct error *err), struct error *err)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/ns/net", (int)vmm->pid);
	_cleanup_close_ int netns = open(path, O_RDONLY | O_CLOEXEC);

	if (netns < 0)
		return error_errno(err, errno, "%s", path);
	return verb(vmm->data, netns, err);
}

static int before_request(void *data, const struct api_request *request, struct error *err)
{
	struct vmm *vmm = data;

	return request->opens_tap ? with_netns(vmm, vmm->callbacks->lend_tap, err) : 0;
}

static int after_request(void *data, const struct api_request *request, struct error *err)
{
	struct vmm *vmm = data;

	return request->opens_tap ? with_netns(vmm, vmm->callbacks->take_tap, err) : 0;
}

/* The initramfs is in the guest's memory now; secrets have no business in a file. */
static int note_started(struct vmm *vmm, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", vmm->run_dir, STARTED_FILE);

	vmm->was_started = true;
	if (unlinkat(vmm->root_fd, FC_INITRD, 0) < 0)
		return error_errno(err, errno, "remove the initramfs from the jail");
	return fs_write_atomic(path, vmm->description, strlen(vmm->description), 0600, err);
}

static void on_run_done(void *data, int tag, const struct error *failure)
{
	struct vmm *vmm = data;
	struct error err;

	if (tag != TAG_BOOT && failure)
		vmm->callbacks->refused(vmm->data, (enum vmm_wish)tag, failure);
	if (tag != TAG_BOOT)
		return;
	if (failure)
		give_up(vmm, failure);
	else if (note_started(vmm, &err) < 0)
		give_up(vmm, &err);
}

static const struct fc_api_callbacks api_callbacks = {
	.before = before_request,
	.after = after_request,
	.done = on_run_done,
};

static void on_connection(void *data, int fd)
{
	struct vmm *vmm = data;

	vmm->callbacks->channel(vmm->data, fd);
}

/* --- a running VM ---------------------------------------------------------------------------- */

static struct vmm *fc_free(struct vmm *vmm)
{
	if (!vmm)
		return NULL;
	fc_api_free(vmm->api);
	vsock_free(vmm->vsock);
	console_free(vmm->console);
	console_free(vmm->metrics);
	child_free(vmm->child);
	cgroup_leaf_free(vmm->leaf);
	if (vmm->root_fd >= 0)
		close(vmm->root_fd);
	strv_reset(&vmm->writable);
	free(vmm->run_dir);
	free(vmm->failure);
	free(vmm);
	return NULL;
}

static void fc_free_cleanup(struct vmm **vmm)
{
	fc_free(*vmm);
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
	vmm->root_fd = -1;
	vmm->run_dir = xstrdup(config->run_dir);
	vmm->limits = config->limits;
	for (size_t i = 0; i < config->disk_count; i++)
		if (!config->disks[i].read_only)
			strv_add(&vmm->writable, config->disks[i].serial);
	return vmm;
}

/* From here on it is reached as one that was just started and one that is adopted are alike. */
static int reach(struct vmm *vmm, const struct vmm_config *config, struct error *err)
{
	_cleanup_free_ char *path = NULL;

	vmm->pid = child_pid(vmm->child);
	vmm->start_time = child_start_time(vmm->child);
	path = xasprintf("/proc/%d/cwd", (int)vmm->pid);
	vmm->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (vmm->root_fd < 0)
		return error_errno(err, errno, "%s: reach the jail", path);
	vmm->api = fc_api_new(vmm->loop, vmm->root_fd, config->uid, &api_callbacks, vmm);
	return vsock_listen(vmm->loop, vmm->root_fd, FC_VSOCK, config->uid, on_connection, vmm,
			    &vmm->vsock, err);
}

static int open_metrics(struct vmm *vmm, const struct vmm_config *config, int fifo_taken,
			struct error *err)
{
	_cleanup_close_ int fifo = fifo_taken;
	_cleanup_close_ int file = openat(config->run_dir_fd, METRICS_FILE,
					  O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (file < 0)
		return error_errno(err, errno, "%s: open", METRICS_FILE);
	vmm->metrics = console_new(vmm->loop, take_fd(&fifo), file, err);
	return vmm->metrics ? 0 : -1;
}

/* --- starting -------------------------------------------------------------------------------- */

/* What the process writes to. */
struct outputs {
	int console, metrics;
};

static void outputs_close(struct outputs *outputs)
{
	cleanup_close(&outputs->console);
	cleanup_close(&outputs->metrics);
}

static int make_fifo(const struct vmm_config *config, const char *name, int *ret_read,
		     int *ret_write, struct error *err)
{
	if (console_make(config->run_dir_fd, name, ret_read, ret_write, err))
		return -1;
	/* Firecracker opens it by name, as its own uid. */
	if (fchown(*ret_write, config->uid, config->uid))
		return error_errno(err, errno, "%s: give it to uid %u", name, config->uid);
	return 0;
}

static int make_outputs(struct vmm *vmm, const struct vmm_config *config, struct outputs *ret,
			struct error *err)
{
	int fifo = -1;

	if (make_fifo(config, CONSOLE_FIFO, &fifo, &ret->console, err))
		return -1;
	vmm->console = console_new(vmm->loop, fifo, config->console_fd, err);
	if (!vmm->console || make_fifo(config, METRICS_FIFO, &fifo, &ret->metrics, err))
		return -1;
	return open_metrics(vmm, config, fifo, err);
}

static void add_file(struct fc_jail *jail, const char *name, int fd, bool read_only)
{
	jail->files[jail->file_count++] =
		(struct fc_file){ .name = name, .fd = fd, .read_only = read_only };
}

_Static_assert(VMM_DISKS_MAX + 3 <= FC_FILES_MAX, "all files of a VM fit");

static int spawn(struct vmm *vmm, const struct vmm_config *config, struct fc_jail *jail,
		 const struct outputs *outputs, struct error *err)
{
	_cleanup_strv_ struct strv arguments = { 0 };
	struct child_fd fds[] = { { .fd = outputs->console, .target = 1 },
				  { .fd = outputs->console, .target = 2 } };
	struct child_options options = {
		.fds = fds,
		.fd_count = 2,
		.setup = fc_jail_enter,
		.setup_data = jail,
	};

	add_file(jail, FC_KERNEL, config->kernel_fd, true);
	add_file(jail, FC_CONSOLE, outputs->console, false);
	add_file(jail, FC_METRICS, outputs->metrics, false);
	for (size_t i = 0; i < config->disk_count; i++)
		add_file(jail, config->disks[i].serial, config->disks[i].fd,
			 config->disks[i].read_only);
	fc_jail_arguments(jail, &arguments);
	options.argv = arguments.items;
	return child_spawn(vmm->loop, &options, on_exit_of_child, vmm, &vmm->child, err);
}

/* Into the jail's tmpfs: it has a name only there, and only until the guest has it. */
static int copy_initrd(const struct vmm *vmm, const struct vmm_config *config, struct error *err)
{
	_cleanup_close_ int to = openat(vmm->root_fd, FC_INITRD,
					O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	off_t offset = 0;
	struct stat st;

	if (to < 0 || fstat(config->initrd_fd, &st) || fchown(to, config->uid, config->uid))
		return error_errno(err, errno, "initramfs: create in the jail");
	while (offset < st.st_size) {
		ssize_t n = sendfile(to, config->initrd_fd, &offset, (size_t)(st.st_size - offset));

		if (n <= 0)
			return error_errno(err, n < 0 ? errno : EIO, "initramfs: copy to the jail");
	}
	return 0;
}

/* The process is there: what fails from here on ends it, and is told as its end. */
static void configure(struct vmm *vmm, const struct vmm_config *config,
		      const struct fc_release *release)
{
	struct api_requests requests;
	struct error err;

	if (reach(vmm, config, &err) < 0 || copy_initrd(vmm, config, &err) < 0) {
		give_up(vmm, &err);
		return;
	}
	fc_requests_boot(config, release, &requests);
	fc_api_run(vmm->api, TAG_BOOT, &requests);
}

static int start_in(struct vmm *vmm, const struct settings *settings,
		    const struct vmm_config *config, struct error *err)
{
	CLEANUP(outputs_close) struct outputs outputs = { -1, -1 };
	_cleanup_free_ char *program = realpath(settings->firecracker_path, NULL);
	_cleanup_free_ char *jailer = settings->jail ? realpath(settings->jailer_path, NULL) : NULL;
	_cleanup_free_ char *mount_dir = xasprintf("%s/%s", config->run_dir, JAIL_DIR);
	struct fc_jail jail = { .uid = config->uid,
				.firecracker = program,
				.jailer = jailer,
				.id = config->id,
				.mount_dir = mount_dir };
	struct fc_release release;
	struct stat initrd;

	if (fc_release_read(settings->firecracker_path, &release, err) < 0)
		return -1;
	if (!program || (settings->jail && !jailer))
		return error_errno(err, errno, "%s",
				   program ? settings->jailer_path : settings->firecracker_path);
	if (fstat(config->initrd_fd, &initrd) || (mkdir(mount_dir, 0700) && errno != EEXIST))
		return error_errno(err, errno, "%s", mount_dir);
	jail.extra_bytes = (uint64_t)initrd.st_size;
	snprintf(vmm->description, sizeof(vmm->description), "firecracker %u.%u.%u (kvm%s)",
		 release.major, release.minor, release.patch, jailer ? "" : ", unjailed");
	if (make_outputs(vmm, config, &outputs, err) < 0 ||
	    cgroup_leaf_start(config, settings, &needs, &vmm->leaf, err) < 0)
		return -1;
	jail.leaf = vmm->leaf;
	if (spawn(vmm, config, &jail, &outputs, err) < 0)
		return -1;
	configure(vmm, config, &release);
	return 0;
}

static int fc_start(struct loop *loop, const struct settings *settings,
		    const struct vmm_config *config, const struct vmm_callbacks *callbacks,
		    void *data, struct vmm **ret, struct error *err)
{
	CLEANUP(fc_free_cleanup) struct vmm *vmm = vmm_new(loop, settings, config, callbacks, data);

	if (start_in(vmm, settings, config, err) < 0) {
		cgroup_leaf_remove(take_ptr(vmm->leaf), NULL);
		unlinkat(config->run_dir_fd, CONSOLE_FIFO, 0);
		unlinkat(config->run_dir_fd, METRICS_FIFO, 0);
		unlinkat(config->run_dir_fd, METRICS_FILE, 0);
		unlinkat(config->run_dir_fd, JAIL_DIR, AT_REMOVEDIR);
		return error_wrap(err, "start Firecracker");
	}
	*ret = take_ptr(vmm);
	return 0;
}

/* --- adopting -------------------------------------------------------------------------------- */

static int read_started(struct vmm *vmm, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", vmm->run_dir, STARTED_FILE);
	_cleanup_strbuf_ struct strbuf text = { 0 };

	if (fs_read(path, sizeof(vmm->description) - 1, &text, err) < 0)
		return error_wrap(err, "its guest was not started yet");
	snprintf(vmm->description, sizeof(vmm->description), "%s", strbuf_text(&text));
	vmm->was_started = true;
	return 0;
}

static int fc_adopt(struct loop *loop, const struct settings *settings,
		    const struct vmm_config *config, pid_t pid, uint64_t start_time,
		    const struct vmm_callbacks *callbacks, void *data, struct vmm **ret,
		    struct error *err)
{
	CLEANUP(fc_free_cleanup) struct vmm *vmm = vmm_new(loop, settings, config, callbacks, data);
	int console = -1, metrics = -1;

	if (read_started(vmm, err) < 0 ||
	    child_adopt(loop, pid, start_time, on_exit_of_child, vmm, &vmm->child, err) ||
	    console_reopen(config->run_dir_fd, CONSOLE_FIFO, &console, err))
		return error_wrap(err, "adopt '%s' from %s", config->name, config->run_dir);
	vmm->leaf = cgroup_leaf_find("", config->name, pid);
	vmm->console = console_new(loop, console, config->console_fd, err);
	if (!vmm->console || console_reopen(config->run_dir_fd, METRICS_FIFO, &metrics, err) ||
	    open_metrics(vmm, config, metrics, err) < 0 || reach(vmm, config, err) < 0)
		return error_wrap(err, "adopt '%s' from %s", config->name, config->run_dir);
	*ret = take_ptr(vmm);
	return 0;
}

/* --- verbs ----------------------------------------------------------------------------------- */

static void fc_kill(struct vmm *vmm)
{
	vmm->was_killed = true;
	if (vmm->child)
		child_kill(vmm->child, SIGKILL);
	cgroup_leaf_kill(vmm->leaf);
}

static void send_limits(struct vmm *vmm)
{
	struct api_requests requests;

	if (!vmm->api || !vmm->child)
		return;
	fc_requests_limit(&vmm->limits, &vmm->writable, &requests);
	fc_api_run(vmm->api, VMM_WISH_LIMIT, &requests);
}

/* A paused one hears of it when it is resumed. */
static void fc_limit(struct vmm *vmm, const struct vmm_limits *limits)
{
	struct error err;

	vmm->limits = *limits;
	if (!vmm->is_paused)
		send_limits(vmm);
	if (cgroup_leaf_limit_disks(vmm->leaf, vmm->settings, limits, &err) < 0)
		log_warning("%s", err.text);
}

/* By signals, and not by PATCH /vm: after "Resumed" a Firecracker of version 1.16 keeps back all
 * that the host says over vsock, as if a snapshot had been restored (Vsock::kick in its sources:
 * pending_event_ack). */
static void fc_pause(struct vmm *vmm)
{
	vmm->is_paused = true;
	if (vmm->child)
		child_kill(vmm->child, SIGSTOP);
}

static void fc_resume(struct vmm *vmm)
{
	if (vmm->child)
		child_kill(vmm->child, SIGCONT);
	if (vmm->is_paused)
		send_limits(vmm);
	vmm->is_paused = false;
}

static pid_t fc_pid(const struct vmm *vmm)
{
	return vmm->pid;
}

static uint64_t fc_start_time(const struct vmm *vmm)
{
	return vmm->start_time;
}

static const char *fc_describe(const struct vmm *vmm)
{
	return vmm->description;
}

const struct vmm_driver vmm_firecracker = {
	.name = "firecracker",
	.opens_tap = true,
	.start = fc_start,
	.adopt = fc_adopt,
	.kill = fc_kill,
	.limit = fc_limit,
	.pause = fc_pause,
	.resume = fc_resume,
	.pid = fc_pid,
	.start_time = fc_start_time,
	.describe = fc_describe,
	.free = fc_free,
};
