/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl forbids calls into a multi handle from inside its own callbacks. So its timer callback
 * only arms a watch, and what is finished is reported after curl_multi_socket_action returned.
 */
#include "loop/multi.h"

#include <stdlib.h>

#include "base/alloc.h"

struct multi {
	struct loop *loop; /* borrowed */
	CURLM *handle;
	struct watch *timer; /* owned; NULL while libcurl wants none */
};

/* A connection that libcurl wants watched. */
struct multi_socket {
	struct multi *multi; /* borrowed */
	curl_socket_t fd;    /* libcurl's */
	struct watch *watch;
};

static void report_finished(struct multi *multi)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi->handle, &left))) {
		CURLcode code = message->data.result;
		struct multi_transfer *transfer;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		transfer->done(transfer, code);
	}
}

static void act(struct multi *multi, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(multi->handle, fd, what, &running);
	report_finished(multi);
}

static void on_socket_ready(struct watch *watch, unsigned events, void *data)
{
	struct multi_socket *socket = data;

	(void)watch;
	/* `socket` may be gone when this returns. */
	act(socket->multi, socket->fd,
	    (events & LOOP_READ ? CURL_CSELECT_IN : 0) |
		    (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *data, void *assigned)
{
	struct multi *multi = data;
	struct multi_socket *socket = assigned;
	unsigned events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (socket)
			watch_free(socket->watch);
		free(socket);
		curl_multi_assign(multi->handle, fd, NULL);
		return 0;
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= LOOP_READ;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= LOOP_WRITE;
	if (socket) {
		watch_set_events(socket->watch, events);
		return 0;
	}
	socket = xcalloc(1, sizeof(*socket));
	socket->multi = multi;
	socket->fd = fd;
	socket->watch = loop_io(multi->loop, fd, events, on_socket_ready, socket);
	curl_multi_assign(multi->handle, fd, socket);
	return 0;
}

static void on_timer(struct watch *watch, unsigned events, void *data)
{
	struct multi *multi = data;

	(void)events;
	/* First, because libcurl may want the next one from inside. */
	multi->timer = watch_free(watch);
	act(multi, CURL_SOCKET_TIMEOUT, 0);
}

/* -1 ends the timer, 0 means as soon as possible, else milliseconds. */
static int on_timer_wanted(CURLM *handle, long timeout_ms, void *data)
{
	struct multi *multi = data;

	(void)handle;
	multi->timer = watch_free(multi->timer);
	if (timeout_ms >= 0)
		multi->timer = loop_timer(multi->loop, (uint64_t)timeout_ms, on_timer, multi);
	return 0;
}

struct multi *multi_new(struct loop *loop, struct error *err)
{
	struct multi *multi;
	CURLM *handle;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(handle = curl_multi_init())) {
		error_set(err, "libcurl cannot be initialised");
		return NULL;
	}
	multi = xcalloc(1, sizeof(*multi));
	multi->loop = loop;
	multi->handle = handle;
	curl_multi_setopt(handle, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
	curl_multi_setopt(handle, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(handle, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	curl_multi_setopt(handle, CURLMOPT_TIMERDATA, multi);
	return multi;
}

struct multi *multi_free(struct multi *multi)
{
	if (!multi)
		return NULL;
	/* Closing idle connections may still call on_socket_wanted and on_timer_wanted. */
	curl_multi_cleanup(multi->handle);
	watch_free(multi->timer);
	free(multi);
	curl_global_cleanup();
	return NULL;
}

CURLMcode multi_add(struct multi *multi, struct multi_transfer *transfer)
{
	curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
	return curl_multi_add_handle(multi->handle, transfer->easy);
}

void multi_remove(struct multi *multi, struct multi_transfer *transfer)
{
	/* Of a handle that is not (or no longer) in the multi handle nothing is taken. */
	curl_multi_remove_handle(multi->handle, transfer->easy);
}
