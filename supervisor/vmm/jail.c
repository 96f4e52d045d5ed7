/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by a driver's child between fork and exec, one reason per step. What is left to the VMM's
 * own seccomp filter (QEMU: -sandbox) is the set of system calls.
 *
 * Left out on purpose: PR_SET_PDEATHSIG (a VM outlives the daemon), a pid namespace (adoption needs
 * the pid; hidepid and the uid of its own do the rest), PR_SET_DUMPABLE (exec resets it).
 */
#include "vmm/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

enum { OPEN_FILES_MAX = 1024 };

/* Of the host, read-only: the loader, the libraries, the firmware. Those that a distribution does
 * not have are left out; symbolic links (/lib64 -> usr/lib64) are made again. */
static const char *const shared_dirs[] = {
	"/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/qemu", "/usr/share/seabios",
};

/* A file system of its own, so that no mount below is ever seen by the host, nor one of the host's
 * later; names and interfaces of its own: the taps come in as descriptors only. */
int jail_leave_namespaces(struct error *err)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP))
		return error_errno(err, errno, "unshare namespaces");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return error_errno(err, errno, "make mounts private");
	return 0;
}

/* A bind mount takes its flags only when it is mounted again. */
static int bind_read_only(const char *from, const char *to, unsigned long flags, struct error *err)
{
	if (mount(from, to, NULL, MS_BIND, NULL))
		return error_errno(err, errno, "bind %s", from);
	if (mount(NULL, to, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | flags,
		  NULL))
		return error_errno(err, errno, "bind %s read-only", from);
	return 0;
}

static int add_shared_dir(const char *root, const char *path, struct error *err)
{
	_cleanup_free_ char *inside = xasprintf("%s%s", root, path);
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : error_errno(err, errno, "%s", path);
	if (S_ISLNK(st.st_mode)) {
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			return error_errno(err, errno, "%s", path);
		target[n] = '\0';
		if (symlink(target, inside))
			return error_errno(err, errno, "%s", inside);
		return 0;
	}
	if (fs_mkdir_p(inside, 0755, err))
		return -1;
	return bind_read_only(path, inside, 0, err);
}

/* The program alone, not the directory that it lies in. */
static int add_program(const char *root, const char *program, struct error *err)
{
	_cleanup_free_ char *inside = xasprintf("%s%s", root, program);
	_cleanup_free_ char *parent = xstrndup(inside, (size_t)(strrchr(inside, '/') - inside));
	_cleanup_close_ int fd = -1;

	if (access(inside, X_OK) == 0)
		return 0; /* below one of the shared directories */
	if (fs_mkdir_p(parent, 0755, err))
		return -1;
	fd = open(inside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0)
		return error_errno(err, errno, "%s", inside);
	return bind_read_only(program, inside, 0, err);
}

/* QEMU opens its kernel by name: /proc/self/fd/N. With hidepid and a uid of its own, a VMM finds
 * itself there and nobody else; subset=pid leaves out everything that is no process. */
static int add_proc(const char *root, struct error *err)
{
	_cleanup_free_ char *inside = xasprintf("%s/proc", root);

	if (mkdir(inside, 0755) ||
	    mount("proc", inside, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
		  "hidepid=invisible,subset=pid"))
		return error_errno(err, errno, "mount %s (Linux 5.8 or newer is needed)", inside);
	return 0;
}

/* /dev/null, with which QEMU finds out about OFD locks; without, two VMs could share a disk. And
 * /dev/kvm, owned by the VM's uid: no membership in a group that other VMs share. */
