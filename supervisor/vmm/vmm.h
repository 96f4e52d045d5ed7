/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual machine monitor process per instance, behind one struct of functions per driver.
 *
 * The instance opens everything a VM may use (kernel, initramfs, disks, tap) and hands descriptors
 * over; a driver confines the process, starts it, and says how it ended. What outlives the daemon
 * (listening sockets, the console's FIFO) lies in the instance's run directory, from which `adopt`
 * takes the VM over again.
 */
#ifndef STOKER_VMM_VMM_H
#define STOKER_VMM_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "loop/loop.h"
#include "model/settings.h"
#include "model/status.h"
#include "vmm/kernel_image.h"

enum {
	VMM_DISKS_MAX = 8,
	VMM_CHANNEL_PORT = 1024, /* of the host, on which a guest with vsock finds its channel */
};

struct vmm_disk {
	const char *serial; /* how the guest finds it: "base", "upper" */
	int fd;		    /* of a file that still has a name: a driver may have to mount it */
	bool read_only;
	bool is_ephemeral; /* dies with the VM: the guest's flushes may be ignored */
};

/* What may change while the VM runs. 0: no limit, no balloon. */
struct vmm_limits {
	uint64_t disk_bandwidth; /* bytes a second, reads and writes of all writable disks */
	uint64_t disk_iops;
	uint64_t balloon_bytes; /* taken from the guest; it takes them back before it runs out */
};

struct cgroup;

/* Borrowed for the duration of the call. Descriptors stay the caller's. */
struct vmm_config {
	const char *name;    /* of the instance, for messages */
	const char *tenant;  /* whose it is */
	const char *id;	     /* "stk7": unique on the host, [a-z0-9], for groups and jails */
	int run_dir_fd;	     /* the instance's run directory, 0700, owned by root */
	const char *run_dir; /* its path */
	uid_t uid;	     /* the instance's own uid and gid */
	uint32_t cpus;
	uint64_t memory_bytes;
	enum machine machine; /* another than the host's: by QEMU, emulated */
	int kernel_fd;	      /* uncompressed ELF (x86_64) or Image (aarch64) */
	int initrd_fd;	      /* readable by uid */
	struct vmm_disk disks[VMM_DISKS_MAX];
	size_t disk_count;
	const char *tap_name;
	int tap_fd; /* IFF_TAP | IFF_NO_PI | IFF_VNET_HDR; -1: no network */
	uint8_t mac[6];
	struct vmm_limits limits;
	const struct cgroup *cgroup; /* where its limits of the host are set; NULL: nowhere */
	int console_fd; /* O_RDWR | O_APPEND file for the serial console and the VMM's own messages;
			 * the driver keeps its newest 128 to 256 KiB. Kept open (duplicated). */
};

/* How it ended, as far as the VMM and the host can tell. */
struct vmm_exit {
	/* REASON_GUEST_ENDED, _PANIC, _VMM_CRASHED, _VMM_KILLED, _OPERATOR or _START_ERROR */
	enum reason reason;
	int exit_signal;
	char detail[256]; /* for the log: "SHUTDOWN guest-panic, exit code 0" */
};

enum vmm_wish { VMM_WISH_LIMIT, VMM_WISH_PAUSE, VMM_WISH_RESUME };

/* None of these fires from inside a call to the driver. */
struct vmm_callbacks {
	/* The stream to the guest is connected; the callee owns fd. Fires again when the guest or
	 * the daemon reconnects. */
	void (*channel)(void *data, int fd);
	/* Fires exactly once; the process is gone and was reaped. vmm_free may be called inside. */
	void (*gone)(void *data, const struct vmm_exit *exit);
	/* For a driver that opens its tap by name. The process is there, in an empty network
	 * namespace, and is about to open the tap: it has to be in that namespace, down, and the
	 * property of the VM's uid. After the other it has it open: the tap may go where it is
	 * guarded. -1 ends the VM with that error. */
	int (*lend_tap)(void *data, int netns_fd, struct error *err);
	int (*take_tap)(void *data, int netns_fd, struct error *err);
	/* The VMM refused what limit, pause or resume asked for; the VM goes on as it was. */
	void (*refused)(void *data, enum vmm_wish wish, const struct error *err);
};

struct vmm;

struct vmm_driver {
	const char *name; /* "qemu" */
	bool has_serials; /* false: the guest knows its disks by their order alone */
	bool opens_tap;	  /* by name: see lend_tap; vmm_config.tap_fd is not used */

	/* Starts the VM. On an error nothing is left behind. */
	int (*start)(struct loop *loop, const struct settings *settings,
		     const struct vmm_config *config, const struct vmm_callbacks *callbacks,
		     void *data, struct vmm **ret, struct error *err);

	/* Takes over a VM that an earlier daemon started with this run directory. Of the config,
	 * what describes the process counts: name, id, run directory, uid, console, limits. */
	int (*adopt)(struct loop *loop, const struct settings *settings,
		     const struct vmm_config *config, pid_t pid, uint64_t start_time,
		     const struct vmm_callbacks *callbacks, void *data, struct vmm **ret,
		     struct error *err);

	/* SIGKILL to the process. `gone` follows. */
	void (*kill)(struct vmm *vmm);

	/* Replaces the limits that it runs with. */
	void (*limit)(struct vmm *vmm, const struct vmm_limits *limits);

	/* Stops the guest's processors, and lets them go on. Limits that change meanwhile hold from
	 * then on. Each may be said to one that is so already. */
	void (*pause)(struct vmm *vmm);
	void (*resume)(struct vmm *vmm);

	pid_t (*pid)(const struct vmm *vmm);
	uint64_t (*start_time)(const struct vmm *vmm);

	/* "qemu (tcg)": the driver with what runs the guest's instructions. */
	const char *(*describe)(const struct vmm *vmm);

	/* Stops watching; a running process goes on. NULL is fine; returns NULL. */
	struct vmm *(*free)(struct vmm *vmm);
};

extern const struct vmm_driver vmm_firecracker;
extern const struct vmm_driver vmm_qemu;

/* By the name in a record; NULL when this version has no such driver. */
const struct vmm_driver *vmm_find(const char *name);

enum { VMM_WHY_MAX = 96 };

/* Resolves a spec's `vmm` ("auto", "firecracker", "qemu") to a driver, and says why it is that one
 * ("auto: KVM is unusable"); -1 when it cannot work on this host. */
int vmm_choose(const char *vmm, const struct settings *settings, const struct vmm_driver **ret,
	       char ret_why[VMM_WHY_MAX], struct error *err);

#endif
