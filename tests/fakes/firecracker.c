/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A firecracker without a machine behind it: the API of the original on its unix socket, judged by
 * the tables of fc_schema.h and carried out by fc_machine.c, and a guest that follows a script
 * (fc_guest.c). Static, because the jailer runs it where there is no library.
 *
 * What goes wrong is read from the name of the file (a copy or hard link; the jailer resolves
 * symbolic links): "firecracker" and then, each after a dash,
 *
 *   old-X.Y.Z          is that release: its endpoints, its fields, its --version (else 1.16.1)
 *   garbage-version    --version prints what is no version
 *   exit-N             ends at once with exit code N
 *   no-socket          runs and never listens; late-socket listens after 2 s
 *   slow-api           each answer takes 1 s; the guest waits too
 *   garbage-http       answers what is no HTTP
 *   full-disk          logs, metrics, console and vsock socket cannot be made (ENOSPC), nor written
 *   no-kvm             the start fails for want of /dev/kvm
 *   hang-start         hang-PUT-actions
 *   fail-CALL          400 and a fault_message
 *   hang-CALL          never answered
 *   die-before-CALL    SIGKILL when the request was read, die-between-CALL when it was carried out,
 *                      die-after-CALL when it was answered
 *
 * where CALL is METHOD-endpoint[-id]: PUT-vsock, PUT-drives-upper, PATCH-vm, GET-version. Several
 * may follow each other: firecracker-old-1.13.0-fail-PUT-network-interfaces-eth0.
 *
 * The script is the `command` of the VM's manifest, found in the initrd; without one it is "serve":
 *
 *   serve              runs until the host's stop; then reports the signal, waits for
 *                      FRAME_EXIT_SEEN and ends with 0
 *   exit N, signal N   the workload ends; oom: for want of memory; init-error: it never ran
 *   panic              a kernel's panic on the console, then exit code 0, as with panic=1 reboot=k
 *   reboot             exit code 0 without a report
 *   power-off          the guest halts; on x86 the process lives on, as the original does
 *   vmm-crash [N]      dies by signal N (6: a panic of the VMM); vmm-exit N ends with exit code N
 *   silent             boots into nothing: never connects
 *   lose-channel       closes the channel and runs on; garbage says on it what is no frame
 *   flood              logs and console without end
 *   ignore-stop        does not hear the stop; slow-stop dies by SIGKILL when its grace is over
 *
 * All act 100 ms after the boot, or "after" so many ms, and those that end the VMM or the channel
 * only when the host has greeted; "early" acts at the boot itself: exit 3 after 500, panic early.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/fakes/args.h"
#include "tests/fakes/fc_guest.h"
#include "tests/fakes/fc_http.h"
#include "tests/fakes/fc_machine.h"
#include "tests/fakes/fc_vsock.h"

enum { CLIENTS_MAX = 10, SLOW_MS = 1000, LATE_MS = 2000 };

/* What an event is about; clients and streams follow each other. */
enum {
	TOKEN_API,
	TOKEN_VSOCK,
	TOKEN_CHANNEL,
	TOKEN_CLIENT,
	TOKEN_STREAM = TOKEN_CLIENT + CLIENTS_MAX
};

struct firecracker {
	struct fc_faults faults;
	struct machine machine;
	struct guest guest;
	struct vsock vsock;
	struct http_connection clients[CLIENTS_MAX];
	int epoll, listener;
	bool guest_runs;
};

static struct arg arguments[] = {
	{ "api-sock", .takes_value = true, .fallback = "/run/firecracker.socket" },
	{ "boot-timer" },
	{ "config-file", .takes_value = true },
	{ "describe-snapshot", .takes_value = true },
	{ "enable-pci" },
	{ "help" },
	{ "http-api-max-payload-size", .takes_value = true },
	{ "id", .takes_value = true, .fallback = "anonymous-instance" },
	{ "level", .takes_value = true },
	{ "log-path", .takes_value = true },
	{ "metadata", .takes_value = true },
	{ "metrics-path", .takes_value = true },
	{ "mmds-size-limit", .takes_value = true },
	{ "module", .takes_value = true },
	{ "no-api" },
	{ "no-seccomp" },
	{ "parent-cpu-time-us", .takes_value = true },
	{ "seccomp-filter", .takes_value = true },
	{ "show-level" },
	{ "show-log-origin" },
	{ "snapshot-version" },
	{ "start-time-cpu-us", .takes_value = true },
	{ "start-time-us", .takes_value = true },
	{ "version" },
	{ 0 },
};

