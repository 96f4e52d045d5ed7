/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's end of the channel, its sessions, health check and clock, against any host: clang
 * -fsanitize=fuzzer,address,undefined. The host is the other end of a socket pair; the first byte
 * says how its bytes are cut. The programs of the sessions are of this file: their names say what
 * they do. What the guest says is read as the host reads it, and held against what it was given.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "guest-init/channel.h"
#include "guest-init/clock.h"
#include "guest-init/exec.h"
#include "guest-init/exec_process.h"
#include "guest-init/health.h"
#include "guest-init/probe.h"
#include "guest-init/service.h"

enum {
	NUMBERS = 32, /* of sessions; the host's are taken modulo this */
	LAST_ROUNDS = 200,
	PIPE_SIZE = 8 << 10,
	HEARD_MAX = 1 << 20,
	TOKEN_HEALTH = 1, /* 0 is the channel's; those of the sessions follow */
	TOKEN,
	FIRST_PID = 1000,
	CHECK_PID = 2000,
	TURN_MS = 700, /* of the check's clock */
};

/* What one number was given and has used, over all the sessions that had it. */
struct account {
	uint64_t credit, said, input, taken;
	unsigned starts, ends;
};

/* The other side of a session's pipes. */
struct program {
	char deed; /* 'e'choes, 't'alks without end, 's'leeps, 'q'uits; else it cannot be started */
	bool runs;
	int status;
	int fds[EXEC_ENDS];
};

static struct scene {
	struct channel channel;
	struct execs execs;
	struct config config;
	struct account accounts[NUMBERS];
	struct program programs[EXEC_SESSIONS_MAX];
	struct health health;
	bool checks, is_told; /* a check runs; the host has not seen the last result */
	unsigned kills;
	struct clock clock;
	unsigned stats_due;
	uint64_t now_ms;
	int epoll, host_fd;
	uint8_t heard[HEARD_MAX];
	size_t heard_length;
} scene;

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(int fact)
{
	if (!fact)
		abort();
}

/* --- programs: instead of guest-init/exec_process.c ------------------------------------------- */

static struct program *program_of(const struct exec_session *session)
{
	return &scene.programs[session - scene.execs.sessions];
}

