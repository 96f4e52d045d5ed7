/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-init/stats.h"

#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "guest-init/service.h"

enum { TEXT_MAX = 4096 };

static const char *find(char text[TEXT_MAX], const char *path, const char *word)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_MAX - 1);
	const char *found;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	found = strstr(text, word);
	return found ? found + strlen(word) : NULL;
}

/* "MemAvailable:    61440 kB", of proc(5). */
static uint64_t available_bytes(void)
{
	char text[TEXT_MAX];
	const char *value = find(text, "/proc/meminfo", "MemAvailable:");

	return value ? strtoull(value, NULL, 10) * 1024 : 0;
}

/* "some avg10=1.25 avg60=...", of the kernel's Documentation/accounting/psi.rst: hundredths of a
 * percent. */
static uint64_t pressure(const char *path)
{
	char text[TEXT_MAX], *rest;
	const char *value = find(text, path, "some avg10=");
	uint64_t whole;

	if (!value)
		return STATS_UNKNOWN;
	whole = strtoull(value, &rest, 10) * 100;
	if (rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9' && rest[2] >= '0' && rest[2] <= '9')
		whole += (uint64_t)(rest[1] - '0') * 10 + (uint64_t)(rest[2] - '0');
	return whole;
}

/* Loads of sysinfo(2) have 16 bits behind the point. */
static uint64_t hundredths(unsigned long load)
{
	return htole64(((uint64_t)load * 100) >> SI_LOAD_SHIFT);
}

void stats_read(int root, struct frame_stats *ret)
{
	struct sysinfo info = { 0 };
	struct statvfs disk = { 0 };

	sysinfo(&info);
	if (root < 0 || fstatvfs(root, &disk) < 0)
		disk = (struct statvfs){ 0 };
	*ret = (struct frame_stats){
		.uptime_ms = htole64(service_boot_us() / 1000),
		.memory_total = htole64((uint64_t)info.totalram * info.mem_unit),
		.memory_available = htole64(available_bytes()),
		.load_1 = hundredths(info.loads[0]),
		.load_5 = hundredths(info.loads[1]),
		.load_15 = hundredths(info.loads[2]),
		.tasks = htole64(info.procs),
		.disk_total = htole64((uint64_t)disk.f_blocks * disk.f_frsize),
		.disk_used = htole64((uint64_t)(disk.f_blocks - disk.f_bfree) * disk.f_frsize),
		.pressure_cpu = htole64(pressure("/proc/pressure/cpu")),
		.pressure_memory = htole64(pressure("/proc/pressure/memory")),
		.pressure_io = htole64(pressure("/proc/pressure/io")),
	};
}
