/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts. The host names its disks by serial number, because the kernel's names depend on the order
 * of discovery; Firecracker sets serials of its own, and there that order is the one it was told
 * the disks in. The layers are mounted, covered by the overlay and detached again, so that the
 * workload finds only the result; a descriptor keeps the writable layer reachable for the end.
 */
#include "guest-init/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guest-init/root.h"
#include "guest-init/sysfs.h"
#include "guest-init/verity.h"

enum { DISK_WAIT_MS = 10000, DISK_POLL_MS = 5 };

struct mount_entry {
	const char *type, *target, *options;
	unsigned long flags;
};

static int mount_one(const struct mount_entry *entry, struct failure *why)
{
	if (mkdir(entry->target, 0755) < 0 && errno != EEXIST)
		return failure_set(why, "create mount point %s: %s", entry->target,
				   strerror(errno));
	if (mount(entry->type, entry->target, entry->type, entry->flags, entry->options) < 0)
		return failure_set(why, "mount %s on %s: %s", entry->type, entry->target,
				   strerror(errno));
	return 0;
}

static int mount_each(const struct mount_entry *entries, size_t count, struct failure *why)
{
	for (size_t i = 0; i < count; i++)
		if (mount_one(&entries[i], why) < 0)
			return -1;
	return 0;
}

#define QUIET (MS_NOSUID | MS_NODEV | MS_NOEXEC)

/* The same three, first in the initramfs, then in the image. */
static const struct mount_entry kernel_mounts[] = {
	{ "proc", "/proc", NULL, QUIET },
	{ "sysfs", "/sys", NULL, QUIET },
	{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID },
};
enum { KERNEL_MOUNTS = sizeof(kernel_mounts) / sizeof(*kernel_mounts) };

int mounts_early(struct failure *why)
{
	return mount_each(kernel_mounts, KERNEL_MOUNTS, why);
}

/* --- disks ---------------------------------------------------------------------------------- */

static bool serial_is(const char *disk, const char *serial)
{
	char path[300];

	snprintf(path, sizeof(path), "/sys/block/%s/serial", disk);
	return sysfs_text_is(path, serial);
}

static bool look_by_serial(const char *serial, char device[64])
{
	DIR *dir = opendir("/sys/block");
	const struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vd", 2) != 0 || strlen(entry->d_name) > 16)
			continue;
		found = serial_is(entry->d_name, serial);
		if (found)
			snprintf(device, 64, "/dev/%.16s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool look_by_order(const char *name, const struct list *order, char device[64])
{
	for (size_t i = 0; i < order->count && i < 26; i++) {
		if (strcmp(order->items[i], name) != 0)
			continue;
		snprintf(device, 64, "/dev/vd%c", (char)('a' + i));
		return access(device, F_OK) == 0;
	}
	return false;
}

/* Discovery may still be going on. */
int mounts_find_disk(const char *name, const struct list *order, char device[64],
		     struct failure *why)
{
	const struct timespec pause = { .tv_nsec = DISK_POLL_MS * 1000000L };

	for (int waited = 0; waited < DISK_WAIT_MS; waited += DISK_POLL_MS) {
		if (order->count ? look_by_order(name, order, device)
				 : look_by_serial(name, device))
			return 0;
		nanosleep(&pause, NULL);
	}
	return failure_set(why, "no disk '%s'", name);
}

struct disk {
	const char *name, *type, *target;
	unsigned long flags;
	bool is_checked; /* if anything is */
};

static int mount_disk(const struct disk *disk, const struct config *config, struct failure *why)
{
	char device[64];

	if (mounts_find_disk(disk->name, &config->disks, device, why) < 0)
		return -1;
	if (disk->is_checked && config->verify && verity_open(config->verity, device, why) < 0)
		return -1;
	if (mount(device, disk->target, disk->type, disk->flags, NULL) < 0)
		return failure_set(why, "mount disk '%s' (%s): %s", disk->name, disk->type,
				   strerror(errno));
	return 0;
}

/* The overlay's root takes owner and mode from the writable layer: they must be the image's. */
static int make_layer(struct failure *why)
{
	struct stat st;

	if (stat("/base", &st) < 0)
		return failure_set(why, "look at the image's root: %s", strerror(errno));
	if (mkdir("/upper/upper", 0755) == 0) {
		if (chown("/upper/upper", st.st_uid, st.st_gid) < 0 ||
		    chmod("/upper/upper", st.st_mode & 07777) < 0)
			return failure_set(why, "prepare the writable layer: %s", strerror(errno));
	} else if (errno != EEXIST) {
		return failure_set(why, "prepare the writable layer: %s", strerror(errno));
	}
	if (mkdir("/upper/work", 0700) < 0 && errno != EEXIST)
		return failure_set(why, "prepare the writable layer: %s", strerror(errno));
	return 0;
}

/* --- changing roots ------------------------------------------------------------------------- */

/* Frees the initramfs's memory: rootfs itself can never be unmounted. */
static void empty_directory(int parent, const char *name, dev_t device)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	const struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || st.st_dev != device || !(dir = fdopendir(fd))) {
		close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (unlinkat(fd, entry->d_name, 0) < 0) {
			empty_directory(fd, entry->d_name, device);
			unlinkat(fd, entry->d_name, AT_REMOVEDIR);
		}
	}
	closedir(dir);
}