/* --- ends ----------------------------------------------------------------------------------- */

static void die(const struct firecracker *fc, int exit_code, const char *message)
{
	machine_log(&fc->machine, LEVEL_ERROR, "main", "%s", message);
	fprintf(stderr, "Error: %s\n", message);
	machine_log(&fc->machine, LEVEL_ERROR, "main",
		    "Firecracker exiting with error. exit_code=%d", exit_code);
	exit(exit_code);
}

/* Firecracker's exit codes of the signals that it handles. */
static const struct {
	int number, exit_code;
} handled[] = {
	{ SIGSYS, 2 },	  { SIGBUS, 149 }, { SIGSEGV, 150 }, { SIGXFSZ, 151 },
	{ SIGXCPU, 154 }, { SIGHUP, 156 }, { SIGILL, 157 },
};

static void on_signal(int number)
{
	for (size_t i = 0; i < sizeof(handled) / sizeof(*handled); i++)
		if (handled[i].number == number)
			_exit(handled[i].exit_code);
	_exit(2);
}

static void handle_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(handled) / sizeof(*handled); i++)
		signal(handled[i].number, on_signal);
}

static void finish(const struct firecracker *fc)
{
	machine_write_metrics(&fc->machine, NULL);
	machine_log(&fc->machine, LEVEL_INFO, "main", "Vmm is stopping.");
	if (fc->guest.exit_code)
		die(fc, fc->guest.exit_code,
		    "RunWithApiError error: MicroVM stopped with an error");
	machine_log(&fc->machine, LEVEL_INFO, "main",
		    "Firecracker exiting successfully. exit_code=0");
	exit(0);
}

/* --- events --------------------------------------------------------------------------------- */

