/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of a guest-initiated vsock connection: a listening unix socket in Firecracker's
 * directory, on which Firecracker connects when the guest connects to CID 2 and the channel's port
 * (docs/vsock.md of Firecracker). For firecracker.c.
 */
#ifndef STOKER_VMM_VSOCK_H
#define STOKER_VMM_VSOCK_H

#include <sys/types.h>

#include "base/error.h"
#include "loop/loop.h"

struct vsock;

/* `fd` is a connected, non-blocking stream to the guest; the callee owns it. May free the vsock. */
typedef void vsock_fn(void *data, int fd);

/* Listens as `NAME_1024` in the directory, for `uid` alone, in the place of an earlier listener. */
int vsock_listen(struct loop *loop, int root_fd, const char *name, uid_t uid, vsock_fn *fn,
		 void *data, struct vsock **ret, struct error *err);
struct vsock *vsock_free(struct vsock *vsock); /* NULL is fine; returns NULL */

#endif