void mounts_remove_tree(int parent, const char *name)
{
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	empty_directory(parent, name, st.st_dev);
	unlinkat(parent, name, AT_REMOVEDIR);
}

static int switch_root(struct failure *why)
{
	struct stat st;

	for (size_t i = 0; i < KERNEL_MOUNTS; i++)
		umount2(kernel_mounts[i].target, MNT_DETACH);
	if (stat("/", &st) == 0)
		empty_directory(AT_FDCWD, "/", st.st_dev);
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return failure_set(why, "move to the image's root: %s", strerror(errno));
	return 0;
}

int mounts_root(struct mounts *mounts, const struct config *config, struct failure *why)
{
	static const struct disk base = { "base", "squashfs", "/base", MS_RDONLY | MS_NODEV, true };
	static const struct disk upper = { "upper", "ext4", "/upper", MS_NODEV | MS_NOATIME,
					   false };

	if (mount_disk(&base, config, why) < 0 || mount_disk(&upper, config, why) < 0 ||
	    make_layer(why) < 0)
		return -1;
	mounts->upper = open("/upper", O_PATH | O_CLOEXEC);
	if (mount("overlay", "/root", "overlay", MS_NODEV | MS_NOATIME,
		  "lowerdir=/base,upperdir=/upper/upper,workdir=/upper/work") < 0)
		return failure_set(why, "mount the image's root: %s", strerror(errno));
	/* The overlay holds them by itself. */
	umount2("/base", MNT_DETACH);
	umount2("/upper", MNT_DETACH);
	if (volumes_mount(config, &mounts->volumes, why) < 0 || switch_root(why) < 0)
		return -1;
	mounts->root = (int)syscall(SYS_open_tree, AT_FDCWD, "/",
				    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (mounts->root < 0)
		return failure_set(why, "open the image's root: %s", strerror(errno));
	return 0;
}

/* --- what a workload expects ---------------------------------------------------------------- */

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool empty = true;

	while (dir && empty && (entry = readdir(dir)))
		empty = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	if (dir)
		closedir(dir);
	return empty;
}

/* A volume or a tmpfs of the manifest's. */
static bool is_mounted(const char *path)
{
	struct stat root, st;

	return stat("/", &root) == 0 && stat(path, &st) == 0 && st.st_dev != root.st_dev;
}

/* An image that put something there (/run/postgresql) wants to find it again. */
static int mount_scratch(struct failure *why)
{
	static const struct mount_entry scratch[] = {
		{ "tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV },
		{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV },
	};

	for (size_t i = 0; i < sizeof(scratch) / sizeof(*scratch); i++)
		if (!is_mounted(scratch[i].target) && is_empty(scratch[i].target) &&
		    mount_one(&scratch[i], why) < 0)
			return -1;
	return 0;
}

static int mount_tmpfs(const struct list *targets, struct failure *why)
{
	int root = open("/", O_PATH | O_CLOEXEC);

	for (size_t i = 0; i < targets->count; i++) {
		const char *target = targets->items[i];

		if (*target != '/') {
			close(root);
			return failure_set(why, "tmpfs '%.100s': not an absolute path", target);
		}
		if (root_mkdir(root, target, why) < 0) {
			close(root);
			return -1;
		}
		if (mount("tmpfs", target, "tmpfs", QUIET, "mode=1777") < 0) {
			close(root);
			return failure_set(why, "mount tmpfs on %.100s: %s", target,
					   strerror(errno));
		}
	}
	close(root);
	return 0;
}

/* Descriptors by name, as shells and language runtimes expect them. */
static void link_descriptors(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};

	/* devtmpfs may bring them along already. */
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			return;
}

int mounts_system(const struct config *config, struct failure *why)
{
	static const struct mount_entry system_mounts[] = {
		{ "devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
		{ "tmpfs", "/dev/shm", "mode=1777", QUIET },
		{ "mqueue", "/dev/mqueue", NULL, QUIET },
		{ "cgroup2", "/sys/fs/cgroup", NULL, QUIET },
	};

	if (mount_each(kernel_mounts, KERNEL_MOUNTS, why) < 0 ||
	    mount_each(system_mounts, sizeof(system_mounts) / sizeof(*system_mounts), why) < 0)
		return -1;
	link_descriptors();
	if (mount_tmpfs(&config->tmpfs, why) < 0)
		return -1;
	return mount_scratch(why);
}

int mounts_seal(struct failure *why)
{
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV, NULL) < 0)
		return failure_set(why, "make the root read-only: %s", strerror(errno));
	return 0;
}

/* --- the end -------------------------------------------------------------------------------- */

/* fspick(2) works on a mount that has no place in the tree any more; mount(2) would not. */
static void make_read_only(int mount_fd)
{
	int fd = (int)syscall(SYS_fspick, mount_fd, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);

	if (fd < 0)
		return;
	if (syscall(SYS_fsconfig, fd, FSCONFIG_SET_FLAG, "ro", NULL, 0) == 0)
		syscall(SYS_fsconfig, fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
	close(fd);
}

void mounts_finish(struct mounts *mounts)
{
	sync();
	if (mounts->root >= 0)
		make_read_only(mounts->root);
	if (mounts->upper >= 0)
		make_read_only(mounts->upper);
	for (size_t i = 0; i < mounts->volumes.count; i++)
		make_read_only(mounts->volumes.fds[i]);
}
