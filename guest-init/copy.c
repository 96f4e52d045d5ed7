/* SPDX-License-Identifier: Apache-2.0 */
/* Used by volumes.c at the first use of a volume. The tree is an image's: its depth is bounded by
 * that of path names, which stoker-image keeps below PATH_MAX. */
#include "guest-init/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { XATTR_NAMES_MAX = 4096, XATTR_VALUE_MAX = 64 << 10, CHUNK = 1 << 20 };

static int fail(const char *name, const char *step, struct failure *why)
{
	return failure_set(why, "copy '%.80s': %s: %s%s", name, step, strerror(errno),
			   errno == ENOSPC ? " (give the volume a larger size)" : "");
}

static int copy_xattrs(int from, int to, const char *name, struct failure *why)
{
	char names[XATTR_NAMES_MAX];
	ssize_t length = flistxattr(from, names, sizeof(names));
	char *value = length > 0 ? malloc(XATTR_VALUE_MAX) : NULL;
	int result = 0;

	for (ssize_t at = 0; value && at < length && result == 0;
	     at += (ssize_t)strlen(names + at) + 1) {
		ssize_t size = fgetxattr(from, names + at, value, XATTR_VALUE_MAX);

		if (size >= 0 && fsetxattr(to, names + at, value, (size_t)size, 0) < 0)
			result = fail(name, names + at, why);
	}
	free(value);
	return result;
}

/* What an open file or directory has beside its content; the owner first, for a change of it takes
 * set-user-ID bits and capabilities away. */
static int copy_attributes(int from, int to, const struct stat *st, const char *name,
			   struct failure *why)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return fail(name, "owner and mode", why);
	if (copy_xattrs(from, to, name, why) < 0)
		return -1;
	futimens(to, times);
	return 0;
}

static int copy_bytes(int from, int to, const char *name, struct failure *why)
{
	ssize_t n;

	do
		n = sendfile(to, from, NULL, CHUNK);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? fail(name, "content", why) : 0;
}

static int copy_file(int from, int to, const char *name, const struct stat *st, struct failure *why)
{
	int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int out = in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int result = out < 0 ? fail(name, "open", why) : copy_bytes(in, out, name, why);

	if (result == 0)
		result = copy_attributes(in, out, st, name, why);
	if (out >= 0)
		close(out);
	if (in >= 0)
		close(in);
	return result;
}

static int copy_link(int from, int to, const char *name, const struct stat *st, struct failure *why)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(from, name, target, sizeof(target) - 1);

	if (length < 0)
		return fail(name, "read", why);
	target[length] = '\0';
	if (symlinkat(target, to, name) < 0 ||
	    fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(name, "link", why);
	return 0;
}

static int copy_node(int to, const char *name, const struct stat *st, struct failure *why)
{
	if (mknodat(to, name, st->st_mode, st->st_rdev) < 0 ||
	    fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(to, name, st->st_mode & 07777, 0) < 0)
		return fail(name, "node", why);
	return 0;
}

static int copy_directory(int from, int to, const char *name, struct failure *why)
{
	int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int out = in < 0 || mkdirat(to, name, 0700) < 0
			  ? -1
			  : openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int result = out < 0 ? fail(name, "directory", why) : copy_tree(in, out, why);

	if (out >= 0)
		close(out);
	if (in >= 0)
		close(in);
	return result;
}

static int copy_entry(int from, int to, const char *name, struct failure *why)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(name, "inspect", why);
	if (S_ISDIR(st.st_mode))
		return copy_directory(from, to, name, why);
	if (S_ISREG(st.st_mode))
		return copy_file(from, to, name, &st, why);
	if (S_ISLNK(st.st_mode))
		return copy_link(from, to, name, &st, why);
	return copy_node(to, name, &st, why);
}

int copy_tree(int from, int to, struct failure *why)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	struct stat st;
	int result = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return fail(".", "list", why);
	}
	while (result == 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			result = copy_entry(from, to, entry->d_name, why);
	if (result == 0)
		result = fstat(fd, &st) < 0 ? fail(".", "inspect", why)
					    : copy_attributes(fd, to, &st, ".", why);
	closedir(dir);
	return result;
}
