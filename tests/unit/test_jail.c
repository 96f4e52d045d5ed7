/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/jail.c seen from inside: a child enters it and tries what a hostile VMM would. Root only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "vmm/jail.h"

enum { JAIL_UID = 990002 };

static char directory[] = "/tmp/test_jail.XXXXXX";

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return fs_remove_tree(directory, NULL);
}

#define CHECK(condition)                                                                    \
	do {                                                                                \
		if (!(condition)) {                                                         \
			dprintf(2, "# in the jail: %s: %s\n", #condition, strerror(errno)); \
			_exit(1);                                                           \
		}                                                                           \
	} while (0)

/* Runs `check` in a child that has entered the jail; its exit status. */
static int inside(const struct jail *jail, void (*check)(void))
{
	struct error err = { 0 };
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (jail_enter((void *)jail, &err)) {
			dprintf(2, "# %s\n", err.text);
			_exit(99);
		}
		check();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static struct jail plain_jail(void)
{
	return (struct jail){ .uid = JAIL_UID, .program = "/usr/bin/true", .mount_dir = directory };
}

static void check_identity(void)
{
	uid_t real, effective, saved;
	struct rlimit limit;

	CHECK(getresuid(&real, &effective, &saved) == 0);
	CHECK(real == JAIL_UID && effective == JAIL_UID && saved == JAIL_UID);
	CHECK(getresgid(&real, &effective, &saved) == 0);
	CHECK(real == JAIL_UID && effective == JAIL_UID && saved == JAIL_UID);
	CHECK(getgroups(0, NULL) == 0);
	CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	for (int capability = 0; capability < 64; capability++)
		CHECK(prctl(PR_CAPBSET_READ, capability) <= 0);
	CHECK(setuid(0) == -1 && errno == EPERM);
	CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 1);
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max == 1024);
	CHECK(getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_max == 0);
}

static void test_identity(void **state)
{
	struct jail jail = plain_jail();

	(void)state;
	assert_int_equal(inside(&jail, check_identity), 0);
}

static void check_cannot_write(void)
{
	static const char *const paths[] = { "/new", "/usr/lib/new", "/usr/bin/true", "/dev/new",
					     "/proc/self/oom_score_adj" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		CHECK(open(paths[i], O_WRONLY | O_CREAT, 0600) == -1 &&
		      (errno == EROFS || errno == EACCES));
}

static void check_cannot_see(void)
{
	static const char *const paths[] = { "/etc",	      "/root",	 "/home",     "/sys",
					     "/tmp",	      "/boot",	 "/var",      "/run",
					     "/usr/bin/env",  "/proc/1", "/proc/sys", "/proc/kcore",
					     "/proc/cpuinfo", "/dev/kvm" };
	struct if_nameindex *links = if_nameindex();

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		CHECK(access(paths[i], F_OK) == -1 && errno == ENOENT);
	CHECK(access(directory, F_OK) == -1);
	CHECK(access("../../../../etc", F_OK) == -1);
	CHECK(links && strcmp(links[0].if_name, "lo") == 0 && links[1].if_name == NULL);
}

static void check_one_process(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int processes = 0;

	CHECK(proc);
	while ((entry = readdir(proc)))
		processes += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
	CHECK(processes == 1);
}

static void check_program(void)
{
	execl("/usr/bin/true", "true", (char *)NULL);
	_exit(2);
}

static void test_surroundings(void **state)
{
	struct jail jail = plain_jail();

	(void)state;
	assert_int_equal(inside(&jail, check_cannot_write), 0);
	assert_int_equal(inside(&jail, check_cannot_see), 0);
	assert_int_equal(inside(&jail, check_one_process), 0);
	assert_int_equal(inside(&jail, check_program), 0);
}

static void check_kvm(void)
{
	struct stat st;

	CHECK(stat("/dev/kvm", &st) == 0);
	CHECK(S_ISCHR(st.st_mode) && st.st_uid == JAIL_UID && (st.st_mode & 0777) == 0600);
	CHECK(open("/dev/kvm", O_RDWR) >= 0);
}

static void test_kvm(void **state)
{
	struct jail jail = plain_jail();

	(void)state;
	jail.needs_kvm = true;
	if (access("/dev/kvm", R_OK | W_OK))
		skip();
	assert_int_equal(inside(&jail, check_kvm), 0);
}

static void test_refuses(void **state)
{
	struct jail jail = plain_jail();

	(void)state;
	jail.uid = 0;
	assert_int_equal(inside(&jail, check_program), 99);
	jail = plain_jail();
	jail.program = "/usr/bin/no-such-program";
	assert_int_equal(inside(&jail, check_program), 99);
	jail = plain_jail();
	jail.mount_dir = "/no/such/directory";
	assert_int_equal(inside(&jail, check_program), 99);
}

/* What was mounted for the jail is nowhere on the host. */
static void test_leaves_no_mount(void **state)
{
	struct strbuf mounts = { 0 };

	(void)state;
	assert_int_equal(fs_read("/proc/self/mounts", 1 << 20, &mounts, NULL), 0);
	assert_null(strstr(strbuf_text(&mounts), directory));
	strbuf_reset(&mounts);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_surroundings),
		cmocka_unit_test(test_kvm),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_leaves_no_mount),
	};

	return cmocka_run_group_tests_name("jail", tests, make_directory, remove_directory);
}
