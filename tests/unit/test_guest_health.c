/* SPDX-License-Identifier: Apache-2.0 */
/* guest-init/health.c by a clock of the test's, with checks that are numbers of processes, and
 * guest-init/probe.c against servers of the test's. */
#include <endian.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "guest-init/config.c"
#include "guest-init/failure.c"
#include "guest-init/health.c"
#include "guest-init/probe.c"

enum { START_MS = 100000, EXIT_1 = 1 << 8 };

static struct {
	pid_t last, killed; /* pids of checks */
	bool can_start;
	int output; /* write end of the last one's pipe */
	struct frame_health_result told;
	unsigned tellings;
	size_t room;
} world;

/* --- in place of service.c and channel.c ------------------------------------------------------ */

int service_find_user(int root, const char *name, struct user *ret, struct failure *why)
{
	(void)root;
	(void)name;
	(void)why;
	*ret = (struct user){ .uid = getuid(), .gid = getgid() };
	return 0;
}

const char *service_working_dir(const struct config *config)
{
	(void)config;
	return "/";
}

int service_spawn(const struct launch *launch, int (*act)(void *data), void *data, pid_t *ret_pid,
		  struct failure *why)
{
	assert_ptr_equal(act, probe_run);
	assert_non_null(data);
	if (!world.can_start)
		return failure_set(why, "fork: no");
	world.output = dup(launch->errors);
	*ret_pid = ++world.last;
	return 0;
}

void service_kill_cgroup(const char *cgroup, pid_t pid)
{
	assert_string_equal(cgroup, CGROUP);
	world.killed = pid;
}

size_t channel_session_room(const struct channel *channel)
{
	(void)channel;
	return world.room;
}

void channel_session_send(struct channel *channel, enum frame_type type, uint16_t number,
			  const void *payload, size_t length)
{
	(void)channel;
	assert_int_equal(type, FRAME_HEALTH_RESULT);
	assert_int_equal(number, 0);
	assert_int_equal(length, sizeof(world.told));
	memcpy(&world.told, payload, length);
	world.tellings++;
}

int service_make_cgroup(const char *cgroup, struct failure *why)
{
	(void)why;
	assert_string_equal(cgroup, CGROUP);
	return 0;
}

/* --- the clock -------------------------------------------------------------------------------- */

struct fixture {
	struct health health;
	struct config config;
	uint64_t now_ms;
	int epoll;
};

static void define_as(struct fixture *f, uint32_t serial, uint32_t kind, const char *word,
		      uint32_t start_period_ms)
{
	struct frame_health how = { htole32(serial), htole32(kind), htole32(80),
				    htole32(10000),  htole32(2000), htole32(start_period_ms) };
	struct config_entry entry = { htole32(CONFIG_COMMAND), htole32((uint32_t)strlen(word)) };
	uint8_t payload[256];

	memcpy(payload, &how, sizeof(how));
	memcpy(payload + sizeof(how), &entry, sizeof(entry));
	memcpy(payload + sizeof(how) + sizeof(entry), word, strlen(word));
	assert_true(health_on_frame(&f->health, FRAME_HEALTH, payload,
				    sizeof(how) + sizeof(entry) + strlen(word), f->now_ms));
}

static void setup(struct fixture *f, uint32_t start_period_ms)
{
	*f = (struct fixture){ .now_ms = START_MS, .epoll = epoll_create1(EPOLL_CLOEXEC) };
	memset(&world, 0, sizeof(world));
	world.last = 1000000000;
	world.can_start = true;
	world.output = -1;
	world.room = 4096;
	health_init(&f->health, NULL, &f->config, f->epoll, 1);
	health_begin(&f->health, 0, f->now_ms);
	define_as(f, 1, HEALTH_EXEC, "check", start_period_ms);
	health_tend(&f->health, f->now_ms);
}

static void teardown(struct fixture *f)
{
	struct config words = { .command = f->health.words };

	health_end(&f->health);
	close_output(&f->health);
	if (world.output >= 0)
		close(world.output);
	config_reset(&words);
	close(f->epoll);
}

static void wait_ms(struct fixture *f, uint64_t time_ms)
{
	f->now_ms += time_ms;
	health_tend(&f->health, f->now_ms);
}

/* The check that runs says so and ends; the host takes the result. */
static void ends(struct fixture *f, int status, const char *output)
{
	assert_true(health_on_frame(&f->health, FRAME_HEALTH_SEEN, NULL, 0, f->now_ms));
	assert_int_equal(write(world.output, output, strlen(output)), strlen(output));
	close(world.output);
	world.output = -1;
	assert_true(health_on_reaped(&f->health, world.last, status, f->now_ms));
	health_tend(&f->health, f->now_ms);
	assert_true(health_on_frame(&f->health, FRAME_HEALTH_SEEN, NULL, 0, f->now_ms));
}

