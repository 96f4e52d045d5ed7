/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by the drivers. What comes in was written by a guest: it is copied, never parsed. A guest
 * that floods its console costs one read and one write per pause, and a bounded file.
 */
#include "vmm/console.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

enum {
	READ_BYTES = 64 << 10, /* pipe(7): what a FIFO holds */
	PAUSE_MS = 50,	       /* between two reads: 1.3 MB/s at most, 20 wake-ups a second */
	READS_AT_END = 32,
	LAST_LINE_BYTES = 512,
	NEWEST_BYTES = 32 << 10, /* a kernel's last words are some 4 KiB */
};

struct console {
	int fifo_fd;		/* owned */
	int file_fd;		/* owned */
	struct watch *readable; /* owned; NULL after the end of the stream */
	struct watch *pause;	/* owned; NULL when none runs */
	struct loop *loop;	/* borrowed */
};

int console_reopen(int dir_fd, const char *name, int *ret_read_fd, struct error *err)
{
	_cleanup_close_ int fd = openat(dir_fd, name,
					O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return error_errno(err, errno, "%s: open", name);
	if (!S_ISFIFO(st.st_mode))
		return error_set(err, "%s: not a FIFO", name);
	*ret_read_fd = take_fd(&fd);
	return 0;
}

int console_make(int dir_fd, const char *name, int *ret_read_fd, int *ret_write_fd,
		 struct error *err)
{
	_cleanup_close_ int read_fd = -1;

	if (unlinkat(dir_fd, name, 0) && errno != ENOENT)
		return error_errno(err, errno, "%s: remove the old one", name);
	if (mkfifoat(dir_fd, name, 0600))
		return error_errno(err, errno, "%s: create", name);
	if (console_reopen(dir_fd, name, &read_fd, err))
		return -1;
	*ret_write_fd = openat(dir_fd, name, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_write_fd < 0)
		return error_errno(err, errno, "%s: open", name);
	*ret_read_fd = take_fd(&read_fd);
	return 0;
}

/* Keeps the newest part of a file that has grown too large, from the start of a line. */
static void shorten(int fd, off_t size)
{
	static const char note[] = "[stoker: older output was dropped here]\n";
	_cleanup_free_ char *kept = xcalloc(1, CONSOLE_FILE_KEPT);
	ssize_t n = pread(fd, kept, CONSOLE_FILE_KEPT, size - CONSOLE_FILE_KEPT);
	const char *line = n > 0 ? memchr(kept, '\n', (size_t)n) : NULL;
	const char *from = line ? line + 1 : kept;

	if (ftruncate(fd, 0))
		return;
	fs_write_all(fd, note, sizeof(note) - 1, NULL);
	if (n > 0)
		fs_write_all(fd, from, (size_t)(kept + n - from), NULL);
}

/* A console that cannot be kept, on a full disk, must not stop a VM: errors are left at that. */
static void append(const struct console *console, const char *bytes, size_t length)
{
	struct stat st;

	if (fs_write_all(console->file_fd, bytes, length, NULL))
		return;
	if (fstat(console->file_fd, &st) == 0 && st.st_size > CONSOLE_FILE_MAX)
		shorten(console->file_fd, st.st_size);
}

/* False at the end of what there is. */
static bool copy_some(struct console *console)
{
	_cleanup_free_ char *bytes = xcalloc(1, READ_BYTES);
	ssize_t n = read(console->fifo_fd, bytes, READ_BYTES);

	if (n > 0)
		append(console, bytes, (size_t)n);
	/* All writers are gone: the VMM has ended, or shut its console for good. */
	if (n == 0)
		console->readable = watch_free(console->readable);
	return n > 0;
}

static void on_pause_over(struct watch *watch, unsigned events, void *data)
{
	struct console *console = data;

	(void)watch;
	(void)events;
	if (console->readable)
		watch_set_events(console->readable, LOOP_READ);
}

static void on_readable(struct watch *watch, unsigned events, void *data)
{
	struct console *console = data;

	(void)events;
	if (!copy_some(console))
		return;
	/* A UART writes byte by byte. The FIFO gathers them meanwhile. */
	watch_set_events(watch, 0);
	if (console->pause)
		watch_rearm(console->pause, PAUSE_MS);
	else
		console->pause = loop_timer(console->loop, PAUSE_MS, on_pause_over, console);
}

struct console *console_new(struct loop *loop, int fifo_fd, int file_fd, struct error *err)
{
	_cleanup_close_ int fifo = fifo_fd;
	_cleanup_close_ int file = fcntl(file_fd, F_DUPFD_CLOEXEC, 0);
	struct console *console;

	if (file < 0) {
		error_errno(err, errno, "duplicate the console's descriptor");
		return NULL;
	}
	console = xcalloc(1, sizeof(*console));
	console->loop = loop;
	console->fifo_fd = take_fd(&fifo);
	console->file_fd = take_fd(&file);
	console->readable = loop_io(loop, console->fifo_fd, LOOP_READ, on_readable, console);
	return console;
}

void console_drain(struct console *console)
{
	for (int i = 0; console->readable && i < READS_AT_END && copy_some(console); i++)
		;
}

/* Linux: panic() of kernel/panic.c, and do_exit() of kernel/exit.c, whose code is wait(2)'s. */
enum reason console_panic(const struct console *console)
{
	static const char panic[] = "Kernel panic - not syncing: ";
	static const char killed[] = "Attempted to kill init! exitcode=";
	static const char by_itself[] = "0x00000100";
	_cleanup_free_ char *bytes = xcalloc(1, NEWEST_BYTES + 1);
	off_t end = lseek(console->file_fd, 0, SEEK_END);
	off_t from = end > NEWEST_BYTES ? end - NEWEST_BYTES : 0;
	ssize_t n = pread(console->file_fd, bytes, NEWEST_BYTES, from);
	const char *said = n > 0 ? memmem(bytes, (size_t)n, panic, strlen(panic)) : NULL;

	if (!said)
		return REASON_NONE;
	said += strlen(panic);
	if (strncmp(said, killed, strlen(killed)) != 0 ||
	    strncmp(said + strlen(killed), by_itself, strlen(by_itself)) == 0)
		return REASON_PANIC;
	return REASON_INIT_KILLED;
}

void console_last_line(const struct console *console, char *out, size_t size)
{
	char bytes[LAST_LINE_BYTES];
	off_t end = lseek(console->file_fd, 0, SEEK_END);
	off_t from = end > LAST_LINE_BYTES ? end - LAST_LINE_BYTES : 0;
	ssize_t n = pread(console->file_fd, bytes, sizeof(bytes), from);
	const char *line = bytes;
	size_t length;

	*out = '\0';
	while (n > 0 && isspace((unsigned char)bytes[n - 1]))
		n--;
	if (n <= 0)
		return;
	line = memrchr(bytes, '\n', (size_t)n);
	line = line ? line + 1 : bytes;
	length = (size_t)(bytes + n - line);
	if (length > size - 1)
		length = size - 1;
	for (size_t i = 0; i < length; i++)
		out[i] = isprint((unsigned char)line[i]) ? line[i] : '?';
	out[length] = '\0';
}

struct console *console_free(struct console *console)
{
	if (!console)
		return NULL;
	watch_free(console->readable);
	watch_free(console->pause);
	close(console->fifo_fd);
	close(console->file_fd);
	free(console);
	return NULL;
}
