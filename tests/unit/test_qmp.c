/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/qmp.c: what QEMU says, in any cut; and qemu_classify(), which judges by it. */
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
	assert_string_equal(reply, "{\"execute\":\"qmp_capabilities\"}\n");
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
	refuse(GREETING "{\"error\": {\"class\": \"x\"}}\n", "QMP: a command was refused");
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
	qmp = qmp_new(loop, ends[0]);
	assert_int_equal(write(ends[1], words, sizeof(words) - 1), sizeof(words) - 1);
	close(ends[1]);
	record = qmp_drain(qmp);
	assert_true(record->shutdown);
	assert_string_equal(record->reason, "guest-reset");
	assert_ptr_equal(qmp_drain(qmp), record);
	assert_null(qmp_free(qmp));
	loop_free(loop);
}

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
		cmocka_unit_test(test_conversation), cmocka_unit_test(test_any_cut),
		cmocka_unit_test(test_refuses),	     cmocka_unit_test(test_words_are_bounded),
		cmocka_unit_test(test_drain),	     cmocka_unit_test(test_classify),
	};

	return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
