/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets in a directory, for the drivers: names relative to a descriptor, as sun_path has 108
 * bytes and run directories have any length.
 */
#ifndef STOKER_VMM_SOCKETS_H
#define STOKER_VMM_SOCKETS_H

#include <sys/types.h>

#include "base/error.h"

/* Takes the place of a socket that is there. Close-on-exec, blocking. */
int socket_listen(int dir_fd, const char *name, int *ret_fd, struct error *err);

/* Succeeds at once, before the peer accepts: the connection waits in the listener's queue.
 * Close-on-exec, non-blocking. */
int socket_connect(int dir_fd, const char *name, int *ret_fd, struct error *err);

/* Finds a listening socket in a directory that `uid`, which may be hostile, can write: no symbolic
 * link is followed, nothing outside the directory is reached, and whoever listens runs as `uid`.
 * *ret_fd is an O_PATH descriptor of the socket and of no other that takes its name later; connect
 * to it through /proc/self/fd. While nobody listens, err->number is ENOENT or ECONNREFUSED. */
int socket_find_beneath(int dir_fd, const char *path, uid_t uid, int *ret_fd, struct error *err);

#endif
