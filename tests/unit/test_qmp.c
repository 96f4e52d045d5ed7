/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/qmp.c: what QEMU says, in any cut, and what it is asked; and qemu_classify(), which judges.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "loop/loop.h"
#include "tests/unit/run_loop.h"
#include "vmm/qemu.h"
#include "vmm/qmp.h"

#define GREETING                                                                           \
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, " \
	"\"package\": \"Debian\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define READY "{\"return\": {}}\r\n"
#define PANIC                                                                                    \
	"{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"GUEST_PANICKED\", " \
	"\"data\": {\"action\": \"shutdown\", \"info\": {}}}\r\n"
#define SHUTDOWN(reason)                                                                   \
	"{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"SHUTDOWN\", " \
	"\"data\": {\"guest\": true, \"reason\": \"" reason "\"}}\r\n"

static void reader_cleanup(struct qmp_reader *reader)
{
	qmp_reader_reset(reader);
}

static int feed(struct qmp_reader *reader, const char *text, const char **ret_reply,
		struct error *err)
{
	return qmp_reader_feed(reader, text, strlen(text), ret_reply, err);
}

static void test_conversation(void **state)
{
	CLEANUP(reader_cleanup) struct qmp_reader reader = { 0 };
	const char *reply = NULL;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(feed(&reader, GREETING, &reply, &err), 0);
	assert_true(reader.record.greeted);
	assert_false(reader.record.ready);
	assert_string_equal(reply, "{\"execute\":\"qmp_capabilities\"}");
	reply = NULL;
	assert_int_equal(feed(&reader, READY PANIC SHUTDOWN("guest-panic"), &reply, &err), 0);
	assert_null(reply);
	assert_true(reader.record.ready);
	assert_true(reader.record.panicked);
	assert_true(reader.record.shutdown);
	assert_string_equal(reader.record.reason, "guest-panic");
}

static void test_any_cut(void **state)
{
	static const char text[] = GREETING READY "\r\n" SHUTDOWN("guest-shutdown");

	(void)state;
	for (size_t cut = 1; cut < sizeof(text); cut++) {
		CLEANUP(reader_cleanup) struct qmp_reader reader = { 0 };
		const char *reply = NULL;

		for (size_t at = 0; at < sizeof(text) - 1; at += cut) {
			size_t left = sizeof(text) - 1 - at;

			assert_int_equal(qmp_reader_feed(&reader, text + at,
							 left < cut ? left : cut, &reply, NULL),
					 0);
		}
		assert_non_null(reply);
		assert_true(reader.record.ready && reader.record.shutdown);
		assert_string_equal(reader.record.reason, "guest-shutdown");
	}
}

static void refuse(const char *text, const char *message)
{
	CLEANUP(reader_cleanup) struct qmp_reader reader = { 0 };
	const char *reply = NULL;
	struct error err = { 0 };

	assert_int_equal(feed(&reader, text, &reply, &err), -1);
	if (!strstr(err.text, message))
		fail_msg("'%s' lacks '%s'", err.text, message);
}

static void test_refuses(void **state)
{
	_cleanup_free_ char *flood = xcalloc(1, QMP_LINE_MAX + 2);

	(void)state;
	refuse(SHUTDOWN("x"), "QMP: a message before the greeting");
	refuse(GREETING GREETING, "QMP: a second greeting");
	refuse(GREETING "{\"error\": {\"class\": \"x\"}}\n", "QMP: qmp_capabilities was refused");
	refuse(GREETING READY READY, "QMP: an answer to nothing that was asked");
	refuse(GREETING READY "{\"return\": {}, \"id\": 1}\n",
	       "QMP: an answer to nothing that was asked");
	refuse(GREETING READY "{\"error\": {\"desc\": \"x\"}}\n",
	       "QMP: an answer to nothing that was asked");
	refuse("[]\n", "QMP: a message that is no object");
	refuse("{\n", "QMP");
	memset(flood, ' ', QMP_LINE_MAX + 1);
	refuse(flood, "QMP: a line of more than 65536 bytes");
}

static void test_words_are_bounded(void **state)
{
	CLEANUP(reader_cleanup) struct qmp_reader reader = { 0 };
	const char *reply = NULL;

	(void)state;
	assert_int_equal(feed(&reader, GREETING, &reply, NULL), 0);
	assert_int_equal(feed(&reader,
			      SHUTDOWN("a\\u001b[2J 0123456789012345678901234567890123456789"),
			      &reply, NULL),
			 0);
	assert_string_equal(reader.record.reason, "a?[2J?0123456789012345678901234");
	/* Events that say too little are events all the same. */
	assert_int_equal(feed(&reader, "{\"event\": \"SHUTDOWN\"}\n", &reply, NULL), 0);
	assert_string_equal(reader.record.reason, "");
	assert_int_equal(feed(&reader, "{\"event\": 7, \"data\": []}\n", &reply, NULL), 0);
}

/* A peer that writes its last words and is gone, all before the loop runs. */
static void test_drain(void **state)
{
	static const char words[] = GREETING READY SHUTDOWN("guest-reset");
	struct loop *loop = loop_new(NULL);
	const struct qmp_record *record;
	struct qmp *qmp;
	int ends[2];

	(void)state;
	assert_non_null(loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	qmp = qmp_new(loop, ends[0], NULL, NULL);
	assert_int_equal(write(ends[1], words, sizeof(words) - 1), sizeof(words) - 1);
	close(ends[1]);
	record = qmp_drain(qmp);
	assert_true(record->shutdown);
	assert_string_equal(record->reason, "guest-reset");
	assert_ptr_equal(qmp_drain(qmp), record);
	assert_null(qmp_free(qmp));
	loop_free(loop);
}

/* --- asking ---------------------------------------------------------------------------------- */

struct talk {
	struct loop *loop;
	struct qmp *qmp;
	int peer; /* QEMU's end */
	int refusals;
	enum vmm_wish wish; /* of the last one, as is the next */
	struct error why;
};

static void on_refused(void *data, enum vmm_wish wish, const struct error *why)
{
	struct talk *talk = data;

	talk->refusals++;
	talk->wish = wish;
	talk->why = *why;
}

/* Lets the loop see what lies in the socket. */
static void turn(struct talk *talk)
{
	run_loop_for(talk->loop, 5);
}

static void say(struct talk *talk, const char *text)
{
	assert_int_equal(write(talk->peer, text, strlen(text)), strlen(text));
	turn(talk);
}

/* What QEMU finds in its socket: exactly this. */
static void hears(struct talk *talk, const char *expected)
{
	char text[1024] = "";
	ssize_t n = recv(talk->peer, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	assert_string_equal(text, expected);
}

static void talk_start(struct talk *talk)
{
	int ends[2];

	*talk = (struct talk){ .loop = loop_new(NULL) };
	assert_non_null(talk->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	talk->peer = ends[1];
	talk->qmp = qmp_new(talk->loop, ends[0], on_refused, talk);
}

static void talk_end(struct talk *talk)
{
	close(talk->peer);
	qmp_free(talk->qmp);
	loop_free(talk->loop);
}

#define LIMITS(bandwidth, iops, id)                                                           \
	"{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/objects/limits\","               \
	"\"property\":\"limits\",\"value\":{\"bps-total\":" bandwidth ",\"iops-total\":" iops \
	"}},\"id\":" id "}\n"

static void test_one_command_at_a_time(void **state)
{
	struct talk talk;

	(void)state;
	talk_start(&talk);
	qmp_limit_disks(talk.qmp, 1, 2);
	qmp_set_balloon(talk.qmp, 64 << 20);
	qmp_set_paused(talk.qmp, true);
	hears(&talk, "");
	say(&talk, GREETING);
	hears(&talk, "{\"execute\":\"qmp_capabilities\"}\n");
	qmp_limit_disks(talk.qmp, 1048576, 10);
	hears(&talk, "");
	say(&talk, READY);
	hears(&talk, LIMITS("1048576", "10", "1"));
	/* While that one is under way, of the same kind only the latest waits. */
	qmp_limit_disks(talk.qmp, 3, 3);
	qmp_limit_disks(talk.qmp, 0, 0);
	hears(&talk, "");
	say(&talk, "{\"return\": {}, \"id\": 1}\r\n");
	hears(&talk, LIMITS("0", "0", "2"));
	say(&talk, "{\"return\": {}, \"id\": 2}\r\n");
	hears(&talk, "{\"execute\":\"query-memory-size-summary\",\"id\":3}\n");
	say(&talk,
	    "{\"return\": {\"base-memory\": 134217728, \"plugged-memory\": 0}, \"id\": 3}\r\n");
	hears(&talk, "{\"execute\":\"balloon\",\"arguments\":{\"value\":67108864},\"id\":4}\n");
	say(&talk, SHUTDOWN("x") "{\"return\": {}, \"id\": 4}\r\n");
	hears(&talk, "{\"execute\":\"stop\",\"id\":5}\n");
	say(&talk, "{\"return\": {}, \"id\": 5}\r\n");
	hears(&talk, "");
	qmp_set_balloon(talk.qmp, 0);
	hears(&talk, "{\"execute\":\"balloon\",\"arguments\":{\"value\":134217728},\"id\":6}\n");
	qmp_set_paused(talk.qmp, false);
	say(&talk, "{\"return\": {}, \"id\": 6}\r\n");
	hears(&talk, "{\"execute\":\"cont\",\"id\":7}\n");
	assert_int_equal(talk.refusals, 0);
	talk_end(&talk);
}

/* A refusal is told and nothing else: what waits is asked for, and the end is still heard. */
static void test_refused_command(void **state)
{
	struct talk talk;

	(void)state;
	talk_start(&talk);
	say(&talk, GREETING READY);
	hears(&talk, "{\"execute\":\"qmp_capabilities\"}\n");
	qmp_limit_disks(talk.qmp, 7, 0);
	qmp_set_paused(talk.qmp, true);
	hears(&talk, LIMITS("7", "0", "1"));
	say(&talk, "{\"id\": 1, \"error\": {\"class\": \"GenericError\", "
		   "\"desc\": \"too \\u001b[2J much\"}}\r\n");
	assert_int_equal(talk.refusals, 1);
	assert_string_equal(talk.why.text, "QEMU does not limit the disks: too ?[2J much");
	assert_int_equal(talk.wish, VMM_WISH_LIMIT);
	hears(&talk, "{\"execute\":\"stop\",\"id\":2}\n");
	say(&talk, "{\"return\": {}, \"id\": 2}\r\n" SHUTDOWN("guest-reset"));
	assert_int_equal(talk.refusals, 1);
	assert_true(qmp_drain(talk.qmp)->shutdown);
	talk_end(&talk);
}

/* Whoever speaks no QMP is not asked again, and that is told, for what was under way too. */
static void test_refused_by_silence(void **state)
{
	struct talk talk;

	(void)state;
	talk_start(&talk);
	say(&talk, GREETING READY);
	qmp_limit_disks(talk.qmp, 7, 0);
	assert_int_equal(talk.refusals, 0);
	say(&talk, "{\"return\": {}, \"id\": 9}\r\n");
	assert_int_equal(talk.refusals, 1);
	assert_string_equal(talk.why.text, "QEMU does not limit the disks: its monitor has ended "
					   "the conversation");
	qmp_set_paused(talk.qmp, true);
	assert_int_equal(talk.refusals, 1);
	turn(&talk);
	assert_int_equal(talk.refusals, 2);
	assert_string_equal(talk.why.text, "QEMU does not pause or resume: its monitor has ended "
					   "the conversation");
	assert_int_equal(talk.wish, VMM_WISH_PAUSE);
	turn(&talk);
	assert_int_equal(talk.refusals, 2);
	/* Freed with a refusal still to be told. */
	qmp_set_paused(talk.qmp, false);
	talk_end(&talk);
	assert_int_equal(talk.refusals, 2);
}

/* --- how it ended ---------------------------------------------------------------------------- */

struct end_case {
	const char *reason; /* NULL: no SHUTDOWN */
	bool panicked, killed, known, signaled;
	int code;
	enum reason expected;
	int exit_signal;
	const char *detail;
};

static const struct end_case end_cases[] = {
	{ "guest-shutdown", 0, 0, 1, 0, 0, REASON_GUEST_ENDED, 0,
	  "SHUTDOWN guest-shutdown, exit code 0" },
	{ "guest-reset", 0, 0, 1, 0, 0, REASON_GUEST_ENDED, 0,
	  "SHUTDOWN guest-reset, exit code 0" },
	{ "guest-panic", 1, 0, 1, 0, 0, REASON_PANIC, 0, "SHUTDOWN guest-panic, exit code 0" },
	{ NULL, 1, 0, 1, 1, SIGKILL, REASON_PANIC, SIGKILL, "GUEST_PANICKED, signal 9" },
	{ "host-signal", 0, 0, 1, 0, 0, REASON_VMM_KILLED, 0, "SHUTDOWN host-signal, exit code 0" },
	{ "host-qmp-quit", 0, 0, 1, 0, 0, REASON_OPERATOR, 0,
	  "SHUTDOWN host-qmp-quit, exit code 0" },
	{ "host-error", 0, 0, 1, 0, 1, REASON_VMM_CRASHED, 0, "SHUTDOWN host-error, exit code 1" },
	{ "guest-shutdown", 0, 1, 1, 1, SIGKILL, REASON_GUEST_ENDED, SIGKILL,
	  "SHUTDOWN guest-shutdown, signal 9" },
	{ NULL, 0, 1, 1, 1, SIGKILL, REASON_OPERATOR, SIGKILL, "no shutdown event, signal 9" },
	{ NULL, 0, 1, 0, 0, 0, REASON_OPERATOR, 0, "no shutdown event, exit status unknown" },
	{ NULL, 0, 0, 1, 1, SIGKILL, REASON_VMM_KILLED, SIGKILL, "no shutdown event, signal 9" },
	{ NULL, 0, 0, 1, 1, SIGTERM, REASON_VMM_KILLED, SIGTERM, "no shutdown event, signal 15" },
	{ NULL, 0, 0, 1, 1, SIGSEGV, REASON_VMM_CRASHED, SIGSEGV, "no shutdown event, signal 11" },
	{ NULL, 0, 0, 1, 1, SIGSYS, REASON_VMM_CRASHED, SIGSYS, "no shutdown event, signal 31" },
	{ NULL, 0, 0, 1, 0, 1, REASON_VMM_CRASHED, 0, "no shutdown event, exit code 1" },
	{ NULL, 0, 0, 1, 0, 0, REASON_GUEST_ENDED, 0, "no shutdown event, exit code 0" },
	{ NULL, 0, 0, 0, 0, 0, REASON_VMM_CRASHED, 0, "no shutdown event, exit status unknown" },
};

static void test_classify(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(end_cases) / sizeof(end_cases[0]); i++) {
		const struct end_case *c = &end_cases[i];
		struct qmp_record said = { .shutdown = c->reason, .panicked = c->panicked };
		struct child_exit ended = { .known = c->known,
					    .signaled = c->signaled,
					    .code = c->code };
		struct vmm_exit found;

		if (c->reason)
			strncpy(said.reason, c->reason, sizeof(said.reason) - 1);
		qemu_classify(&said, &ended, c->killed, &found);
		assert_string_equal(found.detail, c->detail);
		assert_int_equal(found.reason, c->expected);
		assert_int_equal(found.exit_signal, c->exit_signal);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conversation),
		cmocka_unit_test(test_any_cut),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_words_are_bounded),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_one_command_at_a_time),
		cmocka_unit_test(test_refused_command),
		cmocka_unit_test(test_refused_by_silence),
		cmocka_unit_test(test_classify),
	};

	return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
