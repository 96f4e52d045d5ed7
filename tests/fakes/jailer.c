/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A jailer that does what Firecracker's jailer 1.16.1 does, step by step and in its order, and
 * complains in its words. It differs in three things: without /dev/kvm on the host it makes none in
 * the jail, it knows cgroup v2 only, and a failure can be had by the name of the file: a copy named
 * "jailer-fail-STEP" fails at that step, of copy, netns, limits, cgroup, chroot, mknod and exec,
 * leaving behind what the steps before it did; "jailer-old-X.Y.Z" has another --version.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "tests/fakes/args.h"
#include "tests/fakes/jailer_cgroup.h"
#include "tests/fakes/os_error.h"

enum { ID_MAX = 64, NO_FILE_DEFAULT = 2048, FOLDER_MODE = 0700 };

struct jail {
	const char *id, *name;	   /* borrowed; the executable's name */
	char exec_file[PATH_MAX];  /* canonical */
	char root[PATH_MAX + 256]; /* BASE/NAME/ID/root */
	uid_t uid;
	gid_t gid;
	struct jail_cgroup cgroup;
	uint64_t file_size; /* 0: no limit */
	uint64_t no_file;
	int uffd_minor; /* -1: the host has none */
	bool has_kvm;
	uint64_t start_us, start_cpu_us, cpu_us;
};

static struct arg arguments[] = {
	{ "cgroup", .takes_value = true, .may_repeat = true },
	{ "cgroup-version", .takes_value = true, .fallback = "1" },
	{ "chroot-base-dir", .takes_value = true, .fallback = "/srv/jailer" },
	{ "daemonize" },
	{ "exec-file", .takes_value = true, .is_required = true },
	{ "gid", .takes_value = true, .is_required = true },
	{ "help" },
	{ "id", .takes_value = true, .is_required = true },
	{ "netns", .takes_value = true },
	{ "new-pid-ns" },
	{ "parent-cgroup", .takes_value = true },
	{ "resource-limit", .takes_value = true, .may_repeat = true },
	{ "uid", .takes_value = true, .is_required = true },
	{ "version" },
	{ 0 },
};

static const char *fails_at; /* a step; "" for none */