static void told_is(uint32_t successes, uint32_t failures, const char *message)
{
	assert_int_equal(le32toh(world.told.successes), successes);
	assert_int_equal(le32toh(world.told.failures), failures);
	assert_string_equal(world.told.message, message);
}

/* --- health.c ----------------------------------------------------------------------------------
 */

static void failures_count_after_the_start_period(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 5000);
	assert_int_equal(world.tellings, 1); /* that nothing is known */
	told_is(0, 0, "");
	assert_true(health_on_frame(&f.health, FRAME_HEALTH_SEEN, NULL, 0, f.now_ms));
	ends(&f, EXIT_1, "no\nreally\n");
	told_is(0, 0, "exit code 1: no");
	assert_int_equal(health_wake_ms(&f.health), START_MS + 1000);
	wait_ms(&f, 1000);
	assert_int_equal(world.last, 1000000002);
	ends(&f, EXIT_1, "");
	wait_ms(&f, 5000); /* which is beyond it, and so is the end of this check */
	ends(&f, EXIT_1, "late");
	told_is(0, 1, "exit code 1: late");
	teardown(&f);

	setup(&f, 5000);
	wait_ms(&f, 1500);
	ends(&f, 0, "");
	wait_ms(&f, 10000 - 1);
	assert_int_equal(world.output, -1);
	wait_ms(&f, 1);
	ends(&f, EXIT_1, "");
	told_is(1, 1, "exit code 1");
	wait_ms(&f, 10000);
	ends(&f, 9, "");
	told_is(1, 2, "signal 9");
	wait_ms(&f, 10000);
	ends(&f, 0, " all is well");
	told_is(1, 0, "all is well");
	teardown(&f);
}

static void success_ends_the_start_period(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 3600000);
	assert_true(health_on_frame(&f.health, FRAME_HEALTH_SEEN, NULL, 0, f.now_ms));
	ends(&f, 0, "");
	told_is(1, 0, "");
	wait_ms(&f, 10000);
	ends(&f, EXIT_1, "");
	told_is(1, 1, "exit code 1");
	teardown(&f);
}

static void one_that_hangs_is_killed(void **state)
{
	struct fixture f;
	pid_t pid;

	(void)state;
	setup(&f, 0);
	pid = world.last;
	assert_true(health_on_frame(&f.health, FRAME_HEALTH_SEEN, NULL, 0, f.now_ms));
	assert_int_equal(health_wake_ms(&f.health), START_MS + 2000);
	wait_ms(&f, 1999);
	assert_int_equal(world.killed, 0);
	wait_ms(&f, 1);
	assert_int_equal(world.killed, pid);
	told_is(0, 1, "no result within 2000 ms");
	assert_true(health_on_frame(&f.health, FRAME_HEALTH_SEEN, NULL, 0, f.now_ms));
	/* It cannot be ended: no second one is started beside it. */
	wait_ms(&f, 10000);
	assert_int_equal(world.last, pid);
	told_is(0, 2, "the check before cannot be ended");
	assert_true(health_on_reaped(&f.health, pid, 9, f.now_ms));
	assert_false(health_on_reaped(&f.health, pid, 9, f.now_ms));
	close(world.output);
	wait_ms(&f, 10000);
	assert_int_equal(world.last, pid + 1);
	teardown(&f);
}

static void one_that_does_not_start_has_failed(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0);
	assert_true(health_on_frame(&f.health, FRAME_HEALTH_SEEN, NULL, 0, f.now_ms));
	ends(&f, 0, "");
	world.can_start = false;
	wait_ms(&f, 10000);
	told_is(1, 1, "fork: no");
	assert_int_equal(health_wake_ms(&f.health), f.now_ms + 10000);
	teardown(&f);
}

static void a_result_waits_for_the_host(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0);
	assert_int_equal(world.tellings, 1);
	close(world.output);
	world.output = -1;
	assert_true(health_on_reaped(&f.health, world.last, 0, f.now_ms));
	wait_ms(&f, 1);
	assert_int_equal(world.tellings, 1); /* not seen yet */
	world.room = sizeof(world.told) - 1;
	assert_true(health_on_frame(&f.health, FRAME_HEALTH_SEEN, NULL, 0, f.now_ms));
	wait_ms(&f, 1);
	assert_int_equal(world.tellings, 1); /* no room */
	world.room++;
	wait_ms(&f, 1);
	assert_int_equal(world.tellings, 2);
	told_is(1, 0, "");
	/* The next host hears it again, when it has said what it wants to know. */
	health_on_gone(&f.health);
	wait_ms(&f, 1);
	assert_int_equal(world.tellings, 2);
	define_as(&f, 7, HEALTH_EXEC, "check", 0);
	wait_ms(&f, 1);
	assert_int_equal(world.tellings, 3);
	assert_int_equal(le32toh(world.told.serial), 7);
	told_is(1, 0, "");
	teardown(&f);
}

