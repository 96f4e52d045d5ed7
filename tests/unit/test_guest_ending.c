/* SPDX-License-Identifier: Apache-2.0 */
/* guest-init/ending.c: what the kernel says of its victims, and what a status makes of a report. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest-init/ending.c"

static bool has_met_oom;

bool service_met_oom(void)
{
	return has_met_oom;
}

static void expect_victim(const char *record, const char *wanted)
{
	char victim[VICTIM_MAX] = "";
	size_t length = strlen(record);
	char *copy = malloc(length ? length : 1);
	bool is_oom;

	/* Exactly its size, so that the sanitizer sees a byte read too many. */
	memcpy(copy, record, length);
	is_oom = ending_is_oom(copy, length, victim);
	free(copy);
	assert_int_equal(is_oom, wanted != NULL);
	assert_string_equal(victim, wanted ? wanted : "");
}

static void test_victims(void **state)
{
	(void)state;
	expect_victim("3,420,9876,-;Out of memory: Killed process 85 (tail) total-vm:70MB, anon",
		      "tail (pid 85)");
	expect_victim("3,1,1,-;Memory cgroup out of memory: Killed process 7 (a b) total-vm:1kB",
		      "a b (pid 7)");
	expect_victim("3,1,1,-;Out of memory: Killed process 7 (a) total-v) total-vm:1kB",
		      "a) total-v (pid 7)");
	expect_victim("3,1,1,-;Out of memory: Killed process 1234567890 (sixteen-letters) "
		      "total-vm:1kB",
		      "sixteen-letters (pid 1234567890)");
	expect_victim("3,1,1,-;Out of memory: Killed process 7 (0123456789abcdef0123456789abcdef01)"
		      " total-vm:1kB",
		      "0123456789abcdef0123456789abcdef (pid 7)");
}

static void test_no_victims(void **state)
{
	(void)state;
	/* Written to /dev/kmsg by a process: the facility is another. */
	expect_victim("11,420,9876,-;Out of memory: Killed process 85 (tail) total-vm:70MB", NULL);
	expect_victim("30,1,1,-;Out of memory: Killed process 85 (tail) total-vm:70MB", NULL);
	expect_victim("", NULL);
	expect_victim("3", NULL);
	expect_victim("3,1,1,-;Out of memory: Killed process ", NULL);
	expect_victim("3,1,1,-;Out of memory: Killed process 7", NULL);
	expect_victim("3,1,1,-;Out of memory: Killed process 7 (", NULL);
	expect_victim("3,1,1,-;Out of memory: Killed process  (a) total-vm:", NULL);
	expect_victim("3,1,1,-;Out of memory: Killed process 7 a) total-vm:", NULL);
	expect_victim("3,1,1,-;Out of memory: Killed process 12345678901 (a) total-vm:", NULL);
}

static void expect_report(int status, bool is_stopped, bool met_oom, enum exit_kind kind, int code)
{
	struct frame_exit report;

	memset(&report, 0xff, sizeof(report));
	has_met_oom = met_oom;
	ending_tell(status, is_stopped, &report);
	assert_int_equal(le32toh(report.kind), kind);
	assert_int_equal(le32toh((uint32_t)report.code), code);
	assert_int_equal(report.message[FRAME_MESSAGE_MAX - 1], '\0');
}

/* wait(2): an exit code is in the second byte, a signal in the first. */
static void test_reports(void **state)
{
	(void)state;
	expect_report(0, false, false, EXIT_CODE, 0);
	expect_report(3 << 8, false, false, EXIT_CODE, 3);
	expect_report(SIGSEGV, false, true, EXIT_SIGNAL, SIGSEGV);
	expect_report(SIGKILL, false, false, EXIT_SIGNAL, SIGKILL);
	expect_report(SIGKILL, false, true, EXIT_OOM, SIGKILL);
	expect_report(SIGKILL, true, true, EXIT_SIGNAL, SIGKILL);
	expect_report((128 + SIGKILL) << 8, false, true, EXIT_OOM, SIGKILL);
	expect_report((128 + SIGKILL) << 8, false, false, EXIT_CODE, 128 + SIGKILL);
	expect_report(SIGKILL << 8, false, true, EXIT_CODE, SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_victims),
		cmocka_unit_test(test_no_victims),
		cmocka_unit_test(test_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