static void open_pair(struct exec_session *session, struct program *program, enum exec_end end)
{
	int pair[2], size = PIPE_SIZE;

	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	for (int i = 0; i < 2; i++)
		require(!setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	session->fds[end] = pair[0];
	program->fds[end] = pair[1];
}

static void close_program(struct program *program)
{
	for (int end = 0; end < EXEC_ENDS; end++)
		if (program->fds[end] >= 0)
			close(program->fds[end]);
	*program = (struct program){ .fds = { -1, -1, -1 } };
}

int exec_process_start(struct execs *execs, struct exec_session *session,
		       const struct frame_exec *how, struct config *asked, struct failure *why)
{
	struct program *program = program_of(session);

	require(execs == &scene.execs && asked->command.count &&
		!asked->command.items[asked->command.count]);
	for (size_t i = 0; i < asked->environment.count; i++)
		require(strchr(asked->environment.items[i], '=') != NULL);
	if (!strchr("etsq", asked->command.items[0][0]))
		return failure_set(why, "cannot run '%s'", asked->command.items[0]);
	close_program(program);
	program->deed = asked->command.items[0][0];
	program->runs = true;
	if (le32toh(how->flags) & (EXEC_INPUT | EXEC_TTY))
		open_pair(session, program, EXEC_END_INPUT);
	open_pair(session, program, EXEC_END_OUTPUT);
	if (!(le32toh(how->flags) & EXEC_TTY))
		open_pair(session, program, EXEC_END_ERRORS);
	session->pid = (pid_t)(FIRST_PID + (program - scene.programs));
	return 0;
}

static void end_program(struct program *program, int status)
{
	program->status = status;
	program->deed = 'q';
}

void exec_process_signal(const struct exec_session *session, int number)
{
	require(number > 0 && number <= 64);
	if (session->pid && program_of(session)->runs)
		end_program(program_of(session), number);
}

void exec_process_kill(const struct exec_session *session)
{
	close_program(program_of(session));
}

void exec_process_forget(const struct exec_session *session)
{
	close_program(program_of(session));
}

static void run_program(struct program *program, size_t place)
{
	static const char words[3000];
	char bytes[5000];
	ssize_t n = 0;

	if (!program->runs)
		return;
	if (program->deed == 'q') {
		program->runs = false;
		for (int end = 0; end < EXEC_ENDS; end++)
			if (program->fds[end] >= 0)
				close(program->fds[end]);
		memset(program->fds, -1, sizeof(program->fds));
		require(exec_on_reaped(&scene.execs, (pid_t)(FIRST_PID + place), program->status));
		return;
	}
	if (program->deed == 'e' && program->fds[EXEC_END_INPUT] >= 0) {
		n = recv(program->fds[EXEC_END_INPUT], bytes, sizeof(bytes), 0);
		if (n == 0)
			end_program(program, 7 << 8);
	}
	if (n > 0)
		send(program->fds[EXEC_END_OUTPUT], bytes, (size_t)n, MSG_NOSIGNAL);
	if (program->deed == 't')
		for (int end = EXEC_END_OUTPUT; end < EXEC_ENDS; end++)
			if (program->fds[end] >= 0)
				send(program->fds[end], words, sizeof(words), MSG_NOSIGNAL);
}

/* --- checks: instead of guest-init/service.c ---------------------------------------------------
 */

int service_find_user(int root, const char *name, struct user *ret, struct failure *why)
{
	(void)name;
	(void)why;
	require(root == 0);
	*ret = (struct user){ .uid = getuid(), .gid = getgid() };
	return 0;
}

int service_make_cgroup(const char *cgroup, struct failure *why)
{
	(void)why;
	require(cgroup != NULL);
	return 0;
}

const char *service_working_dir(const struct config *config)
{
	require(config == &scene.config);
	return "/";
}

/* Every third cannot be started, and what it says is more than is kept. */
int service_spawn(const struct launch *launch, int (*act)(void *data), void *data, pid_t *ret_pid,
		  struct failure *why)
{
	static const char words[500];
	const struct probe *probe = data;

	require(!scene.checks && act == probe_run);
	require(launch->argv ? launch->argv[0] != NULL : probe->port > 0);
	if (scene.now_ms / TURN_MS % 3 == 0)
		return failure_set(why, "it cannot");
	require(write(launch->errors, words, sizeof(words)) == sizeof(words));
	scene.checks = true;
	*ret_pid = CHECK_PID;
	return 0;
}

void service_kill_cgroup(const char *cgroup, pid_t pid)
{
	require(cgroup != NULL && (pid == 0 || pid == CHECK_PID));
	scene.kills++;
}

/* It ends by itself or hangs until it is killed, and then a turn later. */
static void run_check(void)
{
	unsigned kills = scene.kills;

	scene.now_ms += TURN_MS;
	if (!scene.checks || (!kills && scene.now_ms / TURN_MS % 5))
		return;
	scene.checks = false;
	scene.kills = 0;
	require(health_on_reaped(&scene.health, CHECK_PID, kills ? 9 : (int)(scene.now_ms & 256),
				 scene.now_ms));
}

static bool on_health(void *data, unsigned type, const void *payload, size_t length)
{
	(void)data;
	if (!health_on_frame(&scene.health, type, payload, length, scene.now_ms))
		return false;
	scene.is_told = scene.is_told && type != FRAME_HEALTH_SEEN;
	return true;
}

/* --- the clock and stats: nothing of this machine is touched ---------------------------------- */

int clock_settime(clockid_t id, const struct timespec *to)
{
	require(id == CLOCK_REALTIME && to->tv_nsec >= 0 && to->tv_nsec < 1000000000);
	require(to->tv_sec > 1500000000 && to->tv_sec < INT64_C(8000000000));
	return 0;
}

int adjtime(const struct timeval *delta, struct timeval *old)
{
	require(!old && !delta->tv_sec && labs(delta->tv_usec) < 500000);
	return 0;
}

static bool on_clock(void *data, const void *payload, size_t length)
{
	(void)data;
	return clock_on_frame(&scene.clock, payload, length, scene.now_ms);
}

static void on_stats_asked(void *data)
{
	(void)data;
	scene.stats_due = 1;
}

static void tell_stats(void)
{
	const struct frame_stats stats = { 0 };

	if (!scene.stats_due || channel_session_room(&scene.channel) < sizeof(stats))
		return;
	scene.stats_due = 0;
	channel_session_send(&scene.channel, FRAME_STATS, 0, &stats, sizeof(stats));
}

/* --- the books: what the host may expect ------------------------------------------------------ */

static unsigned sessions_open(void)
{
	unsigned open = 0;

	for (size_t i = 0; i < NUMBERS; i++)
		open += scene.accounts[i].starts - scene.accounts[i].ends;
	return open;
}

/* A host has never more than EXEC_SESSIONS_MAX sessions, and never two of one number; the rest is
 * as it comes. */
static bool on_session(void *data, unsigned type, uint16_t number, const void *payload,
		       size_t length)
{
	struct account *account = &scene.accounts[number % NUMBERS];
	struct frame_credit credit;

	(void)data;
	if (type == FRAME_EXEC &&
	    (sessions_open() >= EXEC_SESSIONS_MAX || account->starts != account->ends))
		return true;
	if (!exec_on_frame(&scene.execs, type, number % NUMBERS, payload, length))
		return false;
	if (type == FRAME_EXEC) {
		account->starts++;
		account->credit += EXEC_WINDOW;
	} else if (type == FRAME_EXEC_CREDIT) {
		memcpy(&credit, payload, sizeof(credit));
		account->credit += le32toh(credit.bytes);
	} else if (type == FRAME_EXEC_INPUT) {
		account->input += length;
	}
	return true;
}

static void on_gone(void *data)
{
	(void)data;
	exec_on_gone(&scene.execs);
	health_on_gone(&scene.health);
	clock_on_gone(&scene.clock);
	scene.stats_due = 0;
	scene.is_told = false;
	memset(scene.accounts, 0, sizeof(scene.accounts));
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		require(!scene.execs.sessions[i].is_used || scene.execs.sessions[i].is_detached);
}

static void on_stop(void *data, int signal, uint64_t grace_ms)
{
	(void)data;
	(void)grace_ms;
	require(signal >= 0 && signal < 128);
}

static void on_hosts(void *data, const char *lines)
{
	(void)data;
	require(strlen(lines) <= FRAME_PAYLOAD_MAX);
}

static void on_exit_seen(void *data)
{
	(void)data;
}

/* --- what the guest says ---------------------------------------------------------------------- */

static void check_session_frame(const struct frame_header *header, const uint8_t *payload)
{
	size_t length = le32toh(header->length);
	unsigned type = le16toh(header->type), number = le16toh(header->stream);
	struct account *account;
	struct frame_credit room;
	struct frame_exit end;

	require(number < NUMBERS);
	account = &scene.accounts[number];
	require(account->ends < account->starts);
	if (type == FRAME_EXEC_ROOM) {
		require(length == sizeof(room));
		memcpy(&room, payload, sizeof(room));
		account->taken += le32toh(room.bytes);
		require(account->taken <= account->input);
	} else if (type == FRAME_EXEC_END) {
		require(length == sizeof(end));
		memcpy(&end, payload, sizeof(end));
		require(le32toh(end.kind) <= EXIT_INIT_ERROR && le32toh(end.kind) != EXIT_OOM);
		account->ends++;
	} else {
		require(length > 0);
		account->said += length;
		require(account->said <= account->credit);
	}
}

/* One at a time. */
static void check_result(const uint8_t *payload, size_t length)
{
	struct frame_health_result result;

	require(length == sizeof(result) && !scene.is_told);
	memcpy(&result, payload, sizeof(result));
	require(le32toh(result.serial) == scene.health.check.serial);
	require(le32toh(result.successes) <= 1);
	require(memchr(result.message, '\0', sizeof(result.message)) != NULL);
	scene.is_told = true;
}

static void check_frame(const struct frame_header *header, const uint8_t *payload)
{
	size_t length = le32toh(header->length);
	unsigned type = le16toh(header->type);

	if (type >= FRAME_EXEC_STDOUT && type <= FRAME_EXEC_END)
		check_session_frame(header, payload);
	else if (type == FRAME_HEALTH_RESULT)
		check_result(payload, length);
	else if (type == FRAME_CLOCK_ASK)
		require(length == sizeof(struct frame_clock));
	else if (type == FRAME_STATS)
		require(length == sizeof(struct frame_stats));
	else if (type == FRAME_LOG)
		require(length > 0 && le16toh(header->stream) < STREAM_COUNT);
	else if (type == FRAME_HELLO)
		require(length == sizeof(struct frame_hello));
	else
		require(type == FRAME_PONG && length == 0);
}

static void check_frames(void)
{
	struct frame_header header;
	size_t at = 0;

	while (scene.heard_length - at >= sizeof(header)) {
		memcpy(&header, scene.heard + at, sizeof(header));
		require(le32toh(header.length) <= FRAME_PAYLOAD_MAX);
		if (scene.heard_length - at - sizeof(header) < le32toh(header.length))
			break;
		check_frame(&header, scene.heard + at + sizeof(header));
		at += sizeof(header) + le32toh(header.length);
	}
	scene.heard_length -= at;
	memmove(scene.heard, scene.heard + at, scene.heard_length);
}

/* All of it, so that nothing is half said when the host greets anew. */
static void hear_all(void)
{
	ssize_t n;

	do {
		channel_tend(&scene.channel, 0);
		n = recv(scene.host_fd, scene.heard + scene.heard_length,
			 sizeof(scene.heard) - scene.heard_length, MSG_DONTWAIT);
		if (n > 0)
			scene.heard_length += (size_t)n;
		check_frames();
	} while (n > 0);
	require(scene.heard_length == 0);
}

/* --- the guest's loop ------------------------------------------------------------------------- */

static void turn(void)
{
	struct epoll_event events[TOKEN + EXEC_TOKENS];
	int count;

	channel_on_event(&scene.channel, EPOLLIN);
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		run_program(&scene.programs[i], i);
	count = epoll_wait(scene.epoll, events, TOKEN + EXEC_TOKENS, 0);
	for (int i = 0; i < count; i++)
		if (events[i].data.u64 >= TOKEN)
			exec_on_event(&scene.execs, events[i].data.u64);
		else if (events[i].data.u64 == TOKEN_HEALTH)
			health_on_event(&scene.health);
	run_check();
	exec_tend(&scene.execs);
	health_tend(&scene.health, scene.now_ms);
	clock_tend(&scene.clock, scene.now_ms);
	require(clock_wake_ms(&scene.clock) > scene.now_ms);
	tell_stats();
	hear_all();
}

static void set_scene(void)
{
	static const struct channel_verbs verbs = { .stop = on_stop,
						    .hosts = on_hosts,
						    .exit_seen = on_exit_seen,
						    .session = on_session,
						    .health = on_health,
						    .clock = on_clock,
						    .stats = on_stats_asked,
						    .gone = on_gone };
	int ends[2];

	memset(&scene.channel, 0, sizeof(scene.channel));
	memset(scene.accounts, 0, sizeof(scene.accounts));
	memset(scene.programs, 0, sizeof(scene.programs));
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		memset(scene.programs[i].fds, -1, sizeof(scene.programs[i].fds));
	scene.heard_length = 0;
	scene.epoll = epoll_create1(EPOLL_CLOEXEC);
	require(scene.epoll >= 0);
	require(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
	channel_init(&scene.channel, scene.epoll, 0, &verbs);
	scene.channel.fd = ends[0];
	scene.channel.backend = BACKEND_PORT; /* never connected anew */
	scene.host_fd = ends[1];
	exec_init(&scene.execs, &scene.channel, &scene.config, scene.epoll, TOKEN);
	scene.execs.root = 0;
	scene.checks = scene.is_told = false;
	scene.kills = 0;
	scene.now_ms = 0;
	health_init(&scene.health, &scene.channel, &scene.config, scene.epoll, TOKEN_HEALTH);
	health_begin(&scene.health, 0, 0);
	clock_init(&scene.clock, &scene.channel);
	scene.stats_due = 0;
}

static void greet(void)
{
	struct {
		struct frame_header header;
		struct frame_greet greet;
	} __attribute__((packed)) greeting = {
		.header = { htole32(sizeof(struct frame_greet)), htole16(FRAME_GREET), 0 },
		.greet = { .version = htole32(CHANNEL_VERSION) },
	};

	memcpy(greeting.greet.magic, CHANNEL_MAGIC, sizeof(greeting.greet.magic));
	memcpy(greeting.greet.nonce, "fuzzfuzz", sizeof(greeting.greet.nonce));
	require(send(scene.host_fd, &greeting, sizeof(greeting), 0) == sizeof(greeting));
	turn();
	require(scene.channel.greeted);
}

/* Every session that has begun can be ended, and its end is told. */
static void end_all(void)
{
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		if (scene.programs[i].runs)
			end_program(&scene.programs[i], 0);
	for (int i = 0; i < LAST_ROUNDS && sessions_open(); i++) {
		for (size_t number = 0; number < NUMBERS; number++)
			scene.accounts[number].credit += EXEC_WINDOW;
		for (size_t k = 0; k < EXEC_SESSIONS_MAX; k++)
			scene.execs.sessions[k].credit = EXEC_WINDOW;
		turn();
	}
	require(sessions_open() == 0);
	on_gone(NULL);
}

static void end_check(void)
{
	struct config words = { .command = scene.health.words };

	health_end(&scene.health);
	require(health_wake_ms(&scene.health) == UINT64_MAX);
	require(scene.health.fd < 0);
	config_reset(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const size_t cuts[] = { 1, 7, 8, 48, 209, 4096, 16384, 65536 };
	size_t cut;

	if (!length)
		return 0;
	signal(SIGPIPE, SIG_IGN); /* which PID 1 does not get */
	cut = cuts[bytes[0] & 7];
	set_scene();
	greet();
	for (size_t at = 1; at < length; at += cut) {
		size_t piece = length - at < cut ? length - at : cut;

		require(send(scene.host_fd, bytes + at, piece, 0) == (ssize_t)piece);
		turn();
	}
	if (scene.channel.greeted)
		end_all();
	end_check();
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		if (scene.execs.sessions[i]
			    .is_used) { /* detached, and what it says has no reader */
			for (int end = 0; end < EXEC_ENDS; end++)
				if (scene.execs.sessions[i].fds[end] >= 0)
					close(scene.execs.sessions[i].fds[end]);
			free(scene.execs.sessions[i].input);
		}
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		close_program(&scene.programs[i]);
	close(scene.channel.fd);
	close(scene.host_fd);
	close(scene.epoll);
	return 0;
}
