/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by firecracker.c and, between fork and exec, in its child. The jailer
 * (docs/jailer.md of Firecracker) builds its chroot in BASE/PROGRAM/ID/root, which is here a place
 * in a tmpfs that the child has mounted in a mount namespace of its own; with pivot_root(2) the
 * jailer takes along what is mounted there.
 *
 * The jailer needs root until it has built the jail, so privileges are its own to drop. Without it
 * they are dropped here.
 */
#include "vmm/fc_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/mount.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "vmm/cgroup.h"
#include "vmm/fc_requests.h"
#include "vmm/jail.h"

enum {
	OPEN_FILES_MAX = 2048,
	SPARE_BYTES = 1 << 20, /* directories, sockets, and what the jailer copies on arm64 */
	INODES_MAX = 128,
};

static char *root_path(const struct fc_jail *jail)
{
	const char *slash = strrchr(jail->firecracker, '/');

	return xasprintf("%s/%s/%s/root", jail->mount_dir, slash + 1, jail->id);
}

static void add(struct strv *arguments, const char *option, char *value_taken)
{
	strv_add(arguments, option);
	strv_add_taken(arguments, value_taken);
}

void fc_jail_arguments(const struct fc_jail *jail, struct strv *ret)
{
	*ret = (struct strv){ 0 };
	if (jail->jailer) {
		strv_add(ret, jail->jailer);
		add(ret, "--id", xstrdup(jail->id));
		add(ret, "--exec-file", xstrdup(jail->firecracker));
		add(ret, "--uid", xasprintf("%u", jail->uid));
		add(ret, "--gid", xasprintf("%u", jail->uid));
		/* Neither --cgroup nor --cgroup-version: the process is in its group already, and
		 * with version 2 the jailer would move it to one named after the program. */
		add(ret, "--chroot-base-dir", xstrdup(jail->mount_dir));
		add(ret, "--resource-limit", xasprintf("no-file=%d", OPEN_FILES_MAX));
		strv_add(ret, "--");
		add(ret, "--api-sock", xstrdup("/" FC_SOCKET));
		return;
	}
	strv_add(ret, jail->firecracker);
	add(ret, "--id", xstrdup(jail->id));
	add(ret, "--api-sock", xstrdup(FC_SOCKET));
}

/* --- mounts ---------------------------------------------------------------------------------- */

/* Before the namespaces are left: a descriptor's file can be cloned into a mount only where the
 * mount that it was opened on is seen. */
static int clone_files(const struct fc_jail *jail, int trees[FC_FILES_MAX], struct error *err)
{
	for (size_t i = 0; i < jail->file_count; i++) {
		trees[i] = (int)syscall(SYS_open_tree, jail->files[i].fd, "",
					AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
		if (trees[i] < 0)
			return error_errno(err, errno, "%s: clone it for the jail",
					   jail->files[i].name);
	}
	return 0;
}

static int mount_file(const struct fc_file *file, int tree, struct error *err)
{
	_cleanup_close_ int target = open(file->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
					  0600);
	unsigned long flags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (target < 0)
		return error_errno(err, errno, "%s: create in the jail", file->name);
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, file->name, MOVE_MOUNT_F_EMPTY_PATH))
		return error_errno(err, errno, "%s: mount in the jail", file->name);
	if (mount(NULL, file->name, NULL, flags | (file->read_only ? MS_RDONLY : 0), NULL))
		return error_errno(err, errno, "%s: set its mount's flags", file->name);
	return 0;
}

static int mount_root(const struct fc_jail *jail, const char *root, struct error *err)
{
	_cleanup_free_ char *options = NULL;
	struct stat program;

	if (stat(jail->firecracker, &program))
		return error_errno(err, errno, "%s", jail->firecracker);
	options = xasprintf("size=%" PRIu64 ",nr_inodes=%d,mode=0755",
			    (uint64_t)program.st_size + jail->extra_bytes + SPARE_BYTES,
			    INODES_MAX);
	/* Devices: the jailer makes /dev/kvm and /dev/net/tun in it. */
	if (mount("tmpfs", jail->mount_dir, "tmpfs", MS_NOSUID, options))
		return error_errno(err, errno, "mount a jail on %s", jail->mount_dir);
	if (fs_mkdir_p(root, 0700, err) < 0)
		return -1;
	if (chown(root, jail->uid, jail->uid) || chdir(root))
		return error_errno(err, errno, "%s", root);
	return 0;
}

static int build(const struct fc_jail *jail, const int trees[FC_FILES_MAX], struct error *err)
{
	_cleanup_free_ char *root = root_path(jail);

	if (mount_root(jail, root, err) < 0)
		return -1;
	for (size_t i = 0; i < jail->file_count; i++)
		if (mount_file(&jail->files[i], trees[i], err) < 0)
			return -1;
	return 0;
}

/* --- without a jailer ------------------------------------------------------------------------ */

/* A /dev/kvm of the VM's own over the host's, in this mount namespace alone: no group that other
 * VMs share. */
static int add_kvm(const struct fc_jail *jail, struct error *err)
{
	static const char node[] = "kvm-node";
	struct stat st;

	if (stat("/dev/kvm", &st))
		return error_errno(err, errno, "/dev/kvm");
	if (mknod(node, S_IFCHR | 0600, st.st_rdev) || chown(node, jail->uid, jail->uid) ||
	    mount(node, "/dev/kvm", NULL, MS_BIND, NULL))
		return error_errno(err, errno, "give /dev/kvm to uid %u", jail->uid);
	return 0;
}

static int live_unjailed(const struct fc_jail *jail, struct error *err)
{
	if (mkdir("run", 0700) || chown("run", jail->uid, jail->uid))
		return error_errno(err, errno, "run: create");
	if (add_kvm(jail, err) < 0)
		return -1;
	umask(077);
	return jail_drop_privileges(jail->uid, err);
}

int fc_jail_enter(void *data, struct error *err)
{
	const struct fc_jail *jail = data;
	int trees[FC_FILES_MAX];

	if (jail->uid == 0)
		return error_set(err, "a VMM must not run as uid 0");
	umask(022);
	/* First of all, so that whatever follows is charged where it belongs. */
	if (cgroup_leaf_join(jail->leaf, err) < 0 || clone_files(jail, trees, err) < 0 ||
	    jail_leave_namespaces(err) < 0 || build(jail, trees, err) < 0 ||
	    jail_set_limits(OPEN_FILES_MAX, err) < 0)
		return -1;
	if (!jail->jailer)
		return live_unjailed(jail, err);
	umask(077);
	/* The jailer starts as root, and drops it; nothing behind it can come back to it. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_errno(err, errno, "set no_new_privs");
	return 0;
}
