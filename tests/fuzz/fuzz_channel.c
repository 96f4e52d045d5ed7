/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the channel against any guest: clang -fsanitize=fuzzer,address,undefined. The
 * guest is the other end of a socket pair. The first byte says how: its low bit whether the guest
 * answers the greeting before the rest of the bytes, the next three bits what the callee does to
 * the channel and when, three others how the bytes are cut, the last whether there are sessions.
 */
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest-init/protocol.h"
#include "guest/channel.h"
#include "guest/exec.h"
#include "loop/loop.h"

enum { ACT_NEVER, FREE_AT_HELLO, FREE_AT_LOG, FREE_AT_EXIT, ASK_AT_LOG, FREE_AT_HEALTH, ACTS };

enum {
	ROUNDS_MAX = 8192, /* what is longer is cut off */
	SESSIONS = 3,
	INPUT = 700,
	GRANTED_AT = 3000,
};

struct session {
	struct scene *scene;
	struct exec *exec;
	size_t credit; /* that was granted and not used */
	bool has_ended;
};

struct scene {
	struct loop *loop;
	struct channel *channel;
	struct watch *tick;
	int guest_fd;
	unsigned act;
	unsigned hellos, exits, losses;
	const uint8_t *bytes; /* the guest's, not sent yet */
	size_t left, cut;
	unsigned rounds;
	struct session sessions[SESSIONS];
	bool is_awaited, awaits_stats;
};

static char *check[] = { "http", ":80/", NULL };
static const struct spec checked = { .healthcheck = { check, 2 }, .health_interval_ms = 1000 };

static const struct channel_peer peer = { .key = "of the guest that is meant" };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(int fact)
{
	if (!fact)
		abort();
}

static void ask_stats(struct scene *scene)
{
	channel_ask_stats(scene->channel);
	scene->awaits_stats = true;
}

static void act(struct scene *scene, unsigned now)
{
	require(scene->channel && !scene->losses);
	if (scene->act != now)
		return;
	if (now == ASK_AT_LOG) {
		channel_stop(scene->channel, 15, 1000);
		channel_hosts(scene->channel, "10.20.0.10 web\n");
		channel_tell_time_lost(scene->channel);
		ask_stats(scene);
	} else {
		scene->channel = channel_free(scene->channel);
	}
}

static void on_hello(void *data, const struct channel_hello *hello)
{
	struct scene *scene = data;

	require(hello->protocol == CHANNEL_VERSION && !scene->hellos++);
	if (scene->act != FREE_AT_EXIT) /* then nobody asks for its health */
		channel_check(scene->channel, &checked);
	if (scene->act != ASK_AT_LOG) /* then they are asked for later */
		ask_stats(scene);
	act(scene, FREE_AT_HELLO);
}

static void on_log(void *data, enum channel_stream stream, const void *bytes, size_t length)
{
	struct scene *scene = data;
	static volatile uint8_t sink;

	require(scene->hellos && stream <= CHANNEL_INIT && length && length <= FRAME_PAYLOAD_MAX);
	sink = ((const uint8_t *)bytes)[0] ^ ((const uint8_t *)bytes)[length - 1];
	(void)sink;
	act(scene, scene->act == ASK_AT_LOG ? ASK_AT_LOG : FREE_AT_LOG);
}

static void on_exited(void *data, const struct channel_exit *report)
{
	struct scene *scene = data;
	size_t length = strnlen(report->message, sizeof(report->message));

	require(scene->hellos && !scene->exits++);
	require(report->kind <= CHANNEL_DAEMONISED && report->code >= 0 && report->code <= 255);
	require(length < sizeof(report->message));
	for (size_t i = 0; i < length; i++)
		require(report->message[i] >= 0x20 && report->message[i] < 0x7f);
	act(scene, FREE_AT_EXIT);
}

static void on_health(void *data, const struct channel_health *health)
{
	struct scene *scene = data;

	require(scene->hellos);
	require(strnlen(health->message, sizeof(health->message)) < sizeof(health->message));
	for (const char *at = health->message; *at; at++)
		require(*at >= 0x20 && *at < 0x7f);
	act(scene, FREE_AT_HEALTH);
}

static void on_stats(void *data, const struct guest_stats *stats)
{
	struct scene *scene = data;

	require(scene->awaits_stats && stats->heard_ms && stats->memory_total <= STATS_MAX &&
		stats->disk_used <= STATS_MAX && stats->load[2] <= STATS_MAX);
	require(stats->pressure_io <= STATS_MAX || stats->pressure_io == STATS_MISSING);
	scene->awaits_stats = false;
}

static void on_lost(void *data, const struct error *why)
{
	struct scene *scene = data;

	require(scene->channel && !scene->losses++ && why->text[0]);
	scene->channel = channel_free(scene->channel);
}

/* --- sessions: three that never rest ---------------------------------------------------------- */

static void on_output(void *data, bool is_error, const void *bytes, size_t length)
{
	struct session *session = data;
	static volatile uint8_t sink;

	require(session->exec && !session->has_ended && length && length <= session->credit);
	sink = ((const uint8_t *)bytes)[0] ^ ((const uint8_t *)bytes)[length - 1] ^ is_error;
	(void)sink;
	session->credit -= length;
}

static void on_room(void *data)
{
	struct session *session = data;

	require(session->exec && !session->has_ended);
	require(exec_room(session->exec) <= EXEC_FIRST_CREDIT);
}

