/* SPDX-License-Identifier: Apache-2.0 */
/* guest/exec: sessions over a channel whose guest is a socket: the bytes it gets, credit in both
 * directions, ends, and what no stoker-init would say. */
#include "channel_host.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "guest/exec.h"

struct heard {
	struct host host;
	struct exec *exec;
	struct strbuf output, errors;
	unsigned rooms, ends;
	struct channel_exit how;
	bool frees; /* at its end */
};

static void on_output(void *data, bool is_error, const void *bytes, size_t length)
{
	struct heard *heard = data;

	strbuf_add(is_error ? &heard->errors : &heard->output, bytes, length);
	loop_stop(heard->host.loop);
}

static void on_room(void *data)
{
	struct heard *heard = data;

	heard->rooms++;
	loop_stop(heard->host.loop);
}

static void on_ended(void *data, const struct channel_exit *how)
{
	struct heard *heard = data;

	heard->ends++;
	heard->how = *how;
	if (heard->frees)
		heard->exec = exec_free(heard->exec);
	loop_stop(heard->host.loop);
}

static const struct exec_callbacks callbacks = { on_output, on_room, on_ended };

static struct exec *start(struct heard *heard, const char *word, struct error *err)
{
	struct exec_request request = { .user = xstrdup("app"), .has_input = true };
	struct exec *exec = NULL;

	strv_add(&request.command, word);
	strv_add(&request.environment, "A=b");
	exec_start(heard->host.channel, &request, &callbacks, heard, &exec, err);
	exec_request_reset(&request);
	return exec;
}

static int setup(void **state)
{
	struct heard *heard = xcalloc(1, sizeof(*heard));

	open_host(&heard->host);
	guest_answers(&heard->host);
	heard->frees = true;
	*state = heard;
	return 0;
}

static int teardown(void **state)
{
	struct heard *heard = *state;

	close_host(&heard->host);
	exec_free(heard->exec);
	strbuf_reset(&heard->output);
	strbuf_reset(&heard->errors);
	free(heard);
	return 0;
}

static void takes(struct heard *heard, uint16_t type, uint16_t number, const void *payload,
		  size_t length)
{
	struct frame_header header;
	char bytes[FRAME_PAYLOAD_MAX];

	guest_takes(&heard->host, &header, sizeof(header));
	assert_int_equal(le16toh(header.type), type);
	assert_int_equal(le16toh(header.stream), number);
	assert_int_equal(le32toh(header.length), length);
	guest_takes(&heard->host, bytes, length);
	if (length)
		assert_memory_equal(bytes, payload, length);
}

static const uint8_t asked[] = {
	2, 0, 0, 0, 0, 0, 0, 0,		       /* EXEC_INPUT; no size */
	2, 0, 0, 0, 2, 0, 0, 0, 'l', 's',      /* CONFIG_COMMAND */
	3, 0, 0, 0, 3, 0, 0, 0, 'A', '=', 'b', /* CONFIG_ENVIRONMENT */
	4, 0, 0, 0, 3, 0, 0, 0, 'a', 'p', 'p', /* CONFIG_USER */
};

static void ends(struct heard *heard, uint16_t number, uint32_t kind, int32_t code)
{
	struct frame_exit report = { htole32(kind), (int32_t)htole32((uint32_t)code), { 0 } };

	guest_sends_frame(&heard->host, FRAME_EXEC_END, number, &report, sizeof(report));
}

static void a_session_from_its_start_to_its_end(void **state)
{
	struct heard *heard = *state;
	struct frame_credit credit = { htole32(5) };
	struct frame_size size = { htole16(24), htole16(80) };
	struct frame_signal signal = { htole32(15) };

	heard->exec = start(heard, "ls", NULL);
	takes(heard, FRAME_EXEC, 1, asked, sizeof(asked));
	exec_input(heard->exec, "input", 5);
	exec_input(heard->exec, "", 0);
	exec_resize(heard->exec, 24, 80);
	exec_signal(heard->exec, 15);
	exec_grant(heard->exec, 5);
	takes(heard, FRAME_EXEC_INPUT, 1, "input", 5);
	takes(heard, FRAME_EXEC_INPUT, 1, "", 0);
	takes(heard, FRAME_EXEC_RESIZE, 1, &size, sizeof(size));
	takes(heard, FRAME_EXEC_SIGNAL, 1, &signal, sizeof(signal));
	takes(heard, FRAME_EXEC_CREDIT, 1, &credit, sizeof(credit));
	assert_int_equal(exec_room(heard->exec), EXEC_WINDOW - 5);
	guest_sends_frame(&heard->host, FRAME_EXEC_ROOM, 1, &credit, sizeof(credit));
	run_until(&heard->host, &heard->rooms, 1);
	assert_int_equal(exec_room(heard->exec), EXEC_WINDOW);
	guest_sends_frame(&heard->host, FRAME_EXEC_STDOUT, 1, "out", 3);
	guest_sends_frame(&heard->host, FRAME_EXEC_STDERR, 1, "err", 3);
	ends(heard, 1, EXIT_CODE, 7);
	run_until(&heard->host, &heard->ends, 1);
	assert_string_equal(strbuf_text(&heard->output), "out");
	assert_string_equal(strbuf_text(&heard->errors), "err");
	assert_int_equal(heard->how.kind, CHANNEL_EXITED);
	assert_int_equal(heard->how.code, 7);
	assert_null(heard->exec);
}