static void watch(const struct firecracker *fc, int fd, uint32_t events, uint64_t token)
{
	struct epoll_event event = { .events = events, .data.u64 = token };

	if (epoll_ctl(fc->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die(fc, 1, "the fake cannot watch a descriptor");
}

static void sleep_ms(unsigned time_ms)
{
	const struct timespec time = { time_ms / 1000, time_ms % 1000 * 1000000L };

	nanosleep(&time, NULL);
}

/* --- requests ------------------------------------------------------------------------------- */

static void start_guest(struct firecracker *fc)
{
	fc->guest_runs = true;
	guest_start(&fc->guest, &fc->machine, fc->epoll, TOKEN_CHANNEL);
	if (fc->machine.vsock_fd >= 0)
		watch(fc, fc->machine.vsock_fd, EPOLLIN, TOKEN_VSOCK);
}

/* 0 and what a GET asks for, or -1 and the fault. */
static int carry_out(struct firecracker *fc, const struct http_request *http, struct strbuf *body,
		     struct error *err)
{
	struct machine *machine = &fc->machine;
	struct fc_request request;
	int result;

	if (fc_schema_check(&machine->session, http->method, http->path, http->body,
			    http->body_length, &request, err) < 0)
		return -1;
	result = machine_call(machine, &request, body, err);
	if (result == 0)
		fc_schema_note(&machine->session, request.call);
	if (result == 0 && request.call == FC_START)
		start_guest(fc);
	/* What came while it was paused has made its event already. */
	if (result == 0 && request.call == FC_PATCH_VM && !machine->is_paused)
		guest_on_event(&fc->guest, EPOLLIN);
	fc_request_reset(&request);
	return result;
}

static void answer(struct firecracker *fc, struct http_connection *client,
		   const struct http_request *http, enum fault_kind fault)
{
	_cleanup_strbuf_ struct strbuf body = { 0 };
	_cleanup_json_ json_t *refusal = NULL;
	_cleanup_free_ char *text = NULL;
	struct error err;
	int result = -1;

	if (fault == FAULT_REFUSE)
		error_set(&err, "the fake was told to refuse %s %s", http->method, http->path);
	else
		result = carry_out(fc, http, &body, &err);
	if (fault == FAULT_DIE_BETWEEN)
		raise(SIGKILL);
	if (result == 0) {
		machine_log(&fc->machine, LEVEL_INFO, "fc_api",
			    "The request was executed successfully. Status code: %s.",
			    body.length ? "200 OK" : "204 No Content");
		http_answer(client, body.length ? 200 : 204, body.data);
		return;
	}
	machine_log(&fc->machine, LEVEL_ERROR, "fc_api",
		    "Received Error. Status code: 400 Bad Request. Message: %s", err.text);
	refusal = json_pack("{s:s}", "fault_message", err.text);
	text = json_dumps(refusal, JSON_COMPACT);
	http_answer(client, 400, text);
}

static void log_request(const struct firecracker *fc, const struct http_request *http)
{
	const char *rest = http->method + 1;
	char method[16];

	snprintf(method, sizeof(method), "%c%s", *http->method,
		 !strcmp(rest, "ET")   ? "et"
		 : !strcmp(rest, "UT") ? "ut"
				       : "atch");
	if (http->body_length)
		machine_log(&fc->machine, LEVEL_INFO, "fc_api",
			    "The API server received a %s request on \"%s\" with body \"%.*s\".",
			    method, http->path, (int)http->body_length, http->body);
	else
		machine_log(&fc->machine, LEVEL_INFO, "fc_api",
			    "The API server received a %s request on \"%s\".", method, http->path);
}

static void serve(struct firecracker *fc, struct http_connection *client,
		  const struct http_request *http)
{
	enum fault_kind fault = fc_faults_of(&fc->faults, http->method, http->path);

	log_request(fc, http);
	if (fault == FAULT_DIE_BEFORE)
		raise(SIGKILL);
	if (fault == FAULT_HANG) {
		client->is_deaf = true;
		return;
	}
	if (fc->faults.slow_api)
		sleep_ms(SLOW_MS);
	if (fc->faults.garbage_http)
		strbuf_puts(&client->out, "\x01\x02 I am no server of HTTP\n\n");
	else
		answer(fc, client, http, fault);
	if (fault == FAULT_DIE_AFTER) {
		http_flush(client);
		raise(SIGKILL);
	}
}

static void on_client(struct firecracker *fc, size_t number, uint32_t events)
{
	struct http_connection *client = &fc->clients[number];
	struct http_request http;

	if (client->fd < 0)
		return;
	if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP) || http_read(client) < 0) {
		http_close(client);
		return;
	}
	while (http_next(client, &http) == HTTP_READY) {
		serve(fc, client, &http);
		http_drop(client, &http);
	}
	if (http_flush(client) < 0)
		http_close(client);
}