static void another_check_begins_anew(void **state)
{
	struct fixture f;
	pid_t pid;

	(void)state;
	setup(&f, 0);
	assert_true(health_on_frame(&f.health, FRAME_HEALTH_SEEN, NULL, 0, f.now_ms));
	ends(&f, 0, "fine");
	wait_ms(&f, 10000);
	pid = world.last;
	define_as(&f, 2, HEALTH_EXEC, "other", 0);
	assert_int_equal(world.killed, pid);
	wait_ms(&f, 0);
	told_is(0, 0, "");
	close(world.output);
	/* The end of the old one is nothing of the new one's, which waits for it. */
	wait_ms(&f, 100);
	assert_int_equal(world.last, pid);
	assert_true(health_on_reaped(&f.health, pid, 0, f.now_ms));
	wait_ms(&f, 0);
	assert_int_equal(world.last, pid + 1);
	assert_true(health_on_frame(&f.health, FRAME_HEALTH_SEEN, NULL, 0, f.now_ms));
	define_as(&f, 3, HEALTH_OFF, "", 0);
	wait_ms(&f, 1000000);
	assert_int_equal(world.last, pid + 1);
	assert_int_equal(health_wake_ms(&f.health), UINT64_MAX);
	teardown(&f);
}

static void nothing_is_checked_once_it_stops(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0);
	health_end(&f.health);
	assert_int_equal(world.killed, world.last);
	assert_int_equal(health_wake_ms(&f.health), UINT64_MAX);
	assert_true(health_on_reaped(&f.health, world.last, 9, f.now_ms));
	close(world.output);
	world.output = -1;
	wait_ms(&f, 100000);
	assert_int_equal(world.output, -1);
	assert_int_equal(world.tellings, 1);
	teardown(&f);
}

static void what_no_host_says_is_refused(void **state)
{
	struct frame_health how = { .kind = htole32(HEALTH_TCP),
				    .port = htole32(80),
				    .interval_ms = htole32(1),
				    .timeout_ms = htole32(1) };
	struct fixture f;

	(void)state;
	setup(&f, 0);
#define SAYS(length) health_on_frame(&f.health, FRAME_HEALTH, &how, length, f.now_ms)
	assert_true(SAYS(sizeof(how)));
	assert_false(SAYS(sizeof(how) - 1));
	assert_false(SAYS(0));
	assert_false(health_on_frame(&f.health, FRAME_HEALTH_SEEN, &how, 1, f.now_ms));
	how.port = htole32(65536);
	assert_false(SAYS(sizeof(how)));
	how.port = 0;
	assert_false(SAYS(sizeof(how)));
	how.port = htole32(80);
	how.interval_ms = 0;
	assert_false(SAYS(sizeof(how)));
	how.interval_ms = htole32(1);
	how.kind = htole32(HEALTH_HTTP); /* without a path */
	assert_false(SAYS(sizeof(how)));
	how.kind = htole32(HEALTH_EXEC); /* without a word */
	assert_false(SAYS(sizeof(how)));
	how.kind = htole32(9);
	assert_false(SAYS(sizeof(how)));
#undef SAYS
	assert_int_equal(f.health.check.kind, HEALTH_TCP);
	teardown(&f);
}

/* --- probe.c -----------------------------------------------------------------------------------
 */

