/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bench-guest runs inside guests, before and after whatever init is measured; static, for it
 * runs in the initramfs and in the image. Times are CLOCK_BOOTTIME in microseconds and go to the
 * console, by which all inits are told alike.
 *
 *   rdinit=/bench        as PID 1: says "bench: begun TIME" and becomes /init
 *   bench ran            as the workload: says "bench: ran TIME" and waits to be killed
 *   bench write MIB      as the workload: lines to standard output, then "bench: wrote FROM TO"
 *   bench port NAME MIB  the same to the virtserialport of that name
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WRITE_SIZE = 16 << 10, LINE_LENGTH = 128 };

static unsigned long long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

static _Noreturn void fail(int console, const char *what)
{
	dprintf(console, "bench: failed: %s: %s\n", what, strerror(errno));
	for (;;)
		pause();
}

/* Number and name of a port have nothing to do with each other. */
static int open_port(const char *name)
{
	DIR *ports = opendir("/sys/class/virtio-ports");
	struct dirent *entry;

	while (ports && (entry = readdir(ports))) {
		char path[300], text[64] = "";
		int fd;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		if (read(fd, text, sizeof(text) - 1) < 0)
			text[0] = '\0';
		close(fd);
		text[strcspn(text, "\n")] = '\0';
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		if (!strcmp(text, name))
			return open(path, O_WRONLY);
	}
	errno = ENOENT;
	return -1;
}

static void write_lines(int console, int fd, size_t mebibytes)
{
	static char bytes[WRITE_SIZE];
	size_t left = mebibytes << 20;
	unsigned long long from;

	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = LINE_LENGTH - 1; i < sizeof(bytes); i += LINE_LENGTH)
		bytes[i] = '\n';
	from = now_us();
	while (left) {
		ssize_t n = write(fd, bytes, sizeof(bytes) < left ? sizeof(bytes) : left);

		if (n <= 0)
			fail(console, "write");
		left -= (size_t)n;
	}
	dprintf(console, "bench: wrote %llu %llu\n", from, now_us());
}

int main(int argc, char **argv)
{
	unsigned long long begun = now_us();
	const char *what = argc > 1 ? argv[1] : "";
	int console = getpid() == 1 && argc == 1 ? 1 : open("/dev/console", O_WRONLY | O_NOCTTY);

	if (argc == 1) {
		dprintf(console, "bench: begun %llu\n", begun);
		execl("/init", "/init", (char *)NULL);
		fail(console, "/init");
	}
	if (!strcmp(what, "ran")) {
		dprintf(console, "bench: ran %llu\n", begun);
	} else if (!strcmp(what, "write") && argc == 3) {
		write_lines(console, 1, (size_t)atoi(argv[2]));
	} else if (!strcmp(what, "port") && argc == 4) {
		int fd = open_port(argv[2]);

		if (fd < 0)
			fail(console, argv[2]);
		write_lines(console, fd, (size_t)atoi(argv[3]));
	} else {
		errno = EINVAL;
		fail(console, what);
	}
	for (;;)
		pause();
}
