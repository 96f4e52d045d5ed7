/* SPDX-License-Identifier: Apache-2.0 */
/* Called by mounts.c for the serials of disks and by channel.c for the names of ports. */
#include "guest-init/sysfs.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool sysfs_text_is(const char *path, const char *wanted)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	/* A virtio disk's serial has no newline, a port's name has one. */
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, wanted);
}
