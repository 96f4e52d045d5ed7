/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One struct of runs, first in first out. What comes back was written by a process that a guest may
 * have taken over: bodies are bounded, and of an error's only the printable text is kept.
 */
#include "vmm/fc_api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "loop/http.h"
#include "vmm/sockets.h"

enum {
	SOCKET_POLL_MS = 3,	/* Firecracker takes 6 to 60 ms until it listens */
	SOCKET_WAIT_MS = 30000, /* on a loaded host */
	ANSWER_MS = 60000,	/* InstanceStart loads the kernel: on a slow disk, seconds */
	ANSWER_MAX = 16 << 10,
};

struct run {
	struct api_requests requests; /* owned */
	size_t next;
	int tag;
	bool has_failed;
	struct error failure;
	struct run *later;
};

struct fc_api {
	struct loop *loop; /* borrowed */
	int root_fd;	   /* borrowed */
	uid_t uid;
	struct fc_api_callbacks callbacks;
	void *data;

	struct http *http;	      /* owned; NULL while nothing runs */
	struct http_request *request; /* owned; the one under way */
	struct watch *wait;	      /* owned; until the socket is there, for a turn, for an end */
	uint64_t give_up_ms;
	int socket_fd; /* owned; O_PATH, of the one that was found to be Firecracker's */
	struct run *runs;
};

static void on_turn(struct watch *watch, unsigned events, void *data);

static struct run *run_free(struct run *run)
{
	struct run *later = run->later;

	fc_requests_reset(&run->requests);
	free(run);
	return later;
}

static void disconnect(struct fc_api *api)
{
	api->request = http_request_free(api->request);
	if (api->http)
		api->http = http_free(api->http);
}

static void take_turn(struct fc_api *api)
{
	if (!api->wait)
		api->wait = loop_soon(api->loop, on_turn, api);
}

static void on_end(struct watch *watch, unsigned events, void *data)
{
	struct fc_api *api = data;
	bool has_failed = api->runs->has_failed;
	struct error failure = api->runs->failure;
	int tag = api->runs->tag;

	(void)events;
	api->wait = watch_free(watch);
	api->runs = run_free(api->runs);
	disconnect(api);
	if (api->runs)
		take_turn(api);
	api->callbacks.done(api->data, tag, has_failed ? &failure : NULL); /* may have freed api */
}

/* Not at once: libcurl may be on the stack, and cannot be freed there. */
static void end_run(struct fc_api *api, const struct error *err)
{
	if (err) {
		api->runs->has_failed = true;
		api->runs->failure = *err;
	}
	watch_free(api->wait);
	api->wait = loop_soon(api->loop, on_end, api);
}

/* --- answers --------------------------------------------------------------------------------- */

void fc_fault(const char *body, size_t length, char ret[FC_FAULT_MAX + 1])
{
	_cleanup_json_ json_t *object = NULL;
	const char *fault = NULL;

	/* What its HTTP server says itself is no JSON: {"error": "..."} with newlines inside. */
	if (json_parse(body, length, "answer", &object, NULL) == 0)
		fault = json_string_or(object, "fault_message", NULL);
	if (fault) {
		body = fault;
		length = strlen(fault);
	}
	if (length > FC_FAULT_MAX)
		length = FC_FAULT_MAX;
	for (size_t i = 0; i < length; i++)
		ret[i] = body[i] >= 0x20 && body[i] < 0x7f ? body[i] : ' ';
	ret[length] = '\0';
}

static int judge(struct fc_api *api, const struct api_request *request,
		 const struct http_response *response, const struct error *failure,
		 struct error *err)
{
	if (failure)
		return error_set(err, "Firecracker's API: %s %s: %s", request->method,
				 request->path, failure->text);
	if (response->status != 204 && response->status != 200) {
		char fault[FC_FAULT_MAX + 1];

		fc_fault(strbuf_text(&response->body), response->body.length, fault);
		return error_set(err, "Firecracker refused %s %s: %s (status %d)", request->method,
				 request->path, fault, response->status);
	}
	return api->callbacks.after(api->data, request, err);
}

