/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files and directory trees. Every message names the path. */
#ifndef STOKER_BASE_FS_H
#define STOKER_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strbuf.h"

/* Reads a regular file (or a /proc file) whole; more than `max` bytes is an error. */
int fs_read(const char *path, size_t max, struct strbuf *ret, struct error *err);
int fs_read_fd(int fd, const char *name, size_t max, struct strbuf *ret, struct error *err);

/* 0 when only root or the calling user can have written what `fd` refers to. The messages have no
 * place; `name` is for remedies only. */
int fs_check_owner(int fd, const char *name, struct error *err);

/* Reads such a file, regular and of at most `max` bytes; likewise without a place. `is_secret`: nor
 * may everyone be able to read it. */
int fs_read_owned(const char *path, size_t max, bool is_secret, struct strbuf *ret,
		  struct error *err);

/* Writes all of it, across short writes and EINTR. */
int fs_write_all(int fd, const void *bytes, size_t length, struct error *err);

/* Writes a short string into an existing file, as /proc/sys and cgroupfs want it: one write(). */
int fs_write_value(const char *path, const char *value, struct error *err);

/* Replaces the file: temporary name, fsync, rename, fsync of the directory. A crash leaves either
 * the old or the new content. */
int fs_write_atomic(const char *path, const void *bytes, size_t length, mode_t mode,
		    struct error *err);

/* Makes a name that appeared, moved or went safe from a crash: syncs the directory it is in. */
int fs_sync_directory_of(const char *path, struct error *err);

/* Creates the directory and its parents (mode for the last one, 0755 for parents). An existing
 * directory is left as it is; anything else in the way is an error. */
int fs_mkdir_p(const char *path, mode_t mode, struct error *err);

/* Removes a tree without following symbolic links or leaving its file system. Missing is fine. */
int fs_remove_tree(const char *path, struct error *err);

#endif
