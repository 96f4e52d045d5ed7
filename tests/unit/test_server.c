/* SPDX-License-Identifier: Apache-2.0 */
/* control/server: requests and events over its socket, what clients may not do, the socket itself.
 */
#include "tests/unit/server_host.h"

static void test_version(void **state)
{
	assert_string_equal(ask(*state, "{\"command\":\"version\"}\n"),
			    "{\"version\":\"" STOKER_VERSION "\"}\n" DONE);
}

static void test_requests_in_a_row(void **state)
{
	const char *answer = ask(*state, "{\"command\":\"version\"}\n{\"command\":\"nonsense\"}\n"
					 "{\"command\":\"version\"}\n");

	assert_int_equal(count_of(answer, DONE), 2);
	assert_int_equal(count_of(answer, "{\"error\":\"unknown command 'nonsense'"), 1);
}

/* Far more than the queue holds, to a reader that takes its time; meanwhile another is served. */
static void test_status_of_many_to_a_slow_reader(void **state)
{
	struct fixture *f = *state;
	int slow = dial(f);
	char name[32];

	for (int i = 2; i < 1500; i++) {
		snprintf(name, sizeof(name), "acme/web.%d", i);
		add_instance(f, name);
	}
	say(slow, "{\"command\":\"status\"}\n");
	turn(f, 300);
	assert_non_null(strstr(ask(f, "{\"command\":\"version\"}\n"), DONE));
	await(f, slow, DONE);
	assert_int_equal(count_of(strbuf_text(&f->received), "{\"instance\":"), 1500);
	assert_int_equal(count_of(strbuf_text(&f->received), "\"name\":\"acme/web.1499\""), 1);
	close(slow);
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	const char *answer;
	int fd;

	set_phase(f, 1, PHASE_STOPPING);
	f->roster.instances[1].reason = REASON_EXITED;
	f->roster.instances[1].exit_code = 3;
	set_phase(f, 1, PHASE_BACKOFF);
	answer = ask(f, "{\"command\":\"events\"}\n");
	assert_int_equal(count_of(answer, "{\"event\":"), 2);
	assert_non_null(strstr(answer, "\"phase\":\"backoff\",\"reason\":\"exited\","
				       "\"exit_code\":3"));

	fd = dial(f);
	say(fd, "{\"command\":\"events\",\"follow\":true}\n");
	await(f, fd, "backoff");
	set_phase(f, 1, PHASE_PREPARING);
	assert_non_null(strstr(await(f, fd, "preparing"), "\"number\":3"));
	close(fd);
}

/* A guest that floods does not push out what happened to VMs. */
static void test_drops_leave_room(void **state)
{
	const struct net_event drop = { .kind = NET_EVENT_DROP, .reason = "gso", .message = "" };
	const struct net_event lost = { .kind = NET_EVENT_LOST, .reason = "", .message = "gone" };
	struct fixture *f = *state;
	const char *answer;

	set_phase(f, 1, PHASE_BACKOFF);
	for (int i = 0; i < 1000; i++)
		server_publish_guard(f->server, "acme/web", &drop);
	server_publish_guard(f->server, "acme/web", &lost);
	set_phase(f, 1, PHASE_BOOTING);
	answer = ask(f, "{\"command\":\"events\"}\n");
	assert_int_equal(count_of(answer, "\"phase\":"), 2);
	assert_int_equal(count_of(answer, "\"guard\":\"drop\""), 128);
	assert_int_equal(count_of(answer, "\"guard\":\"lost\""), 1);
	assert_int_equal(count_of(answer, "{\"dropped\":"), 0);
	/* In order, whichever place they were in. */
	for (uint64_t number = 0, next; (answer = strstr(answer, "\"number\":")); number = next) {
		next = strtoull(answer + strlen("\"number\":"), NULL, 10);
		assert_true(next > number);
		answer++;
	}
}

static void test_events_to_a_slow_reader_are_counted(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(fd, "{\"command\":\"events\",\"follow\":true}\n");
	turn(f, 50);
	for (int i = 0; i < 20000; i++) {
		set_phase(f, 0, i % 2 ? PHASE_BACKOFF : PHASE_BOOTING);
		if (i % 100 == 0)
			turn(f, 1);
	}
	set_phase(f, 0, PHASE_FAILED);
	assert_int_equal(count_of(await(f, fd, "failed"), "{\"dropped\":"), 1);
	close(fd);
}