/* Nobody listens any more, but its number is taken until the guest has said its end. */
static void one_that_is_left_is_ended(void **state)
{
	struct heard *heard = *state;
	struct frame_log_seen seen = { htole64(LOG_PLACE + 9) };
	struct exec *next;

	exec_free(start(heard, "ls", NULL));
	takes(heard, FRAME_EXEC, 1, asked, sizeof(asked));
	takes(heard, FRAME_EXEC_KILL, 1, "", 0);
	next = start(heard, "ls", NULL);
	takes(heard, FRAME_EXEC, 2, asked, sizeof(asked));
	guest_sends_frame(&heard->host, FRAME_EXEC_STDOUT, 1, "late", 4);
	ends(heard, 1, EXIT_SIGNAL, 9);
	guest_logs(&heard->host, STREAM_STDOUT, "x");
	run_until(&heard->host, &heard->host.logs, 1);
	assert_int_equal(heard->output.length, 0);
	assert_int_equal(heard->ends, 0);
	takes(heard, FRAME_LOG_SEEN, 0, &seen, sizeof(seen));
	heard->exec = start(heard, "ls", NULL);
	takes(heard, FRAME_EXEC, 1, asked, sizeof(asked));
	exec_free(next);
}

static void there_are_not_more_than_sixteen(void **state)
{
	struct heard *heard = *state;
	struct exec *execs[EXEC_SESSIONS_MAX];
	struct error err = { 0 };

	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		assert_non_null(execs[i] = start(heard, "ls", NULL));
	assert_null(start(heard, "ls", &err));
	assert_string_equal(err.text, "16 sessions run already (end one)");
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		exec_free(execs[i]);
	assert_null(start(heard, "ls", &err)); /* the guest has ended none */
}

static void a_command_fits_a_frame(void **state)
{
	struct heard *heard = *state;
	char *word = xcalloc(1, FRAME_PAYLOAD_MAX + 1);
	struct error err = { 0 };

	memset(word, 'w', FRAME_PAYLOAD_MAX);
	assert_null(start(heard, word, &err));
	assert_string_equal(err.text, "the command and its environment have 65574 bytes (at most "
				      "65536)");
	free(word);
}

static void all_end_with_the_channel(void **state)
{
	struct heard *heard = *state;

	heard->exec = start(heard, "ls", NULL);
	guest_closes(&heard->host);
	run_until(&heard->host, &heard->ends, 1);
	assert_int_equal(heard->how.kind, CHANNEL_INIT_ERROR);
	assert_string_equal(heard->how.message, "the VM ended, or its channel was lost");
}

/* Kept beyond its end, it may still be spoken to. */
static void an_ended_one_is_deaf(void **state)
{
	struct heard *heard = *state;
	char byte;

	heard->frees = false;
	heard->exec = start(heard, "ls", NULL);
	takes(heard, FRAME_EXEC, 1, asked, sizeof(asked));
	ends(heard, 1, EXIT_CODE, 0);
	run_until(&heard->host, &heard->ends, 1);
	assert_int_equal(exec_room(heard->exec), 0);
	exec_input(heard->exec, "x", 1);
	exec_signal(heard->exec, 9);
	exec_grant(heard->exec, 1);
	run_for(&heard->host, 20);
	assert_int_equal(recv(heard->host.guest_fd, &byte, 1, MSG_DONTWAIT), -1);
}

static void hostile_sessions_end_the_channel(void **state)
{
	static const char much[EXEC_WINDOW + 1];
	static const struct {
		uint16_t type, number;
		const void *payload;
		size_t length;
		const char *text;
	} cases[] = {
		{ FRAME_EXEC_STDOUT, 2, "x", 1, "guest speaks of session 2, which there is not" },
		{ FRAME_EXEC_END, 0, much, sizeof(struct frame_exit),
		  "guest sent an end of session 0 that makes no sense" },
		{ FRAME_EXEC_END, 1, much, 5,
		  "guest sent an end of session 1 that makes no sense" },
		{ FRAME_EXEC_STDERR, 1, much, sizeof(much),
		  "guest's session 1 says more than it may" },
		{ FRAME_EXEC_ROOM, 1, "\1\0\0\0", 4,
		  "guest's session 1 takes more input than there was" },
		{ FRAME_EXEC_ROOM, 1, "\377\377\377\377", 4,
		  "guest's session 1 takes more input than there was" },
		{ FRAME_EXEC_ROOM, 65535, "\0\0\0\0", 4,
		  "guest speaks of session 65535, which there is not" },
		{ FRAME_EXEC, 1, asked, sizeof(asked), "guest sent a frame of unknown type 7" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct heard heard = { .frees = true };

		open_host(&heard.host);
		guest_answers(&heard.host);
		heard.exec = start(&heard, "ls", NULL);
		guest_sends_frame(&heard.host, cases[i].type, cases[i].number, cases[i].payload,
				  cases[i].length);
		lost_because(&heard.host, cases[i].text);
		assert_int_equal(heard.ends, 1);
		assert_null(heard.exec);
		close_host(&heard.host);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_session_from_its_start_to_its_end),
		TEST(one_that_is_left_is_ended),
		TEST(there_are_not_more_than_sixteen),
		TEST(a_command_fits_a_frame),
		TEST(all_end_with_the_channel),
		TEST(an_ended_one_is_deaf),
		cmocka_unit_test(hostile_sessions_end_the_channel),
	};

	return cmocka_run_group_tests_name("exec", tests, NULL, NULL);
}