static void the_status_of_an_answer(void **state)
{
	static const struct {
		const char *answer;
		int status;
	} rows[] = {
		{ "", 0 },
		{ "H", 0 },
		{ "HTTP/1.1 20", 0 },
		{ "HTTP/1.1 200", 0 },
		{ "HTTP/1.1 200 OK", 0 },
		{ "HTTP/1.1 200 OK\r\n", 200 },
		{ "HTTP/1.0 404\n", 404 },
		{ "HTTP/1.1 301 \r\nLocation: /\r\n", 301 },
		{ "HTTP/2.0 999\r\n", 999 },
		{ "HTTP/1.1 2000\r\n", -1 },
		{ "HTTP/1.1 20\r\n", -1 },
		{ "HTTP/1.1  200\r\n", -1 },
		{ "HTTP/11 200\r\n", -1 },
		{ "http/1.1 200 OK\r\n", -1 },
		{ "SSH-2.0-OpenSSH\r\n", -1 },
		{ "\r\n", -1 },
	};
	char endless[STATUS_LINE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(probe_status(rows[i].answer, strlen(rows[i].answer)),
				 rows[i].status);
	memset(endless, 'x', sizeof(endless));
	memcpy(endless, "HTTP/1.1 200 ", 13);
	assert_int_equal(probe_status(endless, sizeof(endless) - 1), 0);
	assert_int_equal(probe_status(endless, sizeof(endless)), -1);
}

struct server {
	int fd;
	const char *answer;
	char asked[512];
};

static void *serve(void *data)
{
	struct server *server = data;
	int fd = accept(server->fd, NULL, NULL);

	if (read(fd, server->asked, sizeof(server->asked) - 1) > 0)
		for (const char *at = server->answer; *at; at++)
			if (send(fd, at, 1, MSG_NOSIGNAL) != 1)
				break;
	close(fd);
	return NULL;
}

/* What the check says goes to descriptor 2, as in the child that it is. */
static int probe_saying(struct probe *probe, char *said, size_t size)
{
	int pipes[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipes[1], 2);
		_exit(probe_run(probe));
	}
	close(pipes[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	n = read(pipes[0], said, size - 1);
	said[n > 0 ? n : 0] = '\0';
	close(pipes[0]);
	return WEXITSTATUS(status);
}

static uint16_t listen_on(struct server *server, const struct sockaddr *address, socklen_t size)
{
	struct sockaddr_in6 bound;
	socklen_t length = sizeof(bound);

	server->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, address, size), 0);
	assert_int_equal(listen(server->fd, 4), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&bound, &length), 0);
	return ntohs(bound.sin6_port); /* where IPv4's is as well */
}

static void an_answer_is_judged(void **state)
{
	static const struct {
		const char *answer;
		int result;
		const char *said;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\n\r\nhello", 0, "GET /x: status 200\n" },
		{ "HTTP/1.1 399 -\r\n", 0, "GET /x: status 399\n" },
		{ "HTTP/1.1 400 -\r\n", 1, "GET /x: status 400\n" },
		{ "HTTP/1.1 199 -\r\n", 1, "GET /x: status 199\n" },
		{ "", 1, "no HTTP answer\n" },
		{ "HTTP/1.1 200 OK", 1, "no HTTP answer\n" },
		{ "220 mail\r\n", 1, "no HTTP answer\n" },
	};
	static const struct sockaddr_in loopback = { .sin_family = AF_INET,
						     .sin_addr.s_addr = 0x0100007f };
	const struct list none = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct server server = { .answer = rows[i].answer };
		struct probe probe = { .path = "/x", .addresses = &none };
		pthread_t thread;
		char said[256];

		probe.port = listen_on(&server, (const struct sockaddr *)&loopback,
				       sizeof(loopback));
		assert_int_equal(pthread_create(&thread, NULL, serve, &server), 0);
		assert_int_equal(probe_saying(&probe, said, sizeof(said)), rows[i].result);
		pthread_join(thread, NULL);
		assert_non_null(strstr(said, rows[i].said));
		assert_ptr_equal(strstr(server.asked, "GET /x HTTP/1.1\r\nHost: localhost:"),
				 server.asked);
		close(server.fd);
	}
}

static void a_port_is_looked_for_at_every_address(void **state)
{
	static const struct sockaddr_in elsewhere = { .sin_family = AF_INET,
						      .sin_addr.s_addr = 0x0700007f };
	char *items[] = { "not one", "127.0.0.7" };
	const struct list own = { items, 2 }, none = { 0 };
	struct server server = { 0 };
	struct probe probe = { .addresses = &own };
	char said[256];

	(void)state;
	probe.port = listen_on(&server, (const struct sockaddr *)&elsewhere, sizeof(elsewhere));
	assert_int_equal(probe_saying(&probe, said, sizeof(said)), 0);
	assert_string_equal(said, "");
	probe.addresses = &none;
	assert_int_equal(probe_saying(&probe, said, sizeof(said)), 1);
	assert_non_null(strstr(said, ": Connection refused\n"));
	close(server.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_count_after_the_start_period),
		cmocka_unit_test(success_ends_the_start_period),
		cmocka_unit_test(one_that_hangs_is_killed),
		cmocka_unit_test(one_that_does_not_start_has_failed),
		cmocka_unit_test(a_result_waits_for_the_host),
		cmocka_unit_test(another_check_begins_anew),
		cmocka_unit_test(nothing_is_checked_once_it_stops),
		cmocka_unit_test(what_no_host_says_is_refused),
		cmocka_unit_test(the_status_of_an_answer),
		cmocka_unit_test(an_answer_is_judged),
		cmocka_unit_test(a_port_is_looked_for_at_every_address),
	};

	return cmocka_run_group_tests_name("guest health", tests, NULL, NULL);
}