static int step(const char *name, struct error *err)
{
	return strcmp(fails_at, name) ? 0 : error_set(err, "the fake was told to fail at %s", name);
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- what it is asked ----------------------------------------------------------------------- */

static int check_id(const char *id, struct error *err)
{
	size_t length = strlen(id);

	if (!length || length > ID_MAX)
		return error_set(err,
				 "Invalid instance ID: Invalid len (%zu);  the length must be "
				 "between 1 and %d",
				 length, ID_MAX);
	for (size_t i = 0; i < length; i++)
		if (id[i] != '-' && !(id[i] >= '0' && id[i] <= '9') &&
		    !((id[i] | 32) >= 'a' && (id[i] | 32) <= 'z'))
			return error_set(err,
					 "Invalid instance ID: Invalid char (%c) at position %zu",
					 id[i], i);
	return 0;
}

static int read_number(const char *text, uint64_t max, uint64_t *ret)
{
	if (!*text || strspn(text, "0123456789") != strlen(text))
		return -1;
	errno = 0;
	*ret = strtoull(text, NULL, 10);
	return errno || *ret > max ? -1 : 0;
}

static int read_paths(struct jail *jail, struct error *err)
{
	const char *file = args_value(arguments, "exec-file");
	const char *base = args_value(arguments, "chroot-base-dir");
	char base_path[PATH_MAX];
	struct stat st;

	if (!realpath(file, jail->exec_file))
		return os_fault(err, errno, "Failed to canonicalize path %s", file);
	if (stat(jail->exec_file, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, "%s is not a file", jail->exec_file);
	jail->name = strrchr(jail->exec_file, '/') + 1;
	if (!realpath(base, base_path))
		return os_fault(err, errno, "Failed to canonicalize path %s", base);
	if (stat(base_path, &st) < 0 || !S_ISDIR(st.st_mode))
		return error_set(err, "%s is not a directory", base_path);
	snprintf(jail->root, sizeof(jail->root), "%s/%s/%s/root", base_path, jail->name, jail->id);
	return 0;
}

static int read_ids(struct jail *jail, struct error *err)
{
	const char *uid = args_value(arguments, "uid"), *gid = args_value(arguments, "gid");
	uint64_t number;

	if (read_number(uid, UINT32_MAX, &number) < 0)
		return error_set(err, "Invalid uid: %s", uid);
	jail->uid = (uid_t)number;
	if (read_number(gid, UINT32_MAX, &number) < 0)
		return error_set(err, "Invalid gid: %s", gid);
	jail->gid = (gid_t)number;
	return 0;
}

static int read_limits(struct jail *jail, struct error *err)
{
	const struct arg *limits = args_get(arguments, "resource-limit");

	jail->no_file = NO_FILE_DEFAULT;
	for (size_t i = 0; i < limits->count; i++) {
		const char *text = limits->values[i], *equals = strchr(text, '=');
		uint64_t number;

		if (!equals)
			return error_set(err, "Invalid format for resources limits: %s", text);
		if (read_number(equals + 1, UINT64_MAX, &number) < 0)
			return error_set(
				err,
				"Invalid limit value for resource: %s: invalid digit found "
				"in string",
				equals + 1);
		if (!strncmp(text, "fsize=", 6))
			jail->file_size = number;
		else if (!strncmp(text, "no-file=", 8))
			jail->no_file = number;
		else
			return error_set(err, "Invalid resource argument: %.*s",
					 (int)(equals - text), text);
	}
	return 0;
}

/* --- before the jail ------------------------------------------------------------------------ */

static int find_uffd(void)
{
	_cleanup_fclose_ FILE *misc = fopen("/proc/misc", "re");
	char line[128], name[64];
	int minor;

	while (misc && fgets(line, sizeof(line), misc))
		if (sscanf(line, "%d %63s", &minor, name) == 2 && !strcmp(name, "userfaultfd"))
			return minor;
	return -1;
}

/* A copy, never a link: two VMMs share no page of it. */
static int copy_executable(const struct jail *jail, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", jail->root, jail->name);
	_cleanup_close_ int from = open(jail->exec_file, O_RDONLY | O_CLOEXEC), to = -1;
	struct stat st;
	ssize_t n;

	if (from < 0 || fstat(from, &st) < 0)
		return os_fault(err, errno, "Failed to open %s", jail->exec_file);
	to = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, st.st_mode & 07777);
	if (to < 0 || fstat(to, &st) < 0)
		return os_fault(err, errno, "Failed to open %s", path);
	if (st.st_nlink > 1)
		return error_set(err, "Detected hard link at: %s", path);
	if (fchown(to, jail->uid, jail->gid) < 0)
		return os_fault(err, errno, "Failed to change owner for %s", path);
	while ((n = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	return n < 0 ? os_fault(err, errno, "Failed to copy %s to %s", jail->exec_file, path) : 0;
}

static int join_netns(const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return os_fault(err, errno, "Failed to open file %s", path);
	if (setns(fd, CLONE_NEWNET) < 0)
		return os_fault(err, errno, "Failed to join network namespace: netns");
	return 0;
}

static int set_limits(const struct jail *jail, struct error *err)
{
	const struct rlimit file_size = { jail->file_size, jail->file_size };
	const struct rlimit no_file = { jail->no_file, jail->no_file };

	if (jail->file_size && setrlimit(RLIMIT_FSIZE, &file_size) < 0)
		return error_set(err, "Failed to set limit for resource: size of file");
	if (setrlimit(RLIMIT_NOFILE, &no_file) < 0)
		return error_set(err, "Failed to set limit for resource: number of file "
				      "descriptors");
	return 0;
}

/* --- inside --------------------------------------------------------------------------------- */

static int enter_root(const char *root, struct error *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return os_fault(err, errno, "Failed to unshare into new mount namespace");
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return os_fault(err, errno, "Failed to change the propagation type to slave");
	/* Recursive: what the caller mounted inside comes along. */
	if (mount(root, root, NULL, MS_BIND | MS_REC, NULL) < 0)
		return os_fault(err, errno, "Failed to bind mount the jail root directory");
	if (chdir(root) < 0)
		return os_fault(err, errno, "Failed to change current directory");
	if (mkdir("old_root", 0600) < 0)
		return os_fault(err, errno,
				"Failed to create the jail root directory before pivoting root");
	if (syscall(SYS_pivot_root, ".", "old_root") < 0)
		return os_fault(err, errno, "Failed to pivot root");
	if (chdir("/") < 0)
		return os_fault(err, errno, "Failed to chdir into chroot directory");
	if (umount2("old_root", MNT_DETACH) < 0)
		return os_fault(err, errno, "Failed to unmount the old jail root");
	if (rmdir("old_root") < 0)
		return os_fault(err, errno, "Failed to remove old jail root directory");
	return 0;
}

static int make_folders(const struct jail *jail, struct error *err)
{
	static const char *const folders[] = { "/", "/dev", "/dev/net", "/run" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		const char *path = folders[i];

		if (mkdir(path, 0777) < 0 && errno != EEXIST)
			return os_fault(err, errno, "Failed to create directory %s", path);
		if (chmod(path, FOLDER_MODE) < 0)
			return os_fault(err, errno, "Failed to change permissions on %s", path);
		if (chown(path, jail->uid, jail->gid) < 0)
			return os_fault(err, errno, "Failed to change owner for %s", path);
	}
	return 0;
}

static int make_device(const struct jail *jail, const char *path, unsigned major_number,
		       unsigned minor_number, struct error *err)
{
	if (mknod(path, S_IFCHR | 0600, makedev(major_number, minor_number)) < 0)
		return os_fault(err, errno, "Failed to create %s via mknod inside the jail", path);
	if (chown(path, jail->uid, jail->gid) < 0)
		return os_fault(err, errno, "Failed to change owner for %s", path);
	return 0;
}

static int make_devices(const struct jail *jail, struct error *err)
{
	struct error why;

	if (make_device(jail, "/dev/net/tun", 10, 200, err) < 0)
		return -1;
	if (jail->has_kvm && make_device(jail, "/dev/kvm", 10, 232, err) < 0)
		return -1;
	if (make_device(jail, "/dev/urandom", 1, 9, &why) < 0)
		printf("Warning! Could not create /dev/urandom device inside jailer: %s.\n"
		       "MMDS version 2 will not be available to use.\n",
		       why.text);
	if (jail->uffd_minor >= 0)
		return make_device(jail, "/dev/userfaultfd", 10, (unsigned)jail->uffd_minor, err);
	return 0;
}

static int save_pid(const struct jail *jail, pid_t pid, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("/%s.pid", jail->name);
	_cleanup_free_ char *text = xasprintf("%d", pid);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	if (fd < 0)
		return os_fault(err, errno, "Failed to open file %s", path);
	return fs_write_all(fd, text, strlen(text), err);
}

static int daemonize(int null_fd, struct error *err)
{
	for (int round = 0; round < 2; round++) {
		pid_t pid = fork();

		if (pid < 0)
			return os_fault(err, errno, "Failed to daemonize");
		if (pid > 0)
			exit(0);
		if (round == 0 && setsid() < 0)
			return os_fault(err, errno, "Failed to daemonize: setsid");
	}
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null_fd, fd) < 0)
			return os_fault(err, errno, "Failed to duplicate fd");
	return 0;
}

/* Never returns but to complain. */
static int execute(const struct jail *jail, char **extra, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("/%s", jail->name);
	_cleanup_free_ char *start = xasprintf("%" PRIu64, jail->start_us);
	_cleanup_free_ char *cpu = xasprintf("%" PRIu64, clock_us(CLOCK_PROCESS_CPUTIME_ID));
	_cleanup_free_ char *parent = xasprintf("%" PRIu64, jail->cpu_us);
	char *none[] = { NULL }, *words[64] = { path,
						"--id",
						(char *)jail->id,
						"--start-time-us",
						start,
						"--start-time-cpu-us",
						cpu,
						"--parent-cpu-time-us",
						parent };
	size_t count = 9;

	while (*extra && count < 63)
		words[count++] = *extra++;
	if (setgroups(0, NULL) < 0 || setgid(jail->gid) < 0 || setuid(jail->uid) < 0)
		return os_fault(err, errno, "Failed to exec into Firecracker");
	signal(SIGPIPE, SIG_DFL);
	execve(path, words, none);
	return os_fault(err, errno, "Failed to exec into Firecracker");
}

/* PID 1 of a namespace; this process writes down its pid and goes. */
static int execute_in_pid_ns(const struct jail *jail, char **extra, struct error *err)
{
	bool is_leader = getsid(0) == getpid();
	long pid = syscall(SYS_clone, CLONE_NEWPID, NULL, 0, 0, 0);

	if (pid < 0)
		return os_fault(err, errno, "Failed cloning into a new child process");
	if (pid > 0) {
		if (save_pid(jail, (pid_t)pid, err) < 0)
			return -1;
		exit(0);
	}
	if (is_leader && setsid() < 0)
		return os_fault(err, errno, "Failed to daemonize: setsid");
	return execute(jail, extra, err);
}

/* --- the steps ------------------------------------------------------------------------------ */

static int read_all(struct jail *jail, struct error *err)
{
	const char *parent = args_value(arguments, "parent-cgroup");

	jail->id = args_value(arguments, "id");
	if (check_id(jail->id, err) < 0 || read_paths(jail, err) < 0 || read_ids(jail, err) < 0 ||
	    jail_cgroup_read(&jail->cgroup, args_get(arguments, "cgroup"),
			     parent ? parent : jail->name, args_value(arguments, "cgroup-version"),
			     jail->id, err) < 0 ||
	    read_limits(jail, err) < 0)
		return -1;
	jail->uffd_minor = find_uffd();
	jail->has_kvm = access("/dev/kvm", F_OK) == 0;
	return 0;
}

static int prepare(const struct jail *jail, struct error *err)
{
	const char *netns = args_value(arguments, "netns");

	if (fs_mkdir_p(jail->root, 0777, NULL) < 0)
		return os_fault(err, errno, "Failed to create directory %s", jail->root);
	if (step("copy", err) < 0 || copy_executable(jail, err) < 0 || step("netns", err) < 0)
		return -1;
	if (netns && join_netns(netns, err) < 0)
		return -1;
	if (step("limits", err) < 0 || set_limits(jail, err) < 0 || step("cgroup", err) < 0)
		return -1;
	return jail_cgroup_enter(&jail->cgroup, err);
}

static int confine(struct jail *jail, char **extra, struct error *err)
{
	_cleanup_close_ int null_fd = -1;

	if (args_get(arguments, "daemonize")->present)
		null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (step("chroot", err) < 0 || enter_root(jail->root, err) < 0 ||
	    make_folders(jail, err) < 0 || step("mknod", err) < 0 || make_devices(jail, err) < 0)
		return -1;
	jail->cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID) - jail->start_cpu_us;
	if (null_fd >= 0 && daemonize(null_fd, err) < 0)
		return -1;
	if (step("exec", err) < 0)
		return -1;
	if (args_get(arguments, "new-pid-ns")->present)
		return execute_in_pid_ns(jail, extra, err);
	if (save_pid(jail, getpid(), err) < 0)
		return -1;
	return execute(jail, extra, err);
}

static int complain(const struct error *err)
{
	fflush(stdout);
	fprintf(stderr, "%s\nError: %s\n", err->text, err->text);
	return 1;
}

int main(int argc, char **argv)
{
	static struct jail jail;
	const char *path = (const char *)getauxval(AT_EXECFN), *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path, *version = "1.16.1";
	struct error err;
	char **extra;

	jail.start_us = clock_us(CLOCK_MONOTONIC);
	jail.start_cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID);
	syscall(SYS_close_range, 3, ~0U, 2 /* CLOSE_RANGE_UNSHARE */);
	clearenv();
	fails_at = !strncmp(name, "jailer-fail-", 12) ? name + 12 : "";
	if (!strncmp(name, "jailer-old-", 11))
		version = name + 11;
	if (args_parse(arguments, argc, argv, &extra, &err) < 0) {
		error_wrap(&err, "Failed to parse arguments");
		return complain(&err);
	}
	if (args_get(arguments, "version")->present) {
		printf("Jailer v%s\n\n", version);
		return 0;
	}
	if (read_all(&jail, &err) < 0 || prepare(&jail, &err) < 0 ||
	    confine(&jail, extra, &err) < 0)
		return complain(&err);
	return 0;
}
