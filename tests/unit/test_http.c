/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP on the loop, against a scripted server: answers, caps, aborts, stalls, unix sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "loop/http.h"
#include "tests/fakes/server.h"

struct fixture {
	struct loop *loop;
	struct http *http;
	unsigned done;
	int status;
	bool has_error;
	struct error err;
	char *body, *etag, *second;
	uint64_t received, abort_at;
	struct strbuf streamed;
};

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	fixture->loop = loop_new(NULL);
	fixture->http = http_new(fixture->loop, NULL);
	*state = fixture;
	return fixture->http ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	http_free(fixture->http);
	loop_free(fixture->loop);
	free(fixture->body);
	free(fixture->etag);
	free(fixture->second);
	strbuf_reset(&fixture->streamed);
	free(fixture);
	return 0;
}

static void on_done(struct http_request *request, const struct http_response *response,
		    const struct error *err, void *data)
{
	struct fixture *fixture = data;

	fixture->done++;
	fixture->status = response->status;
	fixture->has_error = err != NULL;
	if (err)
		fixture->err = *err;
	fixture->received = response->body_received;
	fixture->body = xstrdup(strbuf_text(&response->body));
	fixture->etag = xstrdup(http_header(response, "etag", 0));
	fixture->second = xstrdup(http_header(response, "x-many", 1));
	http_request_free(request);
	loop_stop(fixture->loop);
}

static int on_body(const struct http_response *response, const void *bytes, size_t length,
		   void *data, struct error *err)
{
	struct fixture *fixture = data;

	assert_int_equal(response->status, 200);
	strbuf_add(&fixture->streamed, bytes, length);
	if (fixture->abort_at && fixture->streamed.length >= fixture->abort_at)
		return error_set(err, "enough is enough");
	return 0;
}

static void ask(struct fixture *fixture, struct http_options *options, int port, const char *path)
{
	char url[128];
	struct http_request *request;
	struct error err;

	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
	options->url = url;
	if (http_start(fixture->http, options, on_done, fixture, &request, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(fixture->done, 0);
	loop_run(fixture->loop);
	assert_int_equal(fixture->done, 1);
}

static void test_answer(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 103 Early Hints\r\nEtag: void\r\n\r\n"
		"HTTP/1.1 404 No\r\nETag:  \"x\" \r\nX-Many: 1\r\nX-Many: 2\r\n"
		"Content-Length: 5\r\n\r\nhello",
		NULL
	};
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct strv headers = { 0 };
	struct http_options options = { .headers = &headers };
	char *asked;

	strv_add(&headers, "X-Mine: yes");
	ask(fixture, &options, server.port, "/a?b=c");
	assert_false(fixture->has_error);
	assert_int_equal(fixture->status, 404);
	assert_string_equal(fixture->body, "hello");
	assert_string_equal(fixture->etag, "\"x\"");
	assert_string_equal(fixture->second, "2");
	asked = server_stop(&server);
	assert_memory_equal(asked, "GET /a?b=c HTTP/1.1\r\n", 21);
	assert_non_null(strstr(asked, "\r\nX-Mine: yes\r\n"));
	free(asked);
	strv_reset(&headers);
}

static void test_put_over_unix_socket(void **state)
{
	static const char *const answers[] = { "HTTP/1.1 204 OK\r\n\r\n", NULL };
	struct fixture *fixture = *state;
	char directory[] = "/tmp/stoker-http-XXXXXX", path[64], *asked;
	struct http_options options = { .method = "PUT", .body = "{}", .body_length = 2 };
	struct server server;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	server = server_start(path, answers);
	options.unix_socket = path;
	ask(fixture, &options, 80, "/boot-source");
	assert_false(fixture->has_error);
	assert_int_equal(fixture->status, 204);
	asked = server_stop(&server);
	assert_memory_equal(asked, "PUT /boot-source HTTP/1.1\r\n", 27);
	assert_non_null(strstr(asked, "Content-Length: 2\r\n"));
	free(asked);
	unlink(path);
	rmdir(directory);
}

static void test_redirect_is_an_answer(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 302 F\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n", NULL
	};
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct http_options options = { 0 };

	ask(fixture, &options, server.port, "/");
	assert_false(fixture->has_error);
	assert_int_equal(fixture->status, 302);
	free(server_stop(&server));
}

static void test_body_cap(void **state)
{
	static const char *const answers[] = { "HTTP/1.1 200 OK\r\n\r\n0123456789", NULL };
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct http_options options = { .body_max = 9 };

	ask(fixture, &options, server.port, "/");
	assert_true(fixture->has_error);
	assert_string_equal(fixture->err.text, "the answer is larger than the 9 bytes allowed");
	free(server_stop(&server));
}

static void test_header_cap(void **state)
{
	struct fixture *fixture = *state;
	struct strbuf answer = { 0 };
	struct http_options options = { 0 };
	struct server server;

	strbuf_puts(&answer, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 800; i++)
		strbuf_printf(&answer, "X-%d: %090d\r\n", i, i);
	server = server_start(NULL, (const char *const[]){ answer.data, NULL });
	ask(fixture, &options, server.port, "/");
	assert_true(fixture->has_error);
	assert_string_equal(fixture->err.text, "the answer's headers exceed 65536 bytes");
	free(server_stop(&server));
	strbuf_reset(&answer);
}

static void test_stream(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"4\r\nabcd\r\n3\r\nefg\r\n0\r\n\r\n",
		NULL
	};
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct http_options options = { .on_body = on_body };

	ask(fixture, &options, server.port, "/");
	assert_false(fixture->has_error);
	assert_string_equal(fixture->streamed.data, "abcdefg");
	assert_string_equal(fixture->body, "");
	assert_int_equal(fixture->received, 7);
	free(server_stop(&server));
}

