/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Used by mounts.c and main.c. ioctls as in <linux/dm-ioctl.h>; the table's line as in
 * Documentation/admin-guide/device-mapper/verity.rst of Linux, without options: a block that does
 * not fit its hash is an I/O error.
 */
#include "guest-init/verity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { BLOCK = 4096, SECTORS_PER_BLOCK = BLOCK / 512, PARAMETERS_MAX = 512, RECORD_MAX = 8192 };

struct request {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char parameters[PARAMETERS_MAX];
};

static void prepare(struct request *request, uint32_t flags)
{
	memset(request, 0, sizeof(*request));
	request->head.version[0] = DM_VERSION_MAJOR;
	request->head.data_size = sizeof(*request);
	request->head.data_start = offsetof(struct request, target);
	request->head.flags = flags;
	snprintf(request->head.name, sizeof(request->head.name), "base");
}

static int load(int control, const char *table, const char *device, uint64_t blocks,
		struct failure *why)
{
	struct request request;

	prepare(&request, DM_READONLY_FLAG);
	request.head.target_count = 1;
	request.target.length = blocks * SECTORS_PER_BLOCK;
	snprintf(request.target.target_type, sizeof(request.target.target_type), "verity");
	snprintf(request.parameters, sizeof(request.parameters), "1 %s %s %d %d %s", device, device,
		 BLOCK, BLOCK, table);
	if (ioctl(control, DM_TABLE_LOAD, &request) < 0)
		return failure_set(why, "check disk 'base' by its hash tree: %s", strerror(errno));
	return 0;
}

static int set_up(int control, const char *table, uint64_t blocks, char device[64],
		  struct failure *why)
{
	struct request request;

	prepare(&request, 0);
	if (ioctl(control, DM_DEV_CREATE, &request) < 0)
		return failure_set(why, "create a checked disk: %s", strerror(errno));
	if (load(control, table, device, blocks, why) < 0)
		return -1;
	prepare(&request, 0); /* not suspended: it starts */
	if (ioctl(control, DM_DEV_SUSPEND, &request) < 0)
		return failure_set(why, "start the checked disk: %s", strerror(errno));
	snprintf(device, 64, "/dev/dm-%u", minor(request.head.dev));
	return 0;
}

int verity_open(const char *table, char device[64], struct failure *why)
{
	uint64_t blocks = table ? strtoull(table, NULL, 10) : 0;
	int control, result;

	if (blocks == 0 || blocks > UINT64_MAX / SECTORS_PER_BLOCK)
		return failure_set(why, "the image has no hash tree to check it by");
	control = open("/dev/" DM_DIR "/" DM_CONTROL_NODE, O_RDWR | O_CLOEXEC);
	if (control < 0)
		return failure_set(why, "the kernel has no device mapper: %s", strerror(errno));
	result = set_up(control, table, blocks, device, why);
	close(control);
	return result;
}

/* --- what the kernel says of it --------------------------------------------------------------- */

/* "PRIORITY,SEQUENCE,...;device-mapper: verity: 254:0: data block 7 is corrupted". The facility is
 * in the bits above the severity, and 0 is the kernel's alone. */
bool verity_is_damage(const char *record, size_t length, struct failure *why)
{
	static const char begin[] = "device-mapper: verity: ", end[] = " is corrupted";
	const char *text = memchr(record, ';', length);
	const char *stop = memmem(record, length, end, strlen(end));
	const char *block;

	if (!text++ || !stop || strtoul(record, NULL, 10) > 7 || stop <= text + strlen(begin) ||
	    memcmp(text, begin, strlen(begin)) != 0)
		return false;
	text += strlen(begin);
	block = memmem(text, (size_t)(stop - text), ": ", 2);
	block = block ? block + 2 : text;
	failure_set(why, "the image is damaged: %.*s is not what its hash says",
		    (int)(stop - block), block);
	return true;
}

bool verity_find_damage(struct failure *why)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char record[RECORD_MAX];
	bool found = false;

	while (fd >= 0 && !found) {
		ssize_t n = read(fd, record, sizeof(record) - 1);

		if (n < 0 && errno == EPIPE)
			continue; /* overwritten before it was read */
		if (n <= 0)
			break;
		record[n] = '\0';
		found = verity_is_damage(record, (size_t)n, why);
	}
	if (fd >= 0)
		close(fd);
	return found;
}