static void on_listener(struct firecracker *fc)
{
	static const char full[] = "HTTP/1.1 503\r\nServer: Firecracker API\r\n"
				   "Connection: close\r\nContent-Length: 40\r\n\r\n"
				   "{ \"error\": \"Too many open connections\" }";
	int fd = accept4(fc->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (fc->clients[i].fd < 0) {
			fc->clients[i].fd = fd;
			watch(fc, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, TOKEN_CLIENT + i);
			return;
		}
	send(fd, full, strlen(full), MSG_NOSIGNAL);
	close(fd);
}

/* --- the loop ------------------------------------------------------------------------------- */

static void on_vsock(struct firecracker *fc)
{
	struct vsock_stream *stream = vsock_accept(&fc->vsock, fc->machine.vsock_fd);

	if (stream)
		watch(fc, stream->fd, EPOLLIN,
		      TOKEN_STREAM + (uint64_t)(stream - fc->vsock.streams));
}

static void dispatch(struct firecracker *fc, const struct epoll_event *event)
{
	uint64_t token = event->data.u64;

	if (token == TOKEN_API)
		on_listener(fc);
	else if (token == TOKEN_VSOCK)
		on_vsock(fc);
	else if (token == TOKEN_CHANNEL && !fc->machine.is_paused)
		guest_on_event(&fc->guest, event->events);
	else if (token >= TOKEN_STREAM)
		vsock_on_event(&fc->vsock, &fc->vsock.streams[token - TOKEN_STREAM]);
	else if (token >= TOKEN_CLIENT)
		on_client(fc, (size_t)(token - TOKEN_CLIENT), event->events);
}

static void run(struct firecracker *fc)
{
	for (;;) {
		struct epoll_event events[16];
		int wait_ms = -1, count;

		if (fc->guest_runs && !fc->machine.is_paused)
			wait_ms = guest_tend(&fc->guest);
		if (fc->guest_runs && fc->guest.phase == GUEST_OVER)
			finish(fc);
		count = epoll_wait(fc->epoll, events, 16, wait_ms);
		for (int i = 0; i < count; i++)
			dispatch(fc, &events[i]);
	}
}

/* --- the beginning -------------------------------------------------------------------------- */

static void listen_api(struct firecracker *fc, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char message[512];

	if (fc->faults.no_socket)
		for (;;)
			pause();
	if (fc->faults.late_socket)
		sleep_ms(LATE_MS);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fc->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (strlen(path) >= sizeof(address.sun_path) ||
	    bind(fc->listener, (struct sockaddr *)&address, sizeof(address)) < 0) {
		if (errno == EADDRINUSE)
			snprintf(message, sizeof(message),
				 "RunWithApiError error: Failed to open the API socket at: %s. "
				 "Check that it is not already used.",
				 path);
		else
			snprintf(message, sizeof(message),
				 "RunWithApiError error: Failed to bind and run the HTTP server: "
				 "IO error: %s (os error %d)",
				 strerror(errno), errno);
		die(fc, 1, message);
	}
	machine_log(&fc->machine, LEVEL_INFO, "main", "Listening on API socket (\"%s\").", path);
	listen(fc->listener, 128);
	watch(fc, fc->listener, EPOLLIN, TOKEN_API);
	machine_log(&fc->machine, LEVEL_INFO, "fc_api", "API server started.");
}

/* The original panics over them. */
static void check_arguments(const struct firecracker *fc)
{
	static const char *const numbers[] = { "parent-cpu-time-us", "start-time-cpu-us",
					       "start-time-us", NULL };
	const char *id = fc->machine.id;

	for (const char *c = id; *c; c++)
		if (!strchr("-", *c) && !(*c >= '0' && *c <= '9') &&
		    !((*c | 32) >= 'a' && (*c | 32) <= 'z'))
			id = "";
	if (!*id || strlen(id) > FC_ID_MAX) {
		machine_log(&fc->machine, LEVEL_ERROR, "main",
			    "Firecracker panicked: Invalid instance ID");
		abort();
	}
	for (const char *const *name = numbers; *name; name++) {
		const char *value = args_value(arguments, *name);

		if (value && (!*value || strspn(value, "0123456789") != strlen(value))) {
			machine_log(&fc->machine, LEVEL_ERROR, "main",
				    "Firecracker panicked: '%s' parameter expected to be of 'u64' "
				    "type.",
				    *name);
			abort();
		}
	}
}

static const char *own_name(void)
{
	const char *path = (const char *)getauxval(AT_EXECFN);
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
	static struct firecracker fc = { .listener = -1 };
	struct error err;
	char **extra;

	if (fc_faults_parse(own_name(), &fc.faults, &err) < 0) {
		fprintf(stderr, "firecracker (fake): %s\n", err.text);
		return 2;
	}
	machine_init(&fc.machine, &fc.faults, "anonymous-instance");
	if (args_parse(arguments, argc, argv, &extra, &err) < 0) {
		error_wrap(&err, "Arguments parsing error");
		die(&fc, 153, err.text);
	}
	if (args_get(arguments, "version")->present) {
		printf(fc.faults.garbage_version ? "%.0sWaterdragon\n" : "Firecracker v%s\n\n",
		       fc.faults.version);
		return 0;
	}
	if (fc.faults.exit_code >= 0)
		return fc.faults.exit_code;
	fc.machine.id = args_value(arguments, "id");
	check_arguments(&fc);
	machine_log(&fc.machine, LEVEL_INFO, "main", "Running Firecracker v%s", fc.faults.version);
	handle_signals();
	fc.epoll = epoll_create1(EPOLL_CLOEXEC);
	vsock_init(&fc.vsock);
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		fc.clients[i].fd = -1;
	listen_api(&fc, args_value(arguments, "api-sock"));
	run(&fc);
	return 0;
}
