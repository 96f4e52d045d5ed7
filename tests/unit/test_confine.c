/* SPDX-License-Identifier: Apache-2.0 */
/* The walls around stoker-image: each case is a child that becomes nobody, enters them and then
 * does one thing; what matters is how the child ends. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/confine.h"

enum { NOBODY = 65534, CONFINE_FAILED = 99 };

typedef int confine_fn(struct error *err);

/* How the child ends: its exit code, or minus the signal that killed it. */
static int run_confined(confine_fn *confine, int (*act)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct error err = { 0 };

		if (geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				       setresuid(NOBODY, NOBODY, NOBODY) < 0))
			_exit(CONFINE_FAILED);
		if (confine(&err) < 0) {
			fprintf(stderr, "# %s\n", err.text);
			_exit(CONFINE_FAILED);
		}
		_exit(act());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void *return_argument(void *argument)
{
	return argument;
}

static int start_thread(void)
{
	pthread_t thread;
	void *result = NULL;
	int mark;

	if (pthread_create(&thread, NULL, return_argument, &mark) != 0)
		return 1;
	return pthread_join(thread, &result) == 0 && result == &mark ? 0 : 2;
}

enum { PIECES = 512, PIECE = 64 << 10 };

/* What a compressor does: much memory in a thread, and all of it back. */
static void *use_and_free(void *argument)
{
	static void *pieces[PIECES];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < PIECES; i++) {
			pieces[i] = malloc(PIECE);
			if (!pieces[i])
				return NULL;
			memset(pieces[i], 1, PIECE);
		}
		for (int i = PIECES; i > 0; i--)
			free(pieces[i - 1]);
	}
	return argument;
}

static int use_memory_in_thread(void)
{
	pthread_t thread;
	void *result = NULL;
	int mark;

	if (pthread_create(&thread, NULL, use_and_free, &mark) != 0)
		return 1;
	return pthread_join(thread, &result) == 0 && result == &mark ? 0 : 2;
}

static int start_process(void)
{
	return fork() < 0 ? 1 : 2;
}

static int open_file(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? 1 : 2;
}

static int open_certificates(void)
{
	return open("/etc/nsswitch.conf", O_RDONLY | O_CLOEXEC) < 0 ? 1 : 0;
}

static int open_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 ? 1 : 0;
}

static int open_unix_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 && errno == EAFNOSUPPORT ? 0 : 1;
}

static int open_packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) < 0 ? 1 : 2;
}

static int map_code(void)
{
	void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return code == MAP_FAILED ? 1 : 2;
}

static int use_memory(void)
{
	size_t length = 8 << 20;
	char *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);

	if (bytes == MAP_FAILED)
		return 1;
	memset(bytes, 1, length);
	return munmap(bytes, length) == 0 ? 0 : 2;
}

/* --- limits ------------------------------------------------------------------------------------
 */

#ifdef __SANITIZE_ADDRESS__
enum { HAS_ADDRESS_LIMIT = 0 }; /* the sanitizer's shadow memory is terabytes */
#else
enum { HAS_ADDRESS_LIMIT = 1 };
#endif

static int far_fd = -1;

static int write_at(off_t at)
{
	return pwrite(far_fd, "x", 1, at) == 1 ? 0 : 1;
}

static int write_near(void)
{
	return write_at((off_t)1 << 30);
}

static int write_far(void)
{
	return write_at((off_t)80 << 30);
}

/* Address space alone: nothing is touched. */
static int reserve_much(void)
{
	return mmap(NULL, (size_t)5 << 30, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED &&
			       errno == ENOMEM
		       ? 0
		       : 1;
}

static void test_limits(void **state)
{
	(void)state;
	far_fd = memfd_create("far", MFD_CLOEXEC);
	assert_true(far_fd >= 0);
	assert_int_equal(run_confined(confine_build, write_near), 0);
	assert_int_equal(run_confined(confine_build, write_far), -SIGXFSZ);
	assert_int_equal(run_confined(confine_fetch, write_near), 0);
	assert_int_equal(run_confined(confine_fetch, write_far), -SIGXFSZ);
	if (HAS_ADDRESS_LIMIT) {
		assert_int_equal(run_confined(confine_build, reserve_much), 0);
		assert_int_equal(run_confined(confine_fetch, reserve_much), 0);
	}
	close(far_fd);
}

static void test_build(void **state)
{
	(void)state;
	assert_int_equal(run_confined(confine_build, start_thread), 0);
	assert_int_equal(run_confined(confine_build, use_memory), 0);
	assert_int_equal(run_confined(confine_build, use_memory_in_thread), 0);
	assert_int_equal(run_confined(confine_build, start_process), -SIGSYS);
	assert_int_equal(run_confined(confine_build, open_file), -SIGSYS);
	assert_int_equal(run_confined(confine_build, open_socket), -SIGSYS);
	assert_int_equal(run_confined(confine_build, map_code), -SIGSYS);
}

static void test_fetch(void **state)
{
	(void)state;
	assert_int_equal(run_confined(confine_fetch, start_thread), 0);
	assert_int_equal(run_confined(confine_fetch, open_socket), 0);
	assert_int_equal(run_confined(confine_fetch, open_unix_socket), 0);
	assert_int_equal(run_confined(confine_fetch, open_packet_socket), -SIGSYS);
	assert_int_equal(run_confined(confine_fetch, start_process), -SIGSYS);
	assert_int_equal(run_confined(confine_fetch, open_certificates), 0);
}

static char work_dir[] = "/tmp/test-confine.XXXXXX";
static int passed_dir = -1;

static int create_in_passed(void)
{
	int fd = openat(passed_dir, "blob", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	return fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 &&
			       renameat(passed_dir, "blob", passed_dir, "done") == 0 &&
			       unlinkat(passed_dir, "done", 0) == 0
		       ? 0
		       : 1;
}

static int create_outside(void)
{
	int fd = open("/tmp/test-confine.outside", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 && errno == EACCES ? 0 : 1;
}

static void test_fetch_files(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(work_dir));
	assert_int_equal(chmod(work_dir, 0777), 0);
	passed_dir = open(work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_in_range(passed_dir, 3, 63);
	assert_int_equal(run_confined(confine_fetch, create_in_passed), 0);
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0) {
		assert_int_equal(run_confined(confine_fetch, create_outside), 0);
		assert_int_equal(run_confined(confine_fetch, open_file), 1);
	}
	close(passed_dir);
	assert_int_equal(rmdir(work_dir), 0);
}

static void test_root_is_refused(void **state)
{
	struct error err = { 0 };

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(confine_build(&err), -1);
	assert_string_equal(err.text, "confinement: an image worker must not run as root (start it "
				      "by stokerd)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),		cmocka_unit_test(test_build),
		cmocka_unit_test(test_fetch),		cmocka_unit_test(test_fetch_files),
		cmocka_unit_test(test_root_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
