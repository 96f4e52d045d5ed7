/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files and trees; used by everything that keeps state on disk. */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

int fs_read_fd(int fd, const char *name, size_t max, struct strbuf *ret, struct error *err)
{
	_cleanup_strbuf_ struct strbuf content = { 0 };
	char chunk[16384];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "%s: cannot read", name);
		if (n == 0)
			break;
		if (content.length + (size_t)n > max)
			return error_set(err, "%s: larger than the %zu bytes allowed", name, max);
		strbuf_add(&content, chunk, (size_t)n);
	}
	strbuf_reset(ret);
	*ret = content;
	content = (struct strbuf){ 0 };
	return 0;
}

int fs_read(const char *path, size_t max, struct strbuf *ret, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, errno, "%s: cannot open", path);
	return fs_read_fd(fd, path, max, ret, err);
}

int fs_check_owner(int fd, const char *name, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "cannot inspect");
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_set(err, "owned by uid %u (chown root %s)", (unsigned)st.st_uid, name);
	if (st.st_mode & S_IWOTH)
		return error_set(err, "writable by everyone (chmod go-w %s)", name);
	if (st.st_mode & S_IWGRP)
		return error_set(err, "writable by its group (chmod g-w %s)", name);
	return 0;
}

int fs_read_owned(const char *path, size_t max, bool is_secret, struct strbuf *ret,
		  struct error *err)
{
	/* O_NONBLOCK: a FIFO must not hold up the daemon. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return error_errno(err, errno, "cannot open");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, "not a regular file");
	if (fs_check_owner(fd, path, err) < 0)
		return -1;
	if (is_secret && (st.st_mode & S_IROTH))
		return error_set(err, "readable by everyone (chmod o-r %s)", path);
	if (st.st_size > (off_t)max)
		return error_set(err, "larger than %zu KiB", max >> 10);
	return fs_read_fd(fd, path, max, ret, err);
}

int fs_write_all(int fd, const void *bytes, size_t length, struct error *err)
{
	const char *at = bytes;

	while (length > 0) {
		ssize_t n = write(fd, at, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "cannot write");
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

int fs_write_value(const char *path, const char *value, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, errno, "%s: cannot open", path);
	if (write(fd, value, strlen(value)) != (ssize_t)strlen(value))
		return error_errno(err, errno, "%s: cannot write '%s'", path, value);
	return 0;
}

int fs_sync_directory_of(const char *path, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(path);
	const char *directory = dirname(copy);
	_cleanup_close_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_errno(err, errno, "%s: cannot sync the directory", directory);
	return 0;
}

static int write_and_sync(const char *path, const void *bytes, size_t length, mode_t mode,
			  struct error *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
				      0600);

	if (fd < 0)
		return error_errno(err, errno, "%s: cannot create", path);
	if (fs_write_all(fd, bytes, length, err) < 0)
		return error_wrap(err, "%s", path);
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return error_errno(err, errno, "%s: cannot sync", path);
	return 0;
}

int fs_write_atomic(const char *path, const void *bytes, size_t length, mode_t mode,
		    struct error *err)
{
	_cleanup_free_ char *temporary = xasprintf("%s.new", path);

	if (write_and_sync(temporary, bytes, length, mode, err) < 0) {
		unlink(temporary);
		return -1;
	}
	if (rename(temporary, path) < 0) {
		error_errno(err, errno, "%s: cannot rename to '%s'", temporary, path);
		unlink(temporary);
		return -1;
	}
	return fs_sync_directory_of(path, err);
}

static int make_one(const char *path, mode_t mode, struct error *err)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return error_errno(err, errno, "%s: cannot create directory", path);
	if (stat(path, &st) < 0)
		return error_errno(err, errno, "%s: cannot inspect", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, "%s: is in the way of a directory (move it)", path);
	return 0;
}

int fs_mkdir_p(const char *path, mode_t mode, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(path);
	size_t length = strlen(copy);

	/* A slash at the end would make the last one a parent. */
	while (length > 1 && copy[length - 1] == '/')
		copy[--length] = '\0';
	for (char *slash = length ? strchr(copy + 1, '/') : NULL; slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (make_one(copy, 0755, err) < 0)
			return -1;
		*slash = '/';
	}
	return make_one(copy, mode, err);
}

/* Empties the directory behind `fd` (taken over). Nothing is opened through a link or a mount. */
static int empty_directory(int fd, dev_t device, const char *path, struct error *err)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (!dir) {
		error_errno(err, errno, "%s: cannot list", path);
		close(fd);
		return -1;
	}
	while (result == 0 && (entry = readdir(dir))) {
		struct stat st;
		int child;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), entry->d_name, 0) == 0 || errno == ENOENT)
			continue;
		child = openat(dirfd(dir), entry->d_name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0 || fstat(child, &st) < 0 || st.st_dev != device) {
			result = error_errno(err, child < 0 ? errno : EXDEV, "%s/%s: cannot remove",
					     path, entry->d_name);
			if (child >= 0)
				close(child);
			break;
		}
		result = empty_directory(child, device, path, err);
		if (result == 0 && unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) < 0)
			result = error_errno(err, errno, "%s/%s: cannot remove", path,
					     entry->d_name);
	}
	closedir(dir);
	return result;
}

int fs_remove_tree(const char *path, struct error *err)
{
	struct stat st;
	int fd;

	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "%s: cannot open", path);
	if (fstat(fd, &st) < 0) {
		close(fd);
		return error_errno(err, errno, "%s: cannot inspect", path);
	}
	if (empty_directory(fd, st.st_dev, path, err) < 0)
		return -1;
	if (rmdir(path) < 0)
		return error_errno(err, errno, "%s: cannot remove", path);
	return 0;
}
