/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest boots into: a cpio archive ("newc", Documentation/driver-api/early-userspace/
 * buffer-format.rst of Linux) with stoker-init and the kernel modules it loads, cached by content,
 * followed by a second segment with this VM's configuration.
 */
#ifndef STOKER_GUEST_INITRAMFS_H
#define STOKER_GUEST_INITRAMFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "model/address.h"
#include "model/spec.h"

/* Packs stoker-init and the modules (in this order) and publishes it in `cache_dir` under a name
 * made of its content; an existing one is used as it is. *ret_path is owned by the caller. */
int initramfs_base(const char *init_path, const struct strv *modules, const char *cache_dir,
		   char **ret_path, struct error *err);

/* A file that stoker-init writes; borrowed. */
struct guest_file {
	const char *path; /* a secret's is its name */
	const char *user; /* "" = root, of a secret: whom the workload runs as */
	uint32_t mode;
	bool is_secret;
	const char *content;
	size_t length;
};

struct guest_config {
	const struct spec *spec;
	const char *gateway4, *gateway6; /* NULL: none */
	const void *gateway_mac;	 /* 6 bytes, for both gateways; NULL: none */
	const uint8_t
		*channel_key; /* CHANNEL_KEY_SIZE bytes; NULL: none, and the host hears nothing */
	const struct strv *disks; /* names in the VMM's order; NULL: it sets serials */
	bool is_verified;	  /* the guest checks the base disk by the image's hash tree */
	const struct guest_file *files;
	size_t file_count;
	const char *hosts; /* lines for /etc/hosts beyond the guest's own name and extra_hosts */
	const void *image_record; /* opaque: written by stoker-image, read by stoker-init */
	size_t image_record_length;
};

/* Appends the configuration segment for one VM. Secrets are left nowhere else. */
int initramfs_config(const struct guest_config *config, struct strbuf *out, struct error *err);

#endif
