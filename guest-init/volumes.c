/* SPDX-License-Identifier: Apache-2.0 */
/* Called by mounts.c while the image's root is at /root and the initramfs still there. */
#include "guest-init/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-init/copy.h"
#include "guest-init/mounts.h"
#include "guest-init/root.h"

/* fs/ext4/ext4.h of Linux: to so many blocks, while it is mounted. */
#define EXT4_RESIZE _IOW('f', 16, uint64_t)

enum { BLOCK_BYTES = 4096 }; /* of what supervisor/disk/ makes */

struct volume {
	char serial[16], name[64];
	bool read_only;
	const char *target;
};

/* "volume0\tdata\trw\t/srv/data" */
static int parse(const char *text, struct volume *ret, struct failure *why)
{
	char mode[4];
	int length = 0;

	if (sscanf(text, "%15[^\t]\t%63[^\t]\t%3[^\t]\t%n", ret->serial, ret->name, mode,
		   &length) != 3 ||
	    !length || text[length] != '/')
		return failure_set(why, "volume '%.100s' is not described", text);
	ret->read_only = !strcmp(mode, "ro");
	ret->target = text + length;
	return 0;
}

/* The host made the file longer when the manifest asked for more. What it is already, is fine. */
static int grow(const char *device, int mount_fd, const struct volume *volume, struct failure *why)
{
	int disk = open(device, O_RDONLY | O_CLOEXEC);
	uint64_t bytes = 0, blocks;
	int result;

	if (disk < 0 || ioctl(disk, BLKGETSIZE64, &bytes) < 0) {
		if (disk >= 0)
			close(disk);
		return failure_set(why, "volume '%s': its size: %s", volume->name, strerror(errno));
	}
	close(disk);
	blocks = bytes / BLOCK_BYTES;
	result = ioctl(mount_fd, EXT4_RESIZE, &blocks);
	if (result < 0)
		return failure_set(why, "volume '%s': make it larger: %s", volume->name,
				   strerror(errno));
	return 0;
}

/* A copy that was cut short is begun anew: only a whole one gets the name. */
static int make_data(int volume_fd, int image_fd, const struct volume *volume, struct failure *why)
{
	struct failure reason = { "" };
	int data, result;

	mounts_remove_tree(volume_fd, "data.new");
	if (mkdirat(volume_fd, "data.new", 0700) < 0)
		return failure_set(why, "volume '%s': %s", volume->name, strerror(errno));
	data = openat(volume_fd, "data.new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	result = data < 0 ? failure_set(&reason, "%s", strerror(errno))
			  : copy_tree(image_fd, data, &reason);
	if (data >= 0)
		close(data);
	if (result == 0 &&
	    (syncfs(volume_fd) < 0 || renameat(volume_fd, "data.new", volume_fd, "data") < 0 ||
	     syncfs(volume_fd) < 0))
		result = failure_set(&reason, "%s", strerror(errno));
	return result < 0 ? failure_set(why, "volume '%s': %.150s", volume->name, reason.text) : 0;
}

/* Through a descriptor: no link in the image leads the mount elsewhere. */
static int bind(const struct volume *volume, const char *place, int root, int image_fd,
		struct failure *why)
{
	char from[64], to[64];
	int mounted, result;

	snprintf(from, sizeof(from), "%s/data", place);
	snprintf(to, sizeof(to), "/proc/self/fd/%d", image_fd);
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		return failure_set(why, "volume '%s': mount it: %s", volume->name, strerror(errno));
	if (!volume->read_only)
		return 0;
	/* Opened again, it is what lies on top there now. */
	mounted = root_open(root, volume->target, O_PATH | O_DIRECTORY);
	snprintf(to, sizeof(to), "/proc/self/fd/%d", mounted);
	result = mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV | MS_NOATIME,
		       NULL);
	if (result < 0)
		failure_set(why, "volume '%s': make it read-only: %s", volume->name,
			    strerror(errno));
	if (mounted >= 0)
		close(mounted);
	return result;
}

static int mount_on(const struct volume *volume, const char *place, int root, struct failure *why)
{
	int volume_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC), image_fd = -1;
	int result = volume_fd < 0 ? failure_set(why, "volume '%s': open it: %s", volume->name,
						 strerror(errno))
				   : root_mkdir(root, volume->target, why);

	if (result == 0) {
		image_fd = root_open(root, volume->target, O_RDONLY | O_DIRECTORY);
		if (image_fd < 0)
			result = failure_set(why, "volume '%s': %s: %s", volume->name,
					     volume->target, strerror(errno));
	}
	if (result == 0 && faccessat(volume_fd, "data", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		result = make_data(volume_fd, image_fd, volume, why);
	if (result == 0)
		result = bind(volume, place, root, image_fd, why);
	if (image_fd >= 0)
		close(image_fd);
	if (volume_fd >= 0)
		close(volume_fd);
	return result;
}

static int mount_one(const char *text, const struct config *config, int root,
		     struct volumes *volumes, struct failure *why)
{
	char device[64], place[32];
	struct volume volume;
	int fd, result;

	if (parse(text, &volume, why) < 0 ||
	    mounts_find_disk(volume.serial, &config->disks, device, why) < 0)
		return -1;
	snprintf(place, sizeof(place), "/%s", volume.serial);
	if (mkdir(place, 0700) < 0 && errno != EEXIST)
		return failure_set(why, "create %s: %s", place, strerror(errno));
	if (mount(device, place, "ext4", MS_NODEV | MS_NOATIME, NULL) < 0)
		return failure_set(why, "volume '%s': mount it (ext4): %s", volume.name,
				   strerror(errno));
	fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failure_set(why, "open %s: %s", place, strerror(errno));
	result = grow(device, fd, &volume, why);
	close(fd);
	/* The one that stays must not keep the file system from becoming read-only at the end. */
	volumes->fds[volumes->count++] = open(place, O_PATH | O_CLOEXEC);
	if (result == 0)
		result = mount_on(&volume, place, root, why);
	umount2(place, MNT_DETACH);
	return result;
}

int volumes_mount(const struct config *config, struct volumes *volumes, struct failure *why)
{
	int root, result = 0;

	if (config->volumes.count > VOLUMES_MAX)
		return failure_set(why, "%zu volumes (at most %d)", config->volumes.count,
				   VOLUMES_MAX);
	root = open("/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return failure_set(why, "open the image's root: %s", strerror(errno));
	for (size_t i = 0; i < config->volumes.count && result == 0; i++)
		result = mount_one(config->volumes.items[i], config, root, volumes, why);
	close(root);
	return result;
}
