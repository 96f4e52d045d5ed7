/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/metrics over real sockets, with the roster of tests/fakes: the exact text, what is not
 * answered, and clients that are many, slow or silent. The test is client and loop in one thread,
 * as in server_host.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "control/metrics.h"

#include "tests/fakes/roster.c"
#include "tests/unit/run_loop.h"

enum { CLIENTS_MAX = 8, MANY = 2000 };

struct fixture {
	char dir[64];
	struct loop *loop;
	struct settings settings;
	struct roster roster;
	struct metrics *metrics;
	struct strbuf received;
};

static json_t *on_describe(void *data)
{
	(void)data;
	return json_pack("{s:I,s:i,s:s,s:[s],s:{s:b,s:i,s:i}}", "uptime_ms", (json_int_t)61500,
			 "reloads", 3, "refusal", "web.yaml:1:1: unknown key", "warnings", "no KVM",
			 "forward", "is_up", 1, "lines", 71, "lost", 5);
}

static const struct control_handlers handlers = { .describe = on_describe };

static void add_instance(struct fixture *f, const char *name)
{
	struct spec *spec = spec_new();

	spec->name = xstrdup(name);
	f->roster.instances[f->roster.count++] = (struct instance_status){
		.spec = spec,
		.phase = PHASE_RUNNING,
		.running_ms = 2500,
		.restarts = 1,
		.health = HEALTH_UNHEALTHY,
	};
}

