/* SPDX-License-Identifier: Apache-2.0 */
/* Used by names.c and service.c on the image's root, by mounts.c on mount points. */
#include "guest-init/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int root_open(int root, const char *path, int flags)
{
	/* Non-blocking: the name may lead to a FIFO that nobody writes. */
	struct open_how how = {
		.flags = (unsigned)flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NONBLOCK | O_NOCTTY),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

static size_t read_all(int fd, char *to, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = read(fd, to + length, size - length);

		if (n <= 0)
			break;
		length += (size_t)n;
	}
	return length;
}

char *root_read(int root, const char *path)
{
	int fd = root_open(root, path, O_RDONLY);
	size_t length = 0;
	struct stat st;
	char *text;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= ROOT_TEXT_MAX)
		length = (size_t)st.st_size;
	text = calloc(1, length + 1);
	if (!text)
		abort();
	if (fd >= 0) {
		read_all(fd, text, length);
		close(fd);
	}
	return text;
}

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t n = write(fd, bytes, length);

		if (n < 0)
			return -1;
		bytes += n;
		length -= (size_t)n;
	}
	return 0;
}

static int replace_at(int directory, const char *name, const struct root_file *file)
{
	static const char temporary[] = ".stoker-new";
	int fd, result;

	unlinkat(directory, temporary, 0);
	fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -1;
	result = write_all(fd, file->bytes, file->length) < 0 ||
				 fchown(fd, file->uid, file->gid) < 0 || fchmod(fd, file->mode) < 0
			 ? -1
			 : 0;
	close(fd);
	/* A rename replaces a symbolic link itself, not what it points at. */
	if (result == 0)
		result = renameat(directory, temporary, directory, name);
	if (result < 0) {
		int number = errno;

		unlinkat(directory, temporary, 0);
		errno = number;
	}
	return result;
}

static int replace(int root, const char *directory, const char *name, const struct root_file *file,
		   struct failure *why)
{
	int fd = root_open(root, directory, O_PATH | O_DIRECTORY);
	int result;

	if (fd < 0 && errno == ENOENT) {
		if (root_mkdir(root, directory, why) < 0)
			return -1;
		fd = root_open(root, directory, O_PATH | O_DIRECTORY);
	}
	if (fd < 0)
		return failure_set(why, "open %s in the image: %s", directory, strerror(errno));
	result = replace_at(fd, name, file);
	if (result < 0)
		failure_set(why, "write %s/%s in the image: %s%s", directory[1] ? directory : "",
			    name, strerror(errno),
			    errno == ENOSPC ? " (give the VM a larger 'disk')" : "");
	close(fd);
	return result;
}

int root_replace(int root, const char *directory, const char *name, const char *text,
		 struct failure *why)
{
	const struct root_file file = { .bytes = text, .length = strlen(text), .mode = 0644 };

	return replace(root, directory, name, &file, why);
}

int root_write(int root, const struct root_file *file, struct failure *why)
{
	char directory[PATH_MAX];
	const char *name = strrchr(file->path, '/') + 1;
	size_t length = (size_t)(name - file->path);

	if (length >= sizeof(directory))
		return failure_set(why, "write a file: path of %zu bytes is too long",
				   strlen(file->path));
	memcpy(directory, file->path, length);
	/* Of "/etc/" the slash is not wanted in messages; of "/" it is all there is. */
	directory[length > 1 ? length - 1 : length] = '\0';
	return replace(root, directory, name, file, why);
}

/* Opens the directory `path`, creating its last component in `parent` when it is missing. */
static int enter(int root, const char *path, int parent, const char *component)
{
	int fd = root_open(root, path, O_PATH | O_DIRECTORY);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (mkdirat(parent, component, 0755) < 0)
		return -1;
	return root_open(root, path, O_PATH | O_DIRECTORY);
}

int root_mkdir(int root, const char *path, struct failure *why)
{
	char prefix[PATH_MAX];
	size_t length = strlen(path), at = 0;
	int parent;

	if (length >= sizeof(prefix))
		return failure_set(why, "create directory: path of %zu bytes is too long", length);
	memcpy(prefix, path, length + 1);
	parent = root_open(root, ".", O_PATH | O_DIRECTORY);
	while (parent >= 0 && path[at += strspn(path + at, "/")]) {
		size_t component = at;
		int next;

		at += strcspn(path + at, "/");
		prefix[at] = '\0';
		next = enter(root, prefix, parent, prefix + component);
		prefix[at] = path[at];
		if (next < 0) {
			failure_set(why, "create directory '%.100s': %s", path, strerror(errno));
			close(parent);
			return -1;
		}
		close(parent);
		parent = next;
	}
	if (parent < 0)
		return failure_set(why, "open the root directory: %s", strerror(errno));
	close(parent);
	return 0;
}
