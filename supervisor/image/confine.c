/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by both workers of stoker-image. Four walls, each enough for most escapes: no privileges
 * (credentials, capabilities, no_new_privs), resource limits, Landlock (landlock(7), where the
 * kernel has it), and a system call allow-list (seccomp(2) through libseccomp, whose home this is).
 */
#include "image/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER 1 /* its shadow memory is terabytes of address space */
#else
#define WITH_SANITIZER 0
#endif

static const uint64_t gib = 1ULL << 30;

/* --- credentials -------------------------------------------------------------------------------
 */

static int refuse_root(struct error *err)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0)
		return error_errno(err, errno, "cannot read the process's credentials");
	if (ruid == 0 || euid == 0 || suid == 0 || rgid == 0 || egid == 0 || sgid == 0)
		return error_set(err, "an image worker must not run as root (start it by stokerd)");
	return 0;
}

/* Clears the ambient, effective, permitted and inheritable sets, then reads them back. The bounding
 * set can only be emptied with CAP_SETPCAP; where the starter left that, it is used first. */
static int drop_capabilities(struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[2] = { 0 };

	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_errno(err, errno, "cannot clear the ambient capabilities");
	if (syscall(SYS_capset, &header, sets) < 0)
		return error_errno(err, errno, "cannot drop the capabilities");
	if (syscall(SYS_capget, &header, sets) < 0)
		return error_errno(err, errno, "cannot read the capabilities");
	for (int i = 0; i < 2; i++)
		if (sets[i].effective || sets[i].permitted || sets[i].inheritable)
			return error_set(err, "capabilities are left after dropping them");
	return 0;
}

static int drop_privileges(struct error *err)
{
	if (refuse_root(err) < 0)
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return error_errno(err, errno, "cannot set no_new_privs");
	if (drop_capabilities(err) < 0)
		return -1;
	/* Credentials and strangers' bytes in memory are for no debugger of the same uid. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_errno(err, errno, "cannot make the process undumpable");
	return 0;
}

/* --- resource limits ---------------------------------------------------------------------------
 */

struct limit {
	__rlimit_resource_t resource;
	const char *name;
	rlim_t value;
};

/* Never raises: a starter that gave less meant it. */
static int apply_limits(const struct limit *limits, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct rlimit now;

		if (limits[i].resource == RLIMIT_AS && WITH_SANITIZER)
			continue;
		if (getrlimit(limits[i].resource, &now) < 0)
			return error_errno(err, errno, "cannot read the limit %s", limits[i].name);
		if (now.rlim_max > limits[i].value)
			now.rlim_max = limits[i].value;
		if (now.rlim_cur > now.rlim_max)
			now.rlim_cur = now.rlim_max;
		if (setrlimit(limits[i].resource, &now) < 0)
			return error_errno(err, errno, "cannot set the limit %s", limits[i].name);
	}
	return 0;
}

/* --- Landlock: the kernel's ABI, which libc's headers may know only in part ----------------------
 */

struct landlock_rules {
	uint64_t handled_fs;
	uint64_t handled_net;
	uint64_t scoped;
};

struct landlock_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

enum {
	LL_READ_FILE = 1 << 2,
	LL_READ_DIR = 1 << 3,
	LL_FS_V1 = (1 << 13) - 1,
	LL_REFER = 1 << 13,	/* since ABI 2 */
	LL_TRUNCATE = 1 << 14,	/* since ABI 3 */
	LL_IOCTL_DEV = 1 << 15, /* since ABI 5 */
	LL_TCP = 3,		/* bind and connect, since ABI 4 */
	LL_SCOPED = 3,		/* abstract unix sockets, signals; since ABI 6 */
	LL_EXECUTE = 1 << 0,
	LL_MAKE_DEVICES = 1 << 6 | 1 << 11, /* character and block */
	LL_VERSION_QUERY = 1,
	LL_PATH_BENEATH = 1,
};

/* The ruleset's descriptor; -1 with *ret_absent when this kernel has no Landlock. */
static int landlock_create(bool network, uint64_t *ret_fs, bool *ret_absent, struct error *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION_QUERY);
	struct landlock_rules rules = { .handled_fs = LL_FS_V1 };
	size_t size = sizeof(rules.handled_fs);
	long fd;

	*ret_absent = abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP);
	if (abi < 0)
		return error_errno(err, errno, "cannot ask for Landlock");
	if (abi >= 2)
		rules.handled_fs |= LL_REFER;
	if (abi >= 3)
		rules.handled_fs |= LL_TRUNCATE;
	if (abi >= 4) {
		rules.handled_net = network ? 0 : LL_TCP;
		size += sizeof(rules.handled_net);
	}
	if (abi >= 5)
		rules.handled_fs |= LL_IOCTL_DEV;
	if (abi >= 6) {
		rules.scoped = LL_SCOPED;
		size += sizeof(rules.scoped);
	}
	fd = syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (fd < 0)
		return error_errno(err, errno, "cannot make a Landlock ruleset");
	*ret_fs = rules.handled_fs;
	return (int)fd;
}