static void on_answer(struct http_request *request, const struct http_response *response,
		      const struct error *failure, void *data)
{
	struct fc_api *api = data;
	struct run *run = api->runs;
	struct error err;
	int result = judge(api, &run->requests.items[run->next], response, failure, &err);

	api->request = http_request_free(request);
	run->next++;
	if (result < 0)
		end_run(api, &err);
	else if (run->next == run->requests.count)
		end_run(api, NULL);
	else
		take_turn(api);
}

/* --- requests -------------------------------------------------------------------------------- */

static int send_next(struct fc_api *api, struct error *err)
{
	const struct run *run = api->runs;
	const struct api_request *next = &run->requests.items[run->next];
	_cleanup_free_ char *url = xasprintf("http://localhost%s", next->path);
	_cleanup_free_ char *socket = xasprintf("/proc/self/fd/%d", api->socket_fd);
	_cleanup_strv_ struct strv headers = { 0 };
	struct http_options options = {
		.method = next->method,
		.url = url,
		.unix_socket = socket,
		.headers = &headers,
		.body = next->body,
		.body_length = strlen(next->body),
		.body_max = ANSWER_MAX,
		.stall_timeout_ms = ANSWER_MS,
		.total_timeout_ms = ANSWER_MS,
	};

	strv_add(&headers, "Content-Type: application/json");
	strv_add(&headers, "Expect:"); /* no 100-continue for a body of some bytes */
	if (api->callbacks.before(api->data, next, err) < 0)
		return -1;
	if (!api->http) {
		api->http = http_new(api->loop, err);
		if (!api->http)
			return -1;
	}
	return http_start(api->http, &options, on_answer, api, &api->request, err);
}

/* 0: it is there; 1: not yet; -1. */
static int find_socket(struct fc_api *api, struct error *err)
{
	if (api->socket_fd >= 0)
		return 0;
	if (socket_find_beneath(api->root_fd, FC_SOCKET, api->uid, &api->socket_fd, err) == 0)
		return 0;
	if (err->number != ENOENT && err->number != ECONNREFUSED)
		return -1;
	if (loop_now_ms() < api->give_up_ms)
		return 1;
	return error_set(err, "Firecracker did not open its API socket within %d s",
			 SOCKET_WAIT_MS / 1000);
}

static void on_turn(struct watch *watch, unsigned events, void *data)
{
	struct fc_api *api = data;
	struct error err = { 0 };
	int found;

	(void)events;
	api->wait = watch_free(watch);
	found = find_socket(api, &err);
	if (found > 0)
		api->wait = loop_timer(api->loop, SOCKET_POLL_MS, on_turn, api);
	else if (found < 0 || send_next(api, &err) < 0)
		end_run(api, &err);
}

void fc_api_run(struct fc_api *api, int tag, struct api_requests *taken)
{
	struct run *run = xcalloc(1, sizeof(*run));
	struct run **place = &api->runs;

	run->requests = *taken;
	run->tag = tag;
	*taken = (struct api_requests){ 0 };
	while (*place)
		place = &(*place)->later;
	*place = run;
	if (run == api->runs) {
		api->give_up_ms = loop_now_ms() + SOCKET_WAIT_MS;
		take_turn(api);
	}
}

struct fc_api *fc_api_new(struct loop *loop, int root_fd, uid_t uid,
			  const struct fc_api_callbacks *callbacks, void *data)
{
	struct fc_api *api = xcalloc(1, sizeof(*api));

	*api = (struct fc_api){ .loop = loop,
				.root_fd = root_fd,
				.uid = uid,
				.callbacks = *callbacks,
				.data = data,
				.socket_fd = -1 };
	return api;
}

struct fc_api *fc_api_free(struct fc_api *api)
{
	if (!api)
		return NULL;
	disconnect(api);
	if (api->socket_fd >= 0)
		close(api->socket_fd);
	watch_free(api->wait);
	while (api->runs)
		api->runs = run_free(api->runs);
	free(api);
	return NULL;
}
