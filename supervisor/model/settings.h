/* SPDX-License-Identifier: Apache-2.0 */
/* What stoker.ini says, with its defaults filled in. config/settings reads it; nobody changes it.
 */
#ifndef STOKER_MODEL_SETTINGS_H
#define STOKER_MODEL_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strv.h"
#include "model/compression.h"

enum { SETTINGS_REGISTRIES_MAX = 32, SETTINGS_MIRRORS_MAX = 4 };

/* [registry HOST]: one registry, mirror, or host to which they send us. All is owned. */
struct registry_settings {
	char *host;	     /* as in references: "docker.io", "localhost:5000" */
	struct strv mirrors; /* mirrors = host[:port][/path] ...: asked first, in this order */
	char *ca_path;	     /* ca = /path: PEM; only these authorities are believed; or NULL */
	char *token_server;  /* token_server = host[:port]: may see the credential; or NULL */
};

/* QEMU for VMs of the host's own machine, and its package in Debian. */
#ifdef __aarch64__
#define SETTINGS_QEMU	      "/usr/bin/qemu-system-aarch64"
#define SETTINGS_QEMU_PACKAGE "qemu-system-arm"
#else
#define SETTINGS_QEMU	      "/usr/bin/qemu-system-x86_64"
#define SETTINGS_QEMU_PACKAGE "qemu-system-x86"
#endif

/* Each field is "[section] key" of stoker.ini(5), which states defaults and limits. Paths are
 * absolute. All strings are owned. */
struct settings {
	/* [paths] */
	char *fleet_dir;   /* fleet_dir = /etc/stoker/fleet.d */
	char *state_dir;   /* state_dir = /var/lib/stoker: images, kernels, disks, leases */
	char *run_dir;	   /* run_dir = /run/stoker: sockets and the records that adoption reads */
	char *log_dir;	   /* log_dir = /var/log/stoker */
	char *bpf_dir;	   /* bpf_dir = /sys/fs/bpf/stoker */
	char *libexec_dir; /* libexec_dir = PREFIX/lib/stoker: stoker-image, stoker-init */

	/* [daemon] */
	int log_level;	/* log_level = error|warning|info|debug, as enum log_level */
	uid_t uid_base; /* uid_base = 900000: first of the leased uids (fetch, build, then VMs) */
	uint32_t uid_count; /* uid_count = 65536 */

	/* [host] */
	uint64_t required_checks; /* require = CHECK ...: a set, see model/check.h */

	/* [image] */
	struct strv insecure_registries; /* insecure_registries = host[:port] ...: plain HTTP */
	uint32_t fetch_retries;		 /* retries = 3: per blob */
	uint64_t stall_timeout_ms;	 /* stall_timeout = 30s: below 1 KiB/s for so long */
	bool foreign_layers;		 /* foreign_layers = no: may come from their own URLs */
	char *credentials_path; /* credentials = /path: as `docker login` writes it; or NULL */
	char *credential_helpers_dir;	/* credential_helpers = /path: or NULL: none is run */
	uint32_t image_keep;		/* keep = 5: unused images that prune leaves */
	uint64_t image_keep_for_ms;	/* keep_for = 168h: nor does it touch one used since */
	uint64_t image_min_free;	/* min_free = 1GiB: below it unused images go anyway */
	uint32_t jobs;			/* jobs = 0: compression threads; 0 = one per CPU */
	struct compression compression; /* compress = zstd:3 */
	bool verity;			/* verity = no: a hash tree, checked by each start */

	/* [registry HOST] */
	struct registry_settings *registries; /* owned */
	size_t registry_count;

	/* [vm] */
	char *default_vmm;	   /* vmm = auto|firecracker|qemu */
	char *default_kernel;	   /* kernel = auto|/path */
	char *qemu_path;	   /* qemu = /usr/bin/qemu-system-ARCH */
	char *firecracker_path;	   /* firecracker = /usr/bin/firecracker */
	char *jailer_path;	   /* jailer = /usr/bin/jailer */
	bool jail;		   /* jail = yes: Firecracker runs under its jailer */
	uint64_t boot_timeout_ms;  /* boot_timeout = 3m: VMM start to the guest's hello */
	uint64_t guest_timeout_ms; /* guest_timeout = 1m: of silence, though it was asked */
	uint64_t restart_min_ms;   /* restart_delay_min = 100ms */
	uint64_t restart_max_ms;   /* restart_delay_max = 60s */
	uint64_t restart_reset_ms; /* restart_reset_after = 60s of running clears the delay */

	/* [guard] */
	bool flood_shield; /* flood_shield = auto|off: an XDP program against floods */

	/* [metrics] */
	char *metrics_listen; /* listen = unix|off|address:port */

	/* [cgroup] */
	char *cgroup_parent; /* parent = auto|none|/path below the mount */

	/* [log] */
	uint64_t log_file_bytes; /* file_size = 10MiB: rotated beyond */
	uint32_t log_files;	 /* files = 3: kept per VM, the current one included */
	uint64_t log_rate_bytes; /* rate = 1MiB: bytes a second kept per VM; surplus is counted */
	char *log_forward;	 /* forward = off: see model/target.h */
	char *log_forward_ca;	 /* forward_ca = /path: PEM, believed instead of the system's */
	char *log_forward_cert;	 /* forward_cert = /path: PEM; with the next, or both NULL */
	char *log_forward_key;	 /* forward_key = /path */
};

/* The documented defaults. The caller releases them with settings_reset. */
void settings_defaults(struct settings *ret);
void settings_reset(struct settings *settings);

/* What is said of a registry; NULL: nothing. */
const struct registry_settings *settings_registry(const struct settings *settings,
						  const char *host);

#endif