static int open_metrics(struct fixture *f, struct error *err)
{
	return metrics_open(f->loop, &f->settings, &f->roster, &handlers, f, &f->metrics, err);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/stoker-metrics-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	settings_defaults(&f->settings);
	free(f->settings.run_dir);
	f->settings.run_dir = xasprintf("%s/run", f->dir);
	f->loop = loop_new(NULL);
	add_instance(f, "acme/db");
	assert_int_equal(open_metrics(f, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	metrics_close(f->metrics);
	loop_free(f->loop);
	for (size_t i = 0; i < f->roster.count; i++)
		spec_free((struct spec *)f->roster.instances[i].spec);
	settings_reset(&f->settings);
	strbuf_reset(&f->received);
	fs_remove_tree(f->dir, NULL);
	free(f);
	return 0;
}

static struct sockaddr_un address_of(const struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" METRICS_SOCKET,
		 f->settings.run_dir);
	return address;
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un address = address_of(f);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void turn(const struct fixture *f, uint64_t ms)
{
	run_loop_for(f->loop, ms);
}

/* All that came until `wanted` is in it, or, when that is NULL, the connection was closed. */
static const char *await(struct fixture *f, int fd, const char *wanted)
{
	uint64_t until_ms = loop_now_ms() + 60000;
	char bytes[65536];

	strbuf_reset(&f->received);
	while (loop_now_ms() < until_ms) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return strbuf_text(&f->received);
		if (n > 0)
			strbuf_add(&f->received, bytes, (size_t)n);
		if (wanted && strstr(strbuf_text(&f->received), wanted))
			return strbuf_text(&f->received);
		turn(f, 1);
	}
	fail_msg("no '%s' in: %s", wanted ? wanted : "end", strbuf_text(&f->received));
	return NULL;
}

/* HTTP/1.0 has no chunks: the answer ends with the connection. */
static const char *ask(struct fixture *f, const char *request)
{
	int fd = dial(f);

	say(fd, request);
	await(f, fd, NULL);
	close(fd);
	return strbuf_text(&f->received);
}

#define GET "GET /metrics HTTP/1.0\r\n\r\n"

static const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static void test_text(void **state)
{
	struct fixture *f = *state;
	const char *answer = ask(f, GET);

	assert_non_null(strstr(answer, " 200 OK\r\n"));
	assert_non_null(
		strstr(answer, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_string_equal(
		body_of(answer),
		"# HELP stoker_info The version that runs.\n# TYPE stoker_info gauge\n"
		"stoker_info{version=\"" STOKER_VERSION "\"} 1\n"
		"# HELP stoker_uptime_seconds Since the daemon was started.\n"
		"# TYPE stoker_uptime_seconds gauge\nstoker_uptime_seconds 61\n"
		"# HELP stoker_reloads_total Loads of the manifests that were applied.\n"
		"# TYPE stoker_reloads_total counter\nstoker_reloads_total 3\n"
		"# HELP stoker_manifests_refused Whether the last load was refused.\n"
		"# TYPE stoker_manifests_refused gauge\nstoker_manifests_refused 1\n"
		"# HELP stoker_host_warnings How many of them status shows.\n"
		"# TYPE stoker_host_warnings gauge\nstoker_host_warnings 1\n"
		"# HELP stoker_log_forward_up Whether the target takes lines.\n"
		"# TYPE stoker_log_forward_up gauge\nstoker_log_forward_up 1\n"
		"# HELP stoker_log_forwarded_lines_total Lines of guests that the target took.\n"
		"# TYPE stoker_log_forwarded_lines_total counter\n"
		"stoker_log_forwarded_lines_total 71\n"
		"# HELP stoker_log_forward_lost_lines_total Lines of guests that found no room to "
		"wait in.\n"
		"# TYPE stoker_log_forward_lost_lines_total counter\n"
		"stoker_log_forward_lost_lines_total 5\n"
		"# HELP stoker_vm_phase 1 for the phase that the VM is in.\n"
		"# TYPE stoker_vm_phase gauge\n"
		"stoker_vm_phase{vm=\"acme/db\",phase=\"running\"} 1\n"
		"# HELP stoker_vm_health 1 for what the VM's health check has shown.\n"
		"# TYPE stoker_vm_health gauge\n"
		"stoker_vm_health{vm=\"acme/db\",health=\"unhealthy\"} 1\n"
		"# HELP stoker_vm_restarts_total Restarts since the daemon knows the VM.\n"
		"# TYPE stoker_vm_restarts_total counter\n"
		"stoker_vm_restarts_total{vm=\"acme/db\"} 1\n"
		"# HELP stoker_vm_running_seconds For how long the workload runs.\n"
		"# TYPE stoker_vm_running_seconds gauge\n"
		"stoker_vm_running_seconds{vm=\"acme/db\"} 2\n"
		"# HELP stoker_vm_log_dropped_bytes_total Of its log, beyond the rate.\n"
		"# TYPE stoker_vm_log_dropped_bytes_total counter\n"
		"stoker_vm_log_dropped_bytes_total{vm=\"acme/db\"} 0\n"
		"# HELP stoker_guard_frames_total Frames of this run of the VM, by verdict.\n"
		"# TYPE stoker_guard_frames_total counter\n"
		"stoker_guard_frames_total{vm=\"acme/db\",verdict=\"pass\",reason=\"accept\"} 41\n"
		"stoker_guard_frames_total{vm=\"acme/db\",verdict=\"drop\",reason=\"source-mac\"} "
		"7\n"
		"# HELP stoker_guard_bytes_total Bytes of the frames that passed.\n"
		"# TYPE stoker_guard_bytes_total counter\n"
		"stoker_guard_bytes_total{vm=\"acme/db\",direction=\"from-guest\"} 4242\n"
		"stoker_guard_bytes_total{vm=\"acme/db\",direction=\"to-guest\"} 17\n"
		"# HELP stoker_guard_shielded_total Frames that met the flood shield.\n"
		"# TYPE stoker_guard_shielded_total counter\n"
		"stoker_guard_shielded_total{vm=\"acme/db\"} 9\n"
		"# HELP stoker_guard_shield_up Whether the flood shield is up.\n"
		"# TYPE stoker_guard_shield_up gauge\n"
		"stoker_guard_shield_up{vm=\"acme/db\"} 1\n");
}

/* Without VMs the families are there, and empty. */
static void test_no_instances(void **state)
{
	struct fixture *f = *state;
	const char *body;

	spec_free((struct spec *)f->roster.instances[0].spec);
	f->roster.count = 0;
	body = body_of(ask(f, GET));
	assert_non_null(strstr(body, "# TYPE stoker_guard_shield_up gauge\n"));
	assert_null(strstr(body, "vm="));
}

/* Every instance once in each family, families unbroken, in however many pieces. */
static void test_many_instances(void **state)
{
	static const char family[] = "stoker_guard_bytes_total{vm=\"";
	struct fixture *f = *state;
	const char *at;
	char name[64];

	while (f->roster.count < MANY) {
		snprintf(name, sizeof(name), "acme/web.%zu", f->roster.count);
		add_instance(f, name);
	}
	at = strstr(body_of(ask(f, GET)), family);
	for (size_t i = 0; i < MANY; i++) {
		char line[256];

		snprintf(line, sizeof(line),
			 "%s%s\",direction=\"from-guest\"} 4242\n"
			 "%s%s\",direction=\"to-guest\"} 17\n",
			 family, f->roster.instances[i].spec->name, family,
			 f->roster.instances[i].spec->name);
		if (!at || strncmp(at, line, strlen(line)) != 0)
			fail_msg("not at its place: %s", line);
		at += strlen(line);
	}
	assert_int_equal(strncmp(at, "# HELP", 6), 0);
	assert_null(strstr(at, family));
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;

	assert_non_null(strstr(ask(f, "GET / HTTP/1.0\r\n\r\n"), " 404 "));
	assert_string_equal(body_of(strbuf_text(&f->received)), "It is /metrics.\n");
	assert_non_null(
		strstr(ask(f, "POST /metrics HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc"), " 405 "));
	assert_non_null(strstr(strbuf_text(&f->received), "\r\nAllow: GET, HEAD\r\n"));
	assert_non_null(strstr(ask(f, "HEAD /metrics HTTP/1.0\r\n\r\n"), " 200 "));
	assert_string_equal(body_of(strbuf_text(&f->received)), "");
	assert_null(strstr(ask(f, "\x16\x03\x01 nonsense\r\n\r\n"), " 200 "));
}

static void test_endless_request(void **state)
{
	struct fixture *f = *state;
	char line[1024];
	int fd = dial(f);

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 1024; i++) {
		if (send(fd, line, sizeof(line), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
		    errno != EAGAIN)
			break;
		turn(f, 0);
	}
	assert_null(strstr(await(f, fd, NULL), " 200 "));
	close(fd);
	assert_non_null(strstr(ask(f, GET), " 200 "));
}

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* More than are served wait their turn, without keeping the loop busy. */
static void test_many_clients(void **state)
{
	struct fixture *f = *state;
	int fds[2 * CLIENTS_MAX];
	double before;

	for (int i = 0; i < CLIENTS_MAX; i++) {
		fds[i] = dial(f);
		say(fds[i], "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
		await(f, fds[i], "stoker_guard_shield_up{");
	}
	for (int i = CLIENTS_MAX; i < 2 * CLIENTS_MAX; i++) {
		fds[i] = dial(f);
		say(fds[i], GET);
	}
	before = cpu_ms();
	turn(f, 1000);
	assert_true(cpu_ms() - before < 500);
	for (int i = CLIENTS_MAX; i < 2 * CLIENTS_MAX; i++)
		assert_int_equal(recv(fds[i], &before, 1, MSG_DONTWAIT), -1);
	for (int i = 0; i < CLIENTS_MAX; i++)
		close(fds[i]);
	for (int i = CLIENTS_MAX; i < 2 * CLIENTS_MAX; i++) {
		assert_non_null(strstr(await(f, fds[i], NULL), " 200 "));
		close(fds[i]);
	}
}

/* Whoever does not read gets no further than its socket holds, and others are answered. */
static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	char name[64];
	int slow = dial(f);

	while (f->roster.count < MANY) {
		snprintf(name, sizeof(name), "acme/web.%zu", f->roster.count);
		add_instance(f, name);
	}
	say(slow, GET);
	for (int i = 0; i < 100; i++)
		turn(f, 1);
	assert_non_null(strstr(ask(f, GET), "stoker_guard_shield_up{vm=\"acme/web.1999\"}"));
	/* In the end it gets its own. */
	assert_non_null(
		strstr(await(f, slow, NULL), "stoker_guard_shield_up{vm=\"acme/web.1999\"}"));
	close(slow);
}

static void test_socket(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = address_of(f);
	struct stat st;

	assert_int_equal(stat(address.sun_path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	f->metrics = metrics_close(f->metrics);
	assert_int_equal(stat(address.sun_path, &st), -1);
}

static void listen_on(struct fixture *f, const char *value)
{
	metrics_close(f->metrics);
	free(f->settings.metrics_listen);
	f->settings.metrics_listen = xstrdup(value);
}

static void test_off(void **state)
{
	struct fixture *f = *state;

	listen_on(f, "off");
	assert_int_equal(open_metrics(f, NULL), 0);
	assert_null(f->metrics);
}

/* A port that is taken as long as *ret_fd is open. */
static struct sockaddr_in take_port(int *ret_fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t length = sizeof(address);

	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(*ret_fd, 1), 0);
	assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&address, &length), 0);
	return address;
}

static void test_tcp(void **state)
{
	struct fixture *f = *state;
	char value[32], expected[128];
	struct sockaddr_in address;
	struct error err;
	int fd, attempts = 20;

	address = take_port(&fd);
	snprintf(value, sizeof(value), "127.0.0.1:%u", ntohs(address.sin_port));
	listen_on(f, value);
	assert_int_equal(open_metrics(f, &err), -1);
	snprintf(expected, sizeof(expected),
		 "[metrics] listen = %s: cannot bind: Address already in use", value);
	assert_string_equal(err.text, expected);
	close(fd);
	/* Somebody else may be quicker. */
	while (open_metrics(f, &err) < 0 && --attempts) {
		address = take_port(&fd);
		close(fd);
		snprintf(value, sizeof(value), "127.0.0.1:%u", ntohs(address.sin_port));
		listen_on(f, value);
	}
	assert_non_null(f->metrics);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	say(fd, GET);
	assert_non_null(strstr(await(f, fd, NULL), "stoker_guard_shield_up{vm=\"acme/db\"} 1\n"));
	close(fd);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_text),	TEST(test_no_instances),    TEST(test_many_instances),
		TEST(test_refusals),	TEST(test_endless_request), TEST(test_many_clients),
		TEST(test_slow_reader), TEST(test_socket),	    TEST(test_off),
		TEST(test_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