/* --- what clients may not do -------------------------------------------------------------------
 */

static void test_endless_request(void **state)
{
	struct fixture *f = *state;
	char junk[PROTOCOL_REQUEST_MAX * 3];
	int fd = dial(f);

	memset(junk, 'j', sizeof(junk) - 1);
	junk[sizeof(junk) - 1] = '\0';
	say(fd, junk);
	assert_string_equal(await(f, fd, NULL),
			    "{\"error\":\"the request is longer than 32768 bytes\"}\n");
	close(fd);
}

static void test_too_many_clients(void **state)
{
	struct fixture *f = *state;
	int fds[33];

	for (size_t i = 0; i < 33; i++) {
		fds[i] = dial(f);
		turn(f, 1);
	}
	assert_string_equal(await(f, fds[32], NULL),
			    "{\"error\":\"32 clients are connected, no more are served (end some)"
			    "\"}\n");
	close(fds[0]);
	turn(f, 50);
	assert_non_null(strstr(ask(f, "{\"command\":\"version\"}\n"), DONE));
	for (size_t i = 1; i < 33; i++)
		close(fds[i]);
}

static void test_a_client_that_leaves_frees_its_place(void **state)
{
	struct fixture *f = *state;

	f->roster.is_settled = false;
	for (int i = 0; i < 40; i++) {
		int fd = dial(f);

		say(fd, i % 2 ? "{\"command\":\"reload\",\"timeout_ms\":86400000}\n"
			      : "{\"command\":\"events\",\"follow\":true}\n");
		turn(f, 5);
		close(fd);
		turn(f, 5);
	}
	assert_non_null(strstr(ask(f, "{\"command\":\"version\"}\n"), DONE));
}

static void test_other_users_are_refused(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = address_of(f);
	struct stat st;
	int ends[2];
	pid_t pid;

	assert_int_equal(lstat(address.sun_path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0666);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pid = fork();
	if (pid == 0) {
		char bytes[256];
		ssize_t n;
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (setgid(65534) < 0 || setuid(65534) < 0 ||
		    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(1);
		n = recv(fd, bytes, sizeof(bytes), 0);
		_exit(n > 0 && send(ends[1], bytes, (size_t)n, 0) == n ? 0 : 1);
	}
	close(ends[1]);
	assert_string_equal(
		await(f, ends[0], NULL),
		"{\"error\":\"user 65534 may not use stokerd (root may, the group 'stoker' may "
		"look, the operators of a tenant may see to that tenant)\"}\n");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(ends[0]);
}

/* --- the socket itself -------------------------------------------------------------------------
 */

static void test_a_dead_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = address_of(f);
	struct stat st;
	int dead;

	f->server = server_close(f->server);
	assert_int_equal(lstat(address.sun_path, &st), -1);
	dead = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(dead, 1), 0);
	/* Still held, as by a child of the dead daemon that has not reached its exec. */
	assert_int_equal(lstat(address.sun_path, &st), 0);
	assert_int_equal(
		server_open(f->loop, &f->settings, &f->roster, &handlers, f, &f->server, NULL), 0);
	assert_non_null(strstr(ask(f, "{\"command\":\"version\"}\n"), DONE));
	close(dead);
}

static void test_what_is_no_socket_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = address_of(f);
	struct error err = { 0 };
	char expected[256];
	struct stat st;

	f->server = server_close(f->server);
	assert_int_equal(fs_write_atomic(address.sun_path, "mine", 4, 0600, NULL), 0);
	assert_int_equal(
		server_open(f->loop, &f->settings, &f->roster, &handlers, f, &f->server, &err), -1);
	snprintf(expected, sizeof(expected), "%s: is in the way and no socket (move it)",
		 address.sun_path);
	assert_string_equal(err.text, expected);
	assert_int_equal(lstat(address.sun_path, &st), 0);
	assert_int_equal(st.st_size, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_version),
		TEST(test_requests_in_a_row),
		TEST(test_status_of_many_to_a_slow_reader),
		TEST(test_events),
		TEST(test_drops_leave_room),
		TEST(test_events_to_a_slow_reader_are_counted),
		TEST(test_endless_request),
		TEST(test_too_many_clients),
		TEST(test_a_client_that_leaves_frees_its_place),
		TEST(test_other_users_are_refused),
		TEST(test_a_dead_socket_is_replaced),
		TEST(test_what_is_no_socket_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
