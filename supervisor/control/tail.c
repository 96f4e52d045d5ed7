/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows a log across rotation for the `logs` command. Files are told apart by device and inode:
 * the one being read is looked for among FILE, FILE.1, ... to find which comes next. The writer is
 * this same thread, so no rotation happens between two steps of a call.
 */
#include "control/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

struct tail {
	char *path;   /* owned */
	int fd;	      /* of the file being read; -1: none exists yet */
	off_t offset; /* of the next byte */
	char chunk[TAIL_CHUNK_MAX];
};

static char *name_of(const char *path, unsigned index)
{
	return index ? xasprintf("%s.%u", path, index) : xstrdup(path);
}

/* -1 with errno. Anything but a regular file counts as missing. */
static int open_file(const char *path, unsigned index)
{
	_cleanup_free_ char *name = name_of(path, index);
	_cleanup_close_ int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		errno = ENOENT;
		return -1;
	}
	return take_fd(&fd);
}

static int oldest_index(const char *path)
{
	int oldest = -1;

	for (unsigned i = 0; i < TAIL_FILES_MAX; i++) {
		_cleanup_free_ char *name = name_of(path, i);

		if (access(name, F_OK) == 0)
			oldest = (int)i;
		else if (i > 0)
			break;
	}
	return oldest;
}

/* Which of the files on disk is the open one; -1: it was deleted. */
static int current_index(const struct tail *tail)
{
	struct stat ours, theirs;

	if (fstat(tail->fd, &ours) < 0)
		return -1;
	for (unsigned i = 0; i < TAIL_FILES_MAX; i++) {
		_cleanup_free_ char *name = name_of(tail->path, i);

		if (stat(name, &theirs) == 0 && theirs.st_ino == ours.st_ino &&
		    theirs.st_dev == ours.st_dev)
			return (int)i;
	}
	return -1;
}

/* False: there is no such file, and the tail stays where it is. */
static bool move_to(struct tail *tail, int index)
{
	int fd = index < 0 ? -1 : open_file(tail->path, (unsigned)index);

	if (fd < 0)
		return false;
	if (tail->fd >= 0)
		close(tail->fd);
	tail->fd = fd;
	tail->offset = 0;
	return true;
}

/* Walks back from the end of `fd` until `*lines` lines were passed; what is left of them, if the
 * file has fewer, stays in *lines. */
static off_t find_start(int fd, uint64_t *lines, char *chunk)
{
	off_t end = lseek(fd, 0, SEEK_END);
	bool is_last_byte = true;

	while (end > 0) {
		size_t length = end > TAIL_CHUNK_MAX ? TAIL_CHUNK_MAX : (size_t)end;
		off_t start = end - (off_t)length;

		if (pread(fd, chunk, length, start) != (ssize_t)length)
			return start;
		for (size_t i = length; i-- > 0; is_last_byte = false) {
			/* The newline that ends the file begins no line. */
			if (chunk[i] != '\n' || is_last_byte)
				continue;
			if (--*lines == 0)
				return start + (off_t)i + 1;
		}
		end = start;
	}
	if (!is_last_byte)
		--*lines;
	return 0;
}

/* Where the first line begins after the byte before `at`; `end` when there is none. *ret_is_before:
 * that line is from before `since`. */
static off_t next_line(int fd, off_t at, off_t end, const char *since, char *chunk,
		       bool *ret_is_before)
{
	size_t length = strlen(since);

	*ret_is_before = false;
	for (off_t from = at ? at - 1 : 0; from < end;) {
		ssize_t n = pread(fd, chunk, TAIL_CHUNK_MAX, from);
		const char *newline = n > 0 && at ? memchr(chunk, '\n', (size_t)n) : NULL;
		off_t start = !at ? 0 : newline ? from + (newline - chunk) + 1 : from + n;

		if (n <= 0)
			break;
		from = start;
		if (at && !newline)
			continue;
		n = pread(fd, chunk, length, start);
		*ret_is_before = n == (ssize_t)length && memcmp(chunk, since, length) < 0;
		return start < end ? start : end;
	}
	return end;
}

/* The first line that is not from before `since`, by halves: lines are in the order of time, but
 * for a clock that was set back. */
static off_t find_since(int fd, const char *since, char *chunk)
{
	off_t end = lseek(fd, 0, SEEK_END), low = 0, high = end;
	bool is_before;

	while (low < high) {
		off_t middle = low + (high - low) / 2;
		off_t line = next_line(fd, middle, end, since, chunk, &is_before);

		if (line < end && is_before)
			low = line + 1;
		else
			high = middle;
	}
	return next_line(fd, low, end, since, chunk, &is_before);
}

/* Goes on to what is not from before `since`, from its place in the file of that index, through
 * newer files. */
static void skip_to(struct tail *tail, int index, const char *since)
{
	for (;; index--) {
		off_t end = lseek(tail->fd, 0, SEEK_END);
		off_t start = find_since(tail->fd, since, tail->chunk);

		if (start > tail->offset)
			tail->offset = start;
		if (tail->offset < end || index == 0 || !move_to(tail, index - 1))
			return;
	}
}

int tail_open(const char *path, uint64_t lines, const char *since, struct tail **ret,
	      struct error *err)
{
	int at = -1;
	int oldest = oldest_index(path);
	struct tail *tail;
	int fd;

	fd = open_file(path, 0);
	if (fd < 0 && errno != ENOENT)
		return error_errno(err, errno, "%s: cannot open", path);
	if (fd >= 0)
		close(fd);
	tail = xcalloc(1, sizeof(*tail));
	tail->path = xstrdup(path);
	tail->fd = -1;
	if (lines == 0 && move_to(tail, oldest))
		at = oldest;
	for (int i = 0; lines > 0 && i <= oldest; i++)
		if (move_to(tail, i)) {
			tail->offset = find_start(tail->fd, &lines, tail->chunk);
			at = i;
		}
	if (since && at >= 0)
		skip_to(tail, at, since);
	*ret = tail;
	return 0;
}

struct tail *tail_close(struct tail *tail)
{
	if (!tail)
		return NULL;
	if (tail->fd >= 0)
		close(tail->fd);
	free(tail->path);
	free(tail);
	return NULL;
}

/* Bytes of whole lines at the current place, 0 when there are none now. */
static int read_here(struct tail *tail, bool take_rest, const char **ret)
{
	struct stat st;
	const char *end;
	ssize_t n;

	if (fstat(tail->fd, &st) == 0 && st.st_size < tail->offset)
		tail->offset = 0; /* emptied by hand */
	n = pread(tail->fd, tail->chunk, sizeof(tail->chunk), tail->offset);
	if (n <= 0)
		return 0;
	end = memrchr(tail->chunk, '\n', (size_t)n);
	if (end)
		n = end - tail->chunk + 1;
	else if (!take_rest && n < (ssize_t)sizeof(tail->chunk))
		return 0;
	tail->offset += n;
	*ret = tail->chunk;
	return (int)n;
}

int tail_read(struct tail *tail, bool at_end, const char **ret)
{
	if (tail->fd < 0 && !move_to(tail, oldest_index(tail->path)))
		return 0;
	for (;;) {
		int index = current_index(tail);
		/* Of a file that was rotated away, half a line at the end is all there will be. */
		int n = read_here(tail, at_end || index != 0, ret);

		if (n > 0 || index == 0)
			return n;
		if (index < 0)
			return move_to(tail, oldest_index(tail->path)) ? TAIL_GAP : 0;
		/* Its successor may not have been made yet. */
		if (!move_to(tail, index - 1))
			return 0;
	}
}
