/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms in which kernels come, and the plain one in which a VMM of ours starts them: on x86_64
 * an ELF with a PVH entry, on aarch64 the `Image`. For kernel.c.
 */
#ifndef STOKER_VMM_KERNEL_IMAGE_H
#define STOKER_VMM_KERNEL_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

enum machine { MACHINE_X86_64, MACHINE_AARCH64 };

#ifdef __aarch64__
#define MACHINE_HOST MACHINE_AARCH64
#else
#define MACHINE_HOST MACHINE_X86_64
#endif

enum {
	KERNEL_IMAGE_MIN = 512,	      /* bytes; all headers that are looked at lie within */
	KERNEL_IMAGE_MAX = 512 << 20, /* bytes, packed or unpacked */
};

/* An ELF or an Image, of whatever machine. In this and all below, `length` is at least
 * KERNEL_IMAGE_MIN. */
bool kernel_image_is_plain(const uint8_t *bytes, size_t length);

/* Is it, plain as it is, a kernel that a VM of the machine can start? `path` is for messages. */
int kernel_image_check(const uint8_t *bytes, size_t length, enum machine machine, const char *path,
		       struct error *err);

/* Puts into `out`, which must be empty, the plain kernel that is in a bzImage, in a zboot image of
 * EFI, or in a file that is compressed as a whole (Image.gz), and checks it. */
int kernel_image_extract(const uint8_t *bytes, size_t length, enum machine machine,
			 const char *path, struct strbuf *out, struct error *err);

#endif
