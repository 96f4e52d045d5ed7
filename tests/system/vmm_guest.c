/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of vmm-qemu.t and vmm-limits.t, as its PID 1: loads the modules that lie in /modules,
 * in the order of their names, says on the port stoker.0 what devices it found, and then does as it
 * is told there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void load_modules(void)
{
	struct dirent **names;
	int count = scandir("/modules", &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		char path[300];
		int fd;

		if (names[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
		fd = open(path, O_RDONLY);
		if (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)
			printf("%s: %s\n", path, strerror(errno));
		close(fd);
	}
}

/* Reads one line of a file in sysfs. */
static int read_line(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return -1;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

/* The numbers in /dev/vport*p* vary; the name does not. */
static int find_port(void)
{
	DIR *ports = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	int fd = -1;

	while (ports && fd < 0 && (entry = readdir(ports))) {
		char path[300], name[64];

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		if (read_line(path, name, sizeof(name)) || strcmp(name, "stoker.0") != 0)
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK);
	}
	if (ports)
		closedir(ports);
	return fd;
}

static int open_port(void)
{
	int fd = -1;

	for (int attempt = 0; attempt < 500 && fd < 0; attempt++) {
		fd = find_port();
		if (fd < 0)
			usleep(10000);
	}
	return fd;
}

static void say(int port, const char *text)
{
	while (write(port, text, strlen(text)) < 0 && errno == EAGAIN)
		usleep(10000);
}

static void say_hello(int port)
{
	char line[256], a[64] = "-", b[64] = "-", mac[64] = "-";

	read_line("/sys/block/vda/serial", a, sizeof(a));
	read_line("/sys/block/vdb/serial", b, sizeof(b));
	read_line("/sys/class/net/eth0/address", mac, sizeof(mac));
	snprintf(line, sizeof(line), "hello %s %s %s\n", a, b, mac);
	say(port, line);
}

static void flood(void)
{
	char line[128];

	if (fork() != 0)
		return;
	for (unsigned i = 0;; i++) {
		int n = snprintf(line, sizeof(line), "flood %u %080d\n", i, 0);

		if (write(1, line, (size_t)n) < 0)
			usleep(1000);
	}
}

static void crash(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY);

	if (write(fd, "c", 1) < 0)
		puts("no sysrq");
}

/* Requests of 4 KiB, past the guest's cache, of the writable disk. */
static void read_disk(int port, int count)
{
	static char block[4096] __attribute__((aligned(4096)));
	char serial[64] = "-";
	int fd;

	read_line("/sys/block/vda/serial", serial, sizeof(serial));
	fd = open(strcmp(serial, "upper") == 0 ? "/dev/vda" : "/dev/vdb", O_RDONLY | O_DIRECT);
	for (int i = 0; i < count; i++)
		if (pread(fd, block, sizeof(block), (off_t)i * 65536) != (ssize_t)sizeof(block)) {
			say(port, "read failed\n");
			return;
		}
	close(fd);
	say(port, "read done\n");
}

static void say_memory(int port)
{
	unsigned long kib = 0;
	FILE *info = fopen("/proc/meminfo", "r");
	char line[256];

	while (info && fgets(line, sizeof(line), info))
		sscanf(line, "MemFree: %lu", &kib);
	if (info)
		fclose(info);
	snprintf(line, sizeof(line), "memory %lu KiB free\n", kib);
	say(port, line);
}

static void eat(int port, size_t bytes)
{
	char *memory;

	if (fork() != 0)
		return;
	memory = malloc(bytes);
	for (size_t i = 0; memory && i < bytes; i += 4096)
		((volatile char *)memory)[i] = 1;
	say(port, memory ? "eaten\n" : "no memory\n");
	_exit(0);
}

static void beat(int port)
{
	char line[32];

	if (fork() != 0)
		return;
	for (unsigned i = 1;; i++) {
		snprintf(line, sizeof(line), "beat %u\n", i);
		say(port, line);
		usleep(50000);
	}
}

static void obey(int port, const char *word)
{
	if (strncmp(word, "read ", 5) == 0)
		read_disk(port, atoi(word + 5));
	if (strcmp(word, "memory") == 0)
		say_memory(port);
	if (strncmp(word, "eat ", 4) == 0)
		eat(port, (size_t)atoi(word + 4) << 20);
	if (strcmp(word, "beat") == 0)
		beat(port);
	if (strcmp(word, "ping") == 0)
		say(port, "pong\n");
	if (strcmp(word, "flood") == 0)
		flood();
	if (strcmp(word, "panic") == 0)
		crash();
	if (strcmp(word, "poweroff") == 0)
		reboot(RB_POWER_OFF);
	if (strcmp(word, "reboot") == 0)
		reboot(RB_AUTOBOOT);
}

static void serve(int port)
{
	char line[64];
	size_t length = 0;

	for (;;) {
		char c;
		ssize_t n = read(port, &c, 1);

		if (n != 1) { /* nothing yet, or nobody connected */
			usleep(10000);
			continue;
		}
		if (c != '\n' && length < sizeof(line) - 1) {
			line[length++] = c;
			continue;
		}
		line[length] = '\0';
		length = 0;
		obey(port, line);
	}
}

int main(void)
{
	int console, port;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	console = open("/dev/console", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(console, fd);
	load_modules();
	port = open_port();
	if (port < 0) {
		puts("no port stoker.0");
		reboot(RB_POWER_OFF);
	}
	say_hello(port);
	serve(port);
}
