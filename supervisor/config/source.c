/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the files of a configuration: whoever can write one of them can run images as the daemon
 * does, so ownership and mode are checked on the open descriptor (a link or a rename between check
 * and use changes nothing). Called by load.c, settings.c and environment.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "config/source.h"

int source_read(struct source *source, const char *path, struct error *err)
{
	_cleanup_strbuf_ struct strbuf content = { 0 };
	/* O_NONBLOCK: a FIFO in the directory must not hold up the daemon. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return error_errno(err, errno, "cannot open");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, "not a regular file");
	if (fs_check_owner(fd, source->name, err) < 0)
		return -1;
	if (st.st_size > SOURCE_BYTES_MAX)
		return error_set(err, "larger than 1 MiB (split it)");
	if (fs_read_fd(fd, source->name, SOURCE_BYTES_MAX, &content, err) < 0)
		return error_set(err, "cannot be read, or grew beyond 1 MiB");
	if (content.length && memchr(content.data, '\0', content.length))
		return error_set(err, "holds a NUL byte (it must be UTF-8 text)");
	source->length = content.length;
	source->text = strbuf_take(&content);
	return 0;
}

/* The bytes of a line break at `at` as YAML 1.1 counts them (NEL, LS and PS too); 0 = none. */
static size_t break_length(const char *at)
{
	if (at[0] == '\r')
		return at[1] == '\n' ? 2 : 1;
	if (at[0] == '\n')
		return 1;
	if (strncmp(at, "\xc2\x85", 2) == 0)
		return 2;
	if (strncmp(at, "\xe2\x80\xa8", 3) == 0 || strncmp(at, "\xe2\x80\xa9", 3) == 0)
		return 3;
	return 0;
}

const char *source_line(const struct source *source, uint32_t line, size_t *ret_length)
{
	const char *at = source->text, *end;
	size_t length;

	if (!at || line == 0)
		return NULL;
	if (strncmp(at, "\xef\xbb\xbf", 3) == 0)
		at += 3;
	while (*at && line > 1) {
		length = break_length(at);
		line -= length > 0;
		at += length ? length : 1;
	}
	for (end = at; *end && break_length(end) == 0;)
		end++;
	*ret_length = (size_t)(end - at);
	return at;
}

char *source_beside(const char *beside, const char *name)
{
	const char *slash = strrchr(beside, '/');

	if (name[0] == '/' || !slash)
		return xstrdup(name);
	return xasprintf("%.*s/%s", (int)(slash - beside), beside, name);
}
