/* SPDX-License-Identifier: Apache-2.0 */
/* control/notify against a datagram socket of the test's own, by path and abstract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control/notify.h"

static char directory[] = "/tmp/stoker-notify-XXXXXX";

/* A manager that listens at `name`, which is then the environment's NOTIFY_SOCKET. */
static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

static const char *receive(int fd)
{
	static char message[4096];
	ssize_t n = recv(fd, message, sizeof(message) - 1, 0);

	message[n > 0 ? n : 0] = '\0';
	return message;
}

static void test_messages(int fd)
{
	struct error err;

	assert_int_equal(notify_ready("3 of 3 run", &err), 0);
	assert_string_equal(receive(fd), "READY=1\nSTATUS=3 of 3 run\n");
	assert_int_equal(notify_status("fetching", &err), 0);
	assert_string_equal(receive(fd), "STATUS=fetching\n");
	assert_int_equal(notify_stopping(&err), 0);
	assert_string_equal(receive(fd), "STOPPING=1\n");
}

static void test_path(void **state)
{
	char path[128];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/notify", directory);
	fd = listen_at(path);
	test_messages(fd);
	close(fd);
	unlink(path);
}

static void test_abstract(void **state)
{
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@stoker-test-%d", (int)getpid());
	fd = listen_at(name);
	test_messages(fd);
	close(fd);
}

static void test_reloading_carries_the_time(void **state)
{
	struct timespec before, after;
	unsigned long long at, low, high;
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@stoker-test-%d", (int)getpid());
	fd = listen_at(name);
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(notify_reloading(NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_int_equal(sscanf(receive(fd), "RELOADING=1\nMONOTONIC_USEC=%llu\n", &at), 1);
	low = (unsigned long long)before.tv_sec * 1000000 + (unsigned)(before.tv_nsec / 1000);
	high = (unsigned long long)after.tv_sec * 1000000 + (unsigned)(after.tv_nsec / 1000);
	assert_in_range(at, low, high);
	close(fd);
}

static void test_status_cannot_smuggle(void **state)
{
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@stoker-test-%d", (int)getpid());
	fd = listen_at(name);
	assert_int_equal(notify_status("bad\nMAINPID=1", NULL), 0);
	assert_string_equal(receive(fd), "STATUS=bad MAINPID=1\n");
	close(fd);
}

static void test_nobody_listens(void **state)
{
	struct error err = { 0 };
	char longest[200];

	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(notify_ready("", &err), 0);

	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	assert_int_equal(notify_ready("", &err), -1);
	assert_string_equal(err.text, "NOTIFY_SOCKET=/nonexistent/notify: cannot notify: "
				      "No such file or directory");

	setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
	assert_int_equal(notify_ready("", &err), -1);
	assert_string_equal(err.text, "NOTIFY_SOCKET=vsock:2:1: neither a path nor an abstract "
				      "socket");

	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longest, 1);
	assert_int_equal(notify_ready("", &err), -1);
	assert_non_null(strstr(err.text, "not a possible socket name"));
}

static void test_full_queue_is_an_error(void **state)
{
	struct error err = { 0 };
	char name[64];
	int fd, result = 0;

	(void)state;
	snprintf(name, sizeof(name), "@stoker-test-%d", (int)getpid());
	fd = listen_at(name);
	for (int i = 0; i < 100000 && result == 0; i++)
		result = notify_status("nobody reads this", &err);
	assert_int_equal(result, -1);
	assert_non_null(strstr(err.text, "cannot notify"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_abstract),
		cmocka_unit_test(test_reloading_carries_the_time),
		cmocka_unit_test(test_status_cannot_smuggle),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_full_queue_is_an_error),
	};
	int failed;

	if (!mkdtemp(directory))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return failed;
}
