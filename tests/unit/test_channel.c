/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of the channel against a guest that is a socket: greeting, reports, and how they
 * fare when the guest's end closes. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest-init/protocol.h"
#include "guest/channel.h"
#include "loop/loop.h"

struct host {
	struct loop *loop;
	struct channel *channel;
	int guest_fd;
	unsigned hellos, exits, losses;
	struct channel_exit report;
};

static void on_hello(void *data, const struct channel_hello *hello)
{
	struct host *host = data;

	(void)hello;
	host->hellos++;
}

static void on_log(void *data, enum channel_stream stream, const void *bytes, size_t length)
{
	(void)data;
	(void)stream;
	(void)bytes;
	(void)length;
}

static void on_exited(void *data, const struct channel_exit *report)
{
	struct host *host = data;

	host->exits++;
	host->report = *report;
}

static void on_lost(void *data, const struct error *why)
{
	struct host *host = data;

	(void)why;
	host->losses++;
	host->channel = channel_free(host->channel);
	loop_stop(host->loop);
}

static const struct channel_callbacks callbacks = { on_hello, on_log, on_exited, on_lost };

static void on_deadline(struct watch *watch, unsigned events, void *data)
{
	(void)watch;
	(void)events;
	loop_stop(((struct host *)data)->loop);
}

static void run_for(struct host *host, uint64_t time_ms)
{
	struct watch *deadline = loop_timer(host->loop, time_ms, on_deadline, host);

	loop_run(host->loop);
	watch_free(deadline);
}

static void open_host(struct host *host)
{
	int ends[2];

	*host = (struct host){ .loop = loop_new(NULL) };
	assert_non_null(host->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	host->guest_fd = ends[1];
	host->channel = channel_new(host->loop, ends[0], &callbacks, host);
}

static void close_host(struct host *host)
{
	channel_free(host->channel);
	if (host->guest_fd >= 0)
		close(host->guest_fd);
	loop_free(host->loop);
}

static void guest_sends(struct host *host, enum frame_type type, const void *payload, size_t length)
{
	struct frame_header header = { .length = htole32((uint32_t)length), .type = htole16(type) };

	assert_int_equal(write(host->guest_fd, &header, sizeof(header)), sizeof(header));
	assert_int_equal(write(host->guest_fd, payload, length), length);
}

/* Takes the greeting and answers it as stoker-init does. */
static void guest_answers(struct host *host)
{
	struct {
		struct frame_header header;
		struct frame_greet greet;
	} __attribute__((packed)) greeting;
	struct frame_hello hello = { .version = htole32(CHANNEL_VERSION), .running = htole32(1) };

	run_for(host, 20);
	assert_int_equal(recv(host->guest_fd, &greeting, sizeof(greeting), MSG_WAITALL),
			 sizeof(greeting));
	assert_int_equal(le16toh(greeting.header.type), FRAME_GREET);
	memcpy(hello.magic, CHANNEL_MAGIC, sizeof(hello.magic));
	memcpy(hello.nonce, greeting.greet.nonce, sizeof(hello.nonce));
	guest_sends(host, FRAME_HELLO, &hello, sizeof(hello));
}

static void a_report_is_acknowledged(void **state)
{
	struct frame_exit report = { .kind = htole32(EXIT_CODE), .code = (int32_t)htole32(7) };
	struct frame_header seen;
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	guest_sends(&host, FRAME_EXIT, &report, sizeof(report));
	run_for(&host, 20);
	assert_int_equal(host.hellos, 1);
	assert_int_equal(host.exits, 1);
	assert_int_equal(host.report.kind, CHANNEL_EXITED);
	assert_int_equal(host.report.code, 7);
	assert_int_equal(host.losses, 0);
	assert_int_equal(recv(host.guest_fd, &seen, sizeof(seen), MSG_DONTWAIT), sizeof(seen));
	assert_int_equal(le16toh(seen.type), FRAME_EXIT_SEEN);
	close_host(&host);
}

/* The daemon was busy while the guest reported and its VMM ended: nobody is there any more to take
 * the acknowledgement, but the report counts. */
static void a_report_outlives_the_guests_end(void **state)
{
	struct frame_exit report = { .kind = htole32(EXIT_CODE), .code = 0 };
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	guest_sends(&host, FRAME_EXIT, &report, sizeof(report));
	channel_hosts(host.channel, "10.20.0.10 web\n");
	close(host.guest_fd);
	host.guest_fd = -1;
	run_for(&host, 2000);
	assert_int_equal(host.exits, 1);
	assert_int_equal(host.report.kind, CHANNEL_EXITED);
	assert_int_equal(host.losses, 1);
	assert_null(host.channel);
	close_host(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_is_acknowledged),
		cmocka_unit_test(a_report_outlives_the_guests_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