static void on_ended(void *data, const struct channel_exit *how)
{
	struct session *session = data;

	require(session->exec && !session->has_ended);
	require(memchr(how->message, '\0', sizeof(how->message)) != NULL);
	session->has_ended = true;
}

static void start_session(struct session *session)
{
	static const struct exec_callbacks callbacks = { on_output, on_room, on_ended };
	static char *command[] = { "sh", "-c", "true", NULL };
	const struct exec_request request = { .command = { .items = command, .count = 3 } };

	*session = (struct session){ .scene = session->scene, .credit = EXEC_FIRST_CREDIT };
	/* Those that were left and of which no end was said count. */
	if (exec_start(session->scene->channel, &request, &callbacks, session, &session->exec,
		       NULL) < 0)
		session->exec = NULL;
}

static void use_session(struct session *session, unsigned round)
{
	static const char input[INPUT];

	if (!session->exec) {
		start_session(session);
	} else if (session->has_ended || round % 64 == 63) {
		session->exec = exec_free(session->exec);
	} else if (session->credit < GRANTED_AT) {
		session->credit += GRANTED_AT;
		exec_grant(session->exec, GRANTED_AT);
	} else {
		exec_input(session->exec, input, round % INPUT);
		exec_resize(session->exec, 24, 80);
		exec_signal(session->exec, 15);
	}
}

/* --- the guest -------------------------------------------------------------------------------- */

/* Sends the next piece, or the end. */
static void on_tick(struct watch *watch, unsigned events, void *data)
{
	struct scene *scene = data;
	size_t piece = scene->left < scene->cut ? scene->left : scene->cut;
	char heard[4096];

	(void)events;
	if (!scene->channel || ++scene->rounds > ROUNDS_MAX) {
		loop_stop(scene->loop);
		return;
	}
	for (size_t i = 0; i < SESSIONS && scene->hellos; i++)
		if (scene->sessions[i].scene)
			use_session(&scene->sessions[i], scene->rounds + (unsigned)i);
	if (scene->is_awaited && !scene->hellos) { /* then its frames would be of no session */
		watch_rearm(watch, 0);
		return;
	}
	if (piece) {
		ssize_t n = send(scene->guest_fd, scene->bytes, piece, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			scene->bytes += n;
			scene->left -= (size_t)n;
		}
	} else {
		shutdown(scene->guest_fd, SHUT_WR);
	}
	while (recv(scene->guest_fd, heard, sizeof(heard), MSG_DONTWAIT) > 0)
		;
	watch_rearm(watch, 0);
}

static void answer(struct scene *scene)
{
	struct {
		struct frame_header header;
		struct frame_greet greet;
	} __attribute__((packed)) greeting;
	struct {
		struct frame_header header;
		struct frame_hello hello;
	} __attribute__((packed)) reply = {
		.header = { htole32(sizeof(struct frame_hello)), htole16(FRAME_HELLO), 0 },
		.hello = { .version = htole32(CHANNEL_VERSION), .running = htole32(1) },
	};

	memcpy(reply.hello.key, peer.key, sizeof(reply.hello.key));
	require(recv(scene->guest_fd, &greeting, sizeof(greeting), 0) == sizeof(greeting));
	memcpy(reply.hello.magic, greeting.greet.magic, sizeof(reply.hello.magic));
	memcpy(reply.hello.nonce, greeting.greet.nonce, sizeof(reply.hello.nonce));
	require(send(scene->guest_fd, &reply, sizeof(reply), 0) == sizeof(reply));
}

/* The first turn of the loop writes the greeting. */
static void on_greeted(struct watch *watch, unsigned events, void *data)
{
	struct scene *scene = data;

	(void)watch;
	(void)events;
	loop_stop(scene->loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const struct channel_callbacks callbacks = { on_hello, on_log,	 on_exited,
							    on_lost,  on_health, on_stats };
	static const size_t cuts[] = { 1, 7, 8, 48, 209, 4096, 65536, SIZE_MAX };
	struct scene scene = { 0 };
	int ends[2];

	if (!length)
		return 0;
	scene.loop = loop_new(NULL);
	require(scene.loop && !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	scene.guest_fd = ends[1];
	scene.act = (bytes[0] >> 1 & 7) % ACTS;
	scene.cut = cuts[bytes[0] >> 4 & 7];
	scene.bytes = bytes + 1;
	scene.left = length - 1;
	for (size_t i = 0; i < SESSIONS && bytes[0] & 0x80; i++)
		scene.sessions[i].scene = &scene;
	scene.is_awaited = (bytes[0] & 0x81) == 0x81;
	scene.channel = channel_new(scene.loop, ends[0], &peer, &callbacks, &scene);
	if (bytes[0] & 1) {
		struct watch *heard = loop_io(scene.loop, ends[1], LOOP_READ, on_greeted, &scene);

		loop_run(scene.loop);
		watch_free(heard);
		answer(&scene);
	}
	scene.tick = loop_timer(scene.loop, 0, on_tick, &scene);
	loop_run(scene.loop);
	require(scene.hellos == (bytes[0] & 1u) && (!scene.channel || scene.rounds > ROUNDS_MAX));
	watch_free(scene.tick);
	channel_free(scene.channel);
	for (size_t i = 0; i < SESSIONS; i++) {
		require(!scene.sessions[i].exec || scene.sessions[i].has_ended);
		exec_free(scene.sessions[i].exec);
	}
	close(ends[1]);
	loop_free(scene.loop);
	return 0;
}