static int add_dev(const struct jail *jail, struct error *err)
{
	_cleanup_free_ char *dev = xasprintf("%s/dev", jail->mount_dir);
	_cleanup_free_ char *null = xasprintf("%s/null", dev);
	_cleanup_free_ char *kvm = xasprintf("%s/kvm", dev);
	struct stat st;

	if (mkdir(dev, 0755) ||
	    mount("tmpfs", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "size=4k,nr_inodes=8,mode=0755"))
		return error_errno(err, errno, "mount %s", dev);
	if (mknod(null, S_IFCHR | 0600, makedev(1, 3)) || chown(null, jail->uid, jail->uid))
		return error_errno(err, errno, "make %s", null);
	if (jail->needs_kvm && (stat("/dev/kvm", &st) || mknod(kvm, S_IFCHR | 0600, st.st_rdev) ||
				chown(kvm, jail->uid, jail->uid)))
		return error_errno(err, errno, "make %s", kvm);
	if (mount(NULL, dev, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL))
		return error_errno(err, errno, "make %s read-only", dev);
	return 0;
}

static int build_root(const struct jail *jail, struct error *err)
{
	const char *root = jail->mount_dir;

	if (mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,nr_inodes=64,mode=0755"))
		return error_errno(err, errno, "mount a root on %s", root);
	for (size_t i = 0; i < sizeof(shared_dirs) / sizeof(shared_dirs[0]); i++)
		if (add_shared_dir(root, shared_dirs[i], err))
			return -1;
	if (add_program(root, jail->program, err) || add_proc(root, err) || add_dev(jail, err))
		return -1;
	if (mount(NULL, root, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
		return error_errno(err, errno, "make the root read-only");
	return 0;
}

/* pivot_root(2), "pivot_root(".", ".")": the old root lands on top of the new one and is taken off,
 * so that, unlike after chroot, there is nothing left to climb out to. */
static int enter_root(const char *root, struct error *err)
{
	if (chdir(root) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
	    chdir("/"))
		return error_errno(err, errno, "change the root to %s", root);
	return 0;
}

static int set_limit(int resource, rlim_t limit, struct error *err)
{
	struct rlimit both = { limit, limit };

	if (setrlimit((__rlimit_resource_t)resource, &both))
		return error_errno(err, errno, "set resource limit %d", resource);
	return 0;
}

/* RLIMIT_FSIZE is not here: it would cap the disks, which are files too. */
int jail_set_limits(unsigned open_files, struct error *err)
{
	/* A core holds the guest's memory. 1 and not 0: core(5), a pipe handler ignores 0. */
	if (set_limit(RLIMIT_CORE, 1, err))
		return -1;
	/* A VMM that lost its mind must not pin the host's memory, nor its table of files. */
	if (set_limit(RLIMIT_MEMLOCK, 0, err))
		return -1;
	return set_limit(RLIMIT_NOFILE, open_files, err);
}

/* The bounding set goes first: it takes CAP_SETPCAP, which goes with uid 0. */
int jail_drop_privileges(uid_t uid, struct error *err)
{
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
		if (prctl(PR_CAPBSET_DROP, capability))
			return error_errno(err, errno, "drop capability %d", capability);
	/* No uid 0 could give capabilities back, and none are kept across setresuid. */
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
					     SECBIT_NO_SETUID_FIXUP_LOCKED |
					     SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
					     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED))
		return error_errno(err, errno, "lock securebits");
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		return error_errno(err, errno, "become uid %u", uid);
	/* No set-uid program or file capability can raise it again. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return error_errno(err, errno, "set no_new_privs");
	return 0;
}

int jail_enter(void *data, struct error *err)
{
	const struct jail *jail = data;

	/* uid 0 in a jail is root with fewer mounts. */
	if (jail->uid == 0)
		return error_set(err, "a VMM must not run as uid 0");
	/* The first step: whatever it makes below is charged to it, and its cgroup namespace begins
	 * there. */
	if (cgroup_leaf_join(jail->leaf, err))
		return -1;
	umask(022); /* of the directories of the new root */
	if (jail_leave_namespaces(err) || build_root(jail, err) ||
	    enter_root(jail->mount_dir, err) || jail_set_limits(OPEN_FILES_MAX, err))
		return -1;
	umask(077);
	return jail_drop_privileges(jail->uid, err);
}