static int landlock_allow(int ruleset, int fd, uint64_t access, struct error *err)
{
	struct landlock_beneath rule = { .allowed = access, .parent_fd = fd };

	if (syscall(SYS_landlock_add_rule, ruleset, LL_PATH_BENEATH, &rule, 0) < 0)
		return error_errno(err, errno, "cannot add a Landlock rule");
	return 0;
}

static int landlock_enter(int ruleset, struct error *err)
{
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return error_errno(err, errno, "cannot enter Landlock");
	return 0;
}

/* What name resolution and TLS read by themselves, long after start-up. */
static const char *const fetch_reads[] = {
	"/etc/ssl",
	"/usr/lib/ssl",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/etc/resolv.conf",
	"/etc/hosts",
	"/etc/nsswitch.conf",
	"/etc/host.conf",
	"/etc/gai.conf",
	"/etc/services",
	"/etc/ld.so.cache",
	"/lib",
	"/lib64",
	"/usr/lib",
	"/usr/lib64",
	"/dev/urandom",
	"/dev/null",
};

static int allow_fetch_reads(int ruleset, struct error *err)
{
	for (size_t i = 0; i < sizeof(fetch_reads) / sizeof(fetch_reads[0]); i++) {
		_cleanup_close_ int fd = open(fetch_reads[i], O_PATH | O_CLOEXEC);
		struct stat st;

		if (fd < 0)
			continue; /* nothing there: nothing to allow */
		if (fstat(fd, &st) < 0)
			return error_errno(err, errno, "%s: cannot inspect", fetch_reads[i]);
		if (landlock_allow(ruleset, fd,
				   S_ISDIR(st.st_mode) ? LL_READ_FILE | LL_READ_DIR : LL_READ_FILE,
				   err) < 0)
			return error_wrap(err, "%s", fetch_reads[i]);
	}
	return 0;
}

/* Descriptors 3 to 63 that are directories were passed to work in: all but running programs and
 * making devices. */
static int allow_passed_directories(int ruleset, uint64_t handled, struct error *err)
{
	uint64_t access = handled & ~(uint64_t)(LL_EXECUTE | LL_MAKE_DEVICES | LL_IOCTL_DEV);

	for (int fd = 3; fd < 64; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		if (landlock_allow(ruleset, fd, access, err) < 0)
			return error_wrap(err, "descriptor %d", fd);
	}
	return 0;
}

static int confine_files(bool fetch, struct error *err)
{
	uint64_t handled = 0;
	bool absent;
	_cleanup_close_ int ruleset = landlock_create(fetch, &handled, &absent, err);

	if (ruleset < 0)
		return absent ? 0 : -1;
	if (fetch && (allow_fetch_reads(ruleset, err) < 0 ||
		      allow_passed_directories(ruleset, handled, err) < 0))
		return -1;
	return landlock_enter(ruleset, err);
}

/* --- system calls ------------------------------------------------------------------------------
 */

/* Both workers. */
static const int common_calls[] = {
	/* the report pipe, blobs and outputs, all open already; reading one twice */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(writev),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(close),
	SCMP_SYS(ftruncate),
	/* libc's fstat is newfstatat with an empty path; Landlock judges the others' contents */
	SCMP_SYS(newfstatat),
	/* malloc and thread stacks; mmap and mprotect have rules of their own */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	/* threads: locks, start and end, yielding, how many processors there are */
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(sysinfo),
	/* libc's own handler, installed with the first thread; in the fetcher libcurl's for SIGPIPE
	 * and OpenSSL's probe of the processor too */
	SCMP_SYS(rt_sigaction),
	/* clocks, where the vDSO cannot answer */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	/* abort(), and returning from a signal handler */
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
	SCMP_SYS(restart_syscall),
	/* keys for malloc's free lists and for TLS */
	SCMP_SYS(getrandom),
};

/* The fetcher on top. */
static const int fetch_calls[] = {
	/* talking: TCP to registries, UDP to name servers; socket() has a rule of its own */
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(sendto),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(shutdown),
	/* waiting for it; libcurl's own wake-up pair; the resolver's FIONREAD; O_NONBLOCK */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(pipe2),
	SCMP_SYS(ioctl),
	SCMP_SYS(fcntl),
	SCMP_SYS(dup),
	/* backing off before another try */
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	/* files beneath the passed directories, judged by Landlock: parts, links, names, sync */
	SCMP_SYS(openat),
	SCMP_SYS(statx),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(mkdirat),
	SCMP_SYS(unlinkat),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(linkat),
	SCMP_SYS(fchmod),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fallocate),
	SCMP_SYS(flock),
	SCMP_SYS(utimensat),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(access),
	SCMP_SYS(fstatfs),
	SCMP_SYS(copy_file_range),
	/* the resolver and TLS ask who and where they are */
	SCMP_SYS(uname),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getppid),
	SCMP_SYS(prlimit64),
	SCMP_SYS(getcwd),
	SCMP_SYS(prctl),
};

