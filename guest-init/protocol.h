/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words between host and guest: the only file shared by supervisor/ and guest-init/.
 *
 * 1. Configuration: a file of entries in the initramfs. /stoker/image is what the image says,
 * written by stoker-image; /stoker/config is what the manifest says, written by the daemon.
 * stoker-init reads both; the manifest wins.
 * 2. The channel: frames over virtserialport "stoker.0" (QEMU) or vsock (Firecracker).
 *
 * All integers are little-endian.
 */
#ifndef STOKER_GUEST_INIT_PROTOCOL_H
#define STOKER_GUEST_INIT_PROTOCOL_H

#include <stdint.h>

/* An entry of a configuration file: this header, then `length` bytes. Text has no NUL inside and is
 * not terminated. Lists are repeated entries, in order. An unknown tag is an error: both sides are
 * one installation. */
struct config_entry {
	uint32_t tag;
	uint32_t length;
} __attribute__((packed));

enum {
	CONFIG_ENTRY_MAX = 1 << 20,
	CONFIG_FILE_MAX = 8 << 20,
};

enum config_tag {
	/* In both files. */
	CONFIG_ENTRYPOINT = 1, /* one word; the list replaces the image's */
	CONFIG_COMMAND,	       /* one word; likewise */
	CONFIG_ENVIRONMENT,    /* "KEY=value"; merged by key, the manifest's win */
	CONFIG_USER,	       /* "name", "uid", "name:group", "uid:gid": resolved in the image */
	CONFIG_WORKING_DIR,    /* absolute; created when missing */
	CONFIG_STOP_SIGNAL,    /* "SIGTERM", "TERM" or a number */

	/* Only in the manifest's. */
	CONFIG_HAS_ENTRYPOINT = 32, /* empty: the list (even an empty one) replaces the image's,
				       and the image's command is dropped, as Compose does */
	CONFIG_HAS_COMMAND,	    /* empty: the list (even an empty one) replaces the image's */
	CONFIG_HOSTNAME,
	CONFIG_ADDRESS,	    /* "10.20.0.10" or "fd00:20::a": /32 or /128 on eth0 */
	CONFIG_GATEWAY,	    /* "169.254.1.1" or "fe80::1": on link, default route */
	CONFIG_GATEWAY_MAC, /* 6 bytes: permanent neighbour entry for the gateways */
	CONFIG_HOSTS,	    /* lines for /etc/hosts */
	CONFIG_DNS,	    /* an address for /etc/resolv.conf */
	CONFIG_TMPFS,	    /* a mount point */
	CONFIG_READ_ONLY,   /* empty: the workload's root is read-only */
	CONFIG_MODULE,	    /* a path in the initramfs, in the order to load */
};

#endif
