/* SPDX-License-Identifier: Apache-2.0 */
/* forward/ over TLS, to OpenSSL's server, with certificates made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/forward_host.h"

static pid_t server;
static int server_input;

static void end_server(void)
{
	if (!server)
		return;
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	close(server_input);
	server = 0;
}

static int tear_down(void **state)
{
	end_server();
	return teardown(state);
}

static void run(const struct fixture *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void run(const struct fixture *f, const char *format, ...)
{
	_cleanup_free_ char *command = NULL, *whole = NULL;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&command, format, args) > 0);
	va_end(args);
	whole = xasprintf("cd %s && { %s; } >run.log 2>&1", f->dir, command);
	if (system(whole) != 0)
		fail_msg("%s", whole);
}

/* NAME.pem and NAME.key, signed by themselves: an authority. */
static void make_authority(const struct fixture *f, const char *name)
{
	run(f,
	    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
	    "-subj /CN=%s -keyout %s.key -out %s.pem",
	    name, name, name);
}

/* The same, signed by ca.pem, for a name or an address ("IP:127.0.0.1"). */
static void make_certificate(const struct fixture *f, const char *name, const char *of)
{
	run(f,
	    "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s "
	    "-keyout %s.key -out %s.req && echo subjectAltName=%s >%s.ext && openssl x509 -req "
	    "-days 2 -in %s.req -CA ca.pem -CAkey ca.key -extfile %s.ext -out %s.pem",
	    name, name, name, of, name, name, name, name);
}

static char *file_text(const struct fixture *f, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", f->dir, name);
	struct strbuf text = { 0 };

	assert_int_equal(fs_read(path, 1 << 20, &text, NULL), 0);
	return strbuf_take(&text);
}

static void await_server(const struct fixture *f, const char *wanted)
{
	uint64_t until_ms = loop_now_ms() + WAIT_MS;

	for (;;) {
		_cleanup_free_ char *text = file_text(f, "server.log");

		if (strstr(text, wanted))
			return;
		if (loop_now_ms() > until_ms)
			fail_msg("no '%s' in: %s", wanted, text);
		turn(f);
	}
}

/* Ends when its input does, so that is a pipe; what it is sent lands in server.log. Returns its
 * port. */
static int start_server(struct fixture *f, const char *certificate, const char *options)
{
	_cleanup_free_ char *command = xasprintf(
		"cd %s && exec openssl s_server -accept 127.0.0.1:0 -cert %s.pem -key %s.key %s "
		">server.log 2>&1",
		f->dir, certificate, certificate, options);
	_cleanup_free_ char *text = NULL;
	static const char accept[] = "ACCEPT 127.0.0.1:";
	int ends[2];

	run(f, ": >server.log");
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	server = fork();
	if (server == 0) {
		dup2(ends[0], STDIN_FILENO);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(ends[0]);
	server_input = ends[1];
	await_server(f, accept);
	await_server(f, "\n");
	text = file_text(f, "server.log");
	return atoi(strstr(text, accept) + strlen(accept));
}

static void set_path(const struct fixture *f, char **setting, const char *name)
{
	free(*setting);
	*setting = xasprintf("%s/%s", f->dir, name);
}

static void test_tls(void **state)
{
	struct fixture *f = *state;
	int port;

	make_authority(f, "ca");
	make_certificate(f, "server", "IP:127.0.0.1");
	port = start_server(f, "server", "");
	set_path(f, &f->settings.log_forward_ca, "ca.pem");
	open_to(f, "tls://127.0.0.1:", port);
	say(f, "acme/web", "stdout", "secret");
	await_server(f, " acme/web - - [stoker@32473 tenant=\"acme\" vm=\"web\" "
			"stream=\"stdout\"] secret");
	assert_true(counts(f).is_up);
	assert_int_equal(counts(f).lines, 1);
	end_server();
	await_logged(f, "lines wait, and it is tried again");
	assert_false(counts(f).is_up);
}

/* An authority that is not ours, and another's certificate: not a byte is said. */
static void test_tls_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *said = NULL;
	int port;

	make_authority(f, "ca");
	make_authority(f, "other");
	make_certificate(f, "server", "IP:127.0.0.1");
	make_certificate(f, "stranger", "DNS:logs.example.com");
	port = start_server(f, "server", "");
	set_path(f, &f->settings.log_forward_ca, "other.pem");
	open_to(f, "tls://127.0.0.1:", port);
	say(f, "acme/web", "stdout", "secret");
	await_logged(f, "SSL certificate problem: ");
	f->forward = forward_close(f->forward);
	await_logged(f, ": 1 lines still wait and are lost");
	end_server();
	port = start_server(f, "stranger", "");
	set_path(f, &f->settings.log_forward_ca, "ca.pem");
	open_to(f, "tls://127.0.0.1:", port);
	say(f, "acme/web", "stdout", "secret");
	await_logged(f, "no alternative certificate subject name matches target host name");
	assert_false(counts(f).is_up);
	assert_int_equal(counts(f).lines, 0);
	said = file_text(f, "server.log");
	assert_null(strstr(said, "secret"));
}

/* A server that wants to know who we are. The key appears late, and first as everybody's. */
static void test_tls_mutual(void **state)
{
	struct fixture *f = *state;
	int port;

	make_authority(f, "ca");
	make_certificate(f, "server", "IP:127.0.0.1");
	make_certificate(f, "client", "DNS:host.example.com");
	port = start_server(f, "server", "-tls1_2 -Verify 1 -verify_return_error -CAfile ca.pem");
	set_path(f, &f->settings.log_forward_ca, "ca.pem");
	set_path(f, &f->settings.log_forward_cert, "client.pem");
	set_path(f, &f->settings.log_forward_key, "late.key");
	open_to(f, "tls://127.0.0.1:", port);
	say(f, "acme/web", "stdout", "secret");
	await_logged(f, "late.key: ");
	run(f, "cp client.key late.key && chmod 644 late.key");
	forward_reopen(f->forward);
	await_logged(f, "late.key: readable by everyone");
	run(f, "chmod 600 late.key");
	await_server(f, "stream=\"stdout\"] secret");
	await_server(f, "CN = client\nverify return:1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tls, setup, tear_down),
		cmocka_unit_test_setup_teardown(test_tls_refused, setup, tear_down),
		cmocka_unit_test_setup_teardown(test_tls_mutual, setup, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
