/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files inside the image, which may be anything: names resolve inside `root` whatever symbolic
 * links say (openat2, RESOLVE_IN_ROOT), and only regular files are read.
 */
#ifndef STOKER_GUEST_INIT_ROOT_H
#define STOKER_GUEST_INIT_ROOT_H

#include <stddef.h>
#include <sys/types.h>

#include "guest-init/failure.h"

enum { ROOT_TEXT_MAX = 1 << 20 };

/* Returns a descriptor, -1 with errno. */
int root_open(int root, const char *path, int flags);

/* The file as NUL-terminated text that the caller frees; "" when it is missing, no regular file, or
 * larger than ROOT_TEXT_MAX. */
char *root_read(int root, const char *path);

/* Replaces the file, or whatever is there under its name, by a new one of mode 0644. `directory` is
 * created when missing. */
int root_replace(int root, const char *directory, const char *name, const char *text,
		 struct failure *why);

/* The same for any path, bytes, mode and owner; the directories before it are created likewise. */
struct root_file {
	const char *path; /* absolute, its last component a name */
	const void *bytes;
	size_t length;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

int root_write(int root, const struct root_file *file, struct failure *why);

/* Creates the directory and its parents, mode 0755. */
int root_mkdir(int root, const char *path, struct failure *why);

#endif