static void test_stream_abort(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n0123456789%STALL", NULL
	};
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct http_options options = { .on_body = on_body };

	fixture->abort_at = 10;
	ask(fixture, &options, server.port, "/");
	assert_true(fixture->has_error);
	assert_string_equal(fixture->err.text, "enough is enough");
	free(server_stop(&server));
}

static void test_truncated(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789", NULL
	};
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct http_options options = { .on_body = on_body };

	ask(fixture, &options, server.port, "/");
	assert_true(fixture->has_error);
	assert_int_equal(fixture->received, 10);
	free(server_stop(&server));
}

static void test_stall(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123%STALL", NULL
	};
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct http_options options = { .stall_timeout_ms = 1 };

	ask(fixture, &options, server.port, "/");
	assert_true(fixture->has_error);
	assert_non_null(strstr(fixture->err.text, "too slow"));
	free(server_stop(&server));
}

/* libcurl asks for timers below a second here: rounded to 0 it would spin, dropped it would hang.
 */
static void test_short_total_timeout(void **state)
{
	static const char *const answers[] = { "%STALL", NULL };
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct http_options options = { .total_timeout_ms = 150 };
	uint64_t start = loop_now_ms();

	ask(fixture, &options, server.port, "/");
	assert_true(fixture->has_error);
	assert_non_null(strstr(fixture->err.text, "timed out"));
	assert_true(loop_now_ms() - start >= 150);
	free(server_stop(&server));
}

static void test_refused(void **state)
{
	static const char *const answers[] = { NULL };
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct http_options options = { 0 };

	free(server_stop(&server));
	ask(fixture, &options, server.port, "/");
	assert_true(fixture->has_error);
	assert_int_equal(fixture->status, 0);
	assert_non_null(strstr(fixture->err.text, "Failed to connect"));
}

static void test_other_schemes(void **state)
{
	struct fixture *fixture = *state;
	struct http_options options = { .url = "file:///etc/hostname" };
	struct http_request *request;

	assert_int_equal(http_start(fixture->http, &options, on_done, fixture, &request, NULL), 0);
	loop_run(fixture->loop);
	assert_true(fixture->has_error);
	assert_string_equal(fixture->body, "");
}

static void on_cancel_timer(struct watch *watch, unsigned events, void *data)
{
	(void)events;
	watch_free(watch);
	loop_stop(data);
}

static void test_cancel(void **state)
{
	static const char *const answers[] = { "HTTP/1.1 200 OK\r\n\r\nx%STALL", NULL };
	struct fixture *fixture = *state;
	struct server server = server_start(NULL, answers);
	struct http_request *request;
	char url[64];
	struct http_options options = { .url = url };

	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
	assert_int_equal(http_start(fixture->http, &options, on_done, fixture, &request, NULL), 0);
	loop_timer(fixture->loop, 50, on_cancel_timer, fixture->loop);
	loop_run(fixture->loop);
	http_request_free(request);
	loop_timer(fixture->loop, 50, on_cancel_timer, fixture->loop);
	loop_run(fixture->loop);
	assert_int_equal(fixture->done, 0);
	free(server_stop(&server));
}

static void test_urls(void **state)
{
	static const struct {
		const char *base, *location, *result;
	} cases[] = {
		{ "https://a.io/v2/x", "https://b.io/y?z=1", "https://b.io/y?z=1" },
		{ "https://a.io/v2/x", "/y", "https://a.io/y" },
		{ "https://a.io/v2/x", "//b.io/y", "https://b.io/y" },
		{ "https://a.io:8443/v2/x", "y", "https://a.io:8443/v2/y" },
		{ "https://a.io/v2/x", "http://b.io/", "http://b.io/" },
		{ "https://a.io/v2/x", "file:///etc/passwd", NULL },
		{ "https://a.io/v2/x", "ftp://b.io/", NULL },
		{ "https://a.io/v2/x", "https://user@b.io/", NULL },
		{ "https://a.io/v2/x", "http://[::1", NULL },
	};
	struct strbuf escaped = { 0 };
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		text = http_url_resolve(cases[i].base, cases[i].location, NULL);
		if (cases[i].result)
			assert_string_equal(text, cases[i].result);
		else
			assert_null(text);
		free(text);
	}
	assert_true(http_url_same_origin("https://a.io/x", "HTTPS://A.io:443/y"));
	assert_false(http_url_same_origin("https://a.io/x", "https://a.io:444/x"));
	assert_false(http_url_same_origin("https://a.io/x", "http://a.io/x"));
	assert_false(http_url_same_origin("https://a.io/x", "https://a.io.evil/x"));
	assert_false(http_url_same_origin("https://a.io/x", "nonsense:"));
	text = http_url_authority("http://a.io:5000/x");
	assert_string_equal(text, "a.io:5000");
	free(text);
	text = http_url_authority("https://a.io:443/x");
	assert_string_equal(text, "a.io");
	free(text);
	http_url_escape(&escaped, "repository:a/b:pull &\n");
	assert_string_equal(escaped.data, "repository%3Aa%2Fb%3Apull%20%26%0A");
	strbuf_reset(&escaped);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answer),
		TEST(test_put_over_unix_socket),
		TEST(test_redirect_is_an_answer),
		TEST(test_body_cap),
		TEST(test_header_cap),
		TEST(test_stream),
		TEST(test_stream_abort),
		TEST(test_truncated),
		TEST(test_stall),
		TEST(test_short_total_timeout),
		TEST(test_refused),
		TEST(test_other_schemes),
		TEST(test_cancel),
		cmocka_unit_test(test_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