/* What the sanitizers' runtime does around threads and at the end; never in a release. */
static const int sanitizer_calls[] = {
	SCMP_SYS(sigaltstack),
	SCMP_SYS(prlimit64),
	SCMP_SYS(mlock),
	SCMP_SYS(prctl),
};

static int allow_calls(scmp_filter_ctx filter, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return -1;
	return 0;
}

/* Threads, but no processes: the flags of clone() can be judged, those of clone3() are behind a
 * pointer, so libc is told that it does not exist and falls back. */
static int allow_threads(scmp_filter_ctx filter)
{
	if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM,
				     CLONE_THREAD | CLONE_VM)) < 0)
		return -1;
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* The fetcher's name service may load a module; the builder never maps code again. */
static int allow_memory(scmp_filter_ctx filter, bool executable)
{
	const int calls[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };

	if (executable)
		return allow_calls(filter, calls, 2);
	for (size_t i = 0; i < 2; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) < 0)
			return -1;
	return 0;
}

/* IPv4 and IPv6, and netlink, by which getaddrinfo() learns which of them the host has. Others,
 * above all unix sockets to the host's services, do not exist; libc expects that answer. */
static int allow_sockets(scmp_filter_ctx filter)
{
	const uint64_t families[] = { AF_INET, AF_INET6, AF_NETLINK };

	for (size_t i = 0; i < 3; i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, families[i])) < 0)
			return -1;
	if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
			     SCMP_A0(SCMP_CMP_EQ, AF_UNIX)) < 0)
		return -1;
	/* libcurl's wake-up pair: connected to itself, reaches nobody */
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 0);
}

static int build_filter(scmp_filter_ctx filter, bool fetch)
{
	if (allow_calls(filter, common_calls, sizeof(common_calls) / sizeof(int)) < 0 ||
	    allow_threads(filter) < 0 || allow_memory(filter, fetch) < 0)
		return -1;
	if (WITH_SANITIZER &&
	    allow_calls(filter, sanitizer_calls, sizeof(sanitizer_calls) / sizeof(int)) < 0)
		return -1;
	if (!fetch)
		return 0;
	if (allow_calls(filter, fetch_calls, sizeof(fetch_calls) / sizeof(int)) < 0)
		return -1;
	return allow_sockets(filter);
}

static int confine_calls(bool fetch, struct error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int result;

	if (!filter)
		return error_set(err, "cannot make a system call filter");
	if (build_filter(filter, fetch) < 0) {
		seccomp_release(filter);
		return error_set(err, "cannot build the system call filter");
	}
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	result = seccomp_load(filter);
	seccomp_release(filter);
	if (result < 0)
		return error_errno(err, -result, "cannot load the system call filter");
	return 0;
}

/* --- the two workers ---------------------------------------------------------------------------
 */

int confine_build(struct error *err)
{
	const struct limit limits[] = {
		{ RLIMIT_CORE, "core", 0 },	     { RLIMIT_NOFILE, "nofile", 256 },
		{ RLIMIT_FSIZE, "fsize", 72 * gib }, { RLIMIT_AS, "as", 4 * gib },
		{ RLIMIT_MEMLOCK, "memlock", 0 },
	};

	/* A further arena, as threads get them, reads /proc/sys/vm/overcommit_memory the first time
	 * that it shrinks (malloc's shrink_heap); the main one never does. */
	if (!WITH_SANITIZER && mallopt(M_ARENA_MAX, 1) != 1)
		return error_set(err, "confinement: cannot keep malloc to one arena");
	if (drop_privileges(err) < 0 ||
	    apply_limits(limits, sizeof(limits) / sizeof(limits[0]), err) < 0 ||
	    confine_files(false, err) < 0 || confine_calls(false, err) < 0)
		return error_wrap(err, "confinement");
	return 0;
}

int confine_fetch(struct error *err)
{
	const struct limit limits[] = {
		{ RLIMIT_CORE, "core", 0 },	     { RLIMIT_NOFILE, "nofile", 256 },
		{ RLIMIT_FSIZE, "fsize", 32 * gib }, { RLIMIT_AS, "as", 2 * gib },
		{ RLIMIT_MEMLOCK, "memlock", 0 },
	};

	if (drop_privileges(err) < 0 ||
	    apply_limits(limits, sizeof(limits) / sizeof(limits[0]), err) < 0 ||
	    confine_files(true, err) < 0 || confine_calls(true, err) < 0)
		return error_wrap(err, "confinement");
	return 0;
}
