/* SPDX-License-Identifier: Apache-2.0 */
/* The decisions of instance/: the transition table, restart policy and delay, and the log file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/signals.h"
#include "instance/actions.h"
#include "instance/backoff.h"
#include "instance/internal.h"
#include "instance/logfile.h"

/* --- the table ------------------------------------------------------------------------------- */

static void every_phase_can_be_left_for_good(void **state)
{
	(void)state;
	for (enum phase phase = PHASE_ABSENT; phase < PHASE_COUNT; phase++) {
		const struct transition *remove = transition_find(phase, EVENT_REMOVE);
		const struct transition *cycle = transition_find(phase, EVENT_CYCLE);

		assert_non_null(remove);
		assert_non_null(cycle);
		/* With a VMM running it takes a stop first; without one it is immediate. */
		if (phase >= PHASE_BOOTING && phase <= PHASE_STOPPING) {
			assert_int_equal(remove->next, PHASE_STOPPING);
			assert_int_equal(cycle->next, PHASE_STOPPING);
		} else {
			assert_int_equal(remove->next, PHASE_ABSENT);
			assert_ptr_equal(remove->act, act_release);
			assert_int_equal(cycle->next, PHASE_FETCHING);
		}
	}
}

static void every_phase_with_a_vmm_survives_its_end(void **state)
{
	static const enum phase with_vmm[] = { PHASE_BOOTING, PHASE_RUNNING, PHASE_PAUSED,
					       PHASE_STOPPING };

	(void)state;
	for (size_t i = 0; i < sizeof(with_vmm) / sizeof(*with_vmm); i++) {
		assert_int_equal(transition_find(with_vmm[i], EVENT_GONE_AGAIN)->next,
				 PHASE_BACKOFF);
		assert_int_equal(transition_find(with_vmm[i], EVENT_GONE_FINAL)->next,
				 PHASE_STOPPED);
		assert_int_equal(transition_find(with_vmm[i], EVENT_GONE_FAILED)->next,
				 PHASE_FAILED);
		/* A paused one may be silent for as long as an operator wants. */
		assert_int_equal(transition_find(with_vmm[i], EVENT_TIMEOUT) == NULL,
				 with_vmm[i] == PHASE_PAUSED);
	}
	assert_int_equal(transition_find(PHASE_STOPPING, EVENT_GONE_CYCLE)->next, PHASE_FETCHING);
	assert_int_equal(transition_find(PHASE_STOPPING, EVENT_GONE_REMOVE)->next, PHASE_ABSENT);
	/* One that was adopted is asked to stop when it can hear. */
	assert_ptr_equal(transition_find(PHASE_STOPPING, EVENT_GUEST_READY)->act, act_stop_heard);
	assert_null(transition_find(PHASE_STOPPED, EVENT_TIMEOUT));
	assert_null(transition_find(PHASE_FAILED, EVENT_TIMEOUT));
}

static void every_event_has_a_name_and_a_use(void **state)
{
	(void)state;
	for (enum event event = EVENT_START; event < EVENT_COUNT; event++) {
		int uses = 0;

		assert_string_not_equal(event_name(event), "?");
		for (enum phase phase = PHASE_ABSENT; phase < PHASE_COUNT; phase++)
			uses += transition_find(phase, event) != NULL;
		assert_true(uses > 0);
	}
}

/* No start, whatever asks for it, gets past a host that falls short; mended, each starts anew. */
static void every_start_can_be_refused(void **state)
{
	static const enum phase before[] = { PHASE_FETCHING, PHASE_PREPARING };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct transition *refused = transition_find(before[i], EVENT_HOST_REFUSED);

		assert_int_equal(refused->next, PHASE_FAILED);
		assert_ptr_equal(refused->act, act_none); /* there is no record to keep */
	}
	assert_int_equal(transition_find(PHASE_FAILED, EVENT_START)->next, PHASE_FETCHING);
	for (enum phase phase = PHASE_ABSENT; phase < PHASE_COUNT; phase++)
		for (enum event event = EVENT_START; event < EVENT_COUNT; event++) {
			const struct transition *transition = transition_find(phase, event);

			if (!transition || transition->next != PHASE_FETCHING)
				continue;
			assert_true(transition->act == act_fetch || transition->act == act_cycle ||
				    transition->act == act_fetch_anew);
		}
}

/* --- restart policy and delay ---------------------------------------------------------------- */

static void policy_decides(void **state)
{
	static const struct {
		enum restart_policy policy;
		uint32_t limit;
		enum reason reason;
		int code;
		uint32_t failures;
		enum verdict verdict;
	} rows[] = {
		{ RESTART_ALWAYS, 0, REASON_EXITED, 0, 1, VERDICT_AGAIN },
		{ RESTART_ALWAYS, 0, REASON_VMM_KILLED, 0, 99, VERDICT_AGAIN },
		{ RESTART_ON_FAILURE, 0, REASON_EXITED, 0, 1, VERDICT_REST },
		{ RESTART_ON_FAILURE, 0, REASON_EXITED, 1, 1000, VERDICT_AGAIN },
		{ RESTART_ON_FAILURE, 0, REASON_SIGNALLED, 0, 1, VERDICT_AGAIN },
		{ RESTART_ON_FAILURE, 0, REASON_PANIC, 0, 1, VERDICT_AGAIN },
		{ RESTART_ON_FAILURE, 0, REASON_DAEMONISED, 0, 1, VERDICT_REST },
		{ RESTART_ALWAYS, 0, REASON_DAEMONISED, 0, 1, VERDICT_AGAIN },
		{ RESTART_ON_FAILURE, 3, REASON_EXITED, 1, 3, VERDICT_AGAIN },
		{ RESTART_ON_FAILURE, 3, REASON_EXITED, 1, 4, VERDICT_FAILED },
		{ RESTART_ON_FAILURE, 3, REASON_EXITED, 0, 4, VERDICT_REST },
		{ RESTART_NO, 0, REASON_EXITED, 1, 1, VERDICT_REST },
		{ RESTART_NO, 0, REASON_VMM_CRASHED, 0, 1, VERDICT_REST },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct spec spec = { .restart = rows[i].policy, .restart_limit = rows[i].limit };

		assert_int_equal(
			restart_verdict(&spec, rows[i].reason, rows[i].code, rows[i].failures),
			rows[i].verdict);
	}
}

static void delay_doubles_to_its_cap_and_resets_after_a_good_run(void **state)
{
	const struct settings settings = { .restart_min_ms = 100,
					   .restart_max_ms = 1000,
					   .restart_reset_ms = 60000 };
	static const uint64_t delays[] = { 100, 200, 400, 800, 1000, 1000 };
	struct backoff backoff = { 0 };

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		backoff_ended(&backoff, 59999, &settings);
		assert_int_equal(backoff_next_ms(&backoff, &settings), delays[i]);
	}
	assert_int_equal(backoff.failures, 6);
	backoff_ended(&backoff, 60000, &settings);
	assert_int_equal(backoff.failures, 1);
	assert_int_equal(backoff_next_ms(&backoff, &settings), 100);
}

/* --- the log file ---------------------------------------------------------------------------- */

struct log_fixture {
	char dir[64];
	struct settings settings;
	struct logfile *log;
};

static void open_log(struct log_fixture *f, uint64_t file_bytes, uint32_t files, uint64_t rate)
{
	struct error err;

	snprintf(f->dir, sizeof(f->dir), "/tmp/stoker-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->settings = (struct settings){ .log_dir = f->dir,
					 .log_file_bytes = file_bytes,
					 .log_files = files,
					 .log_rate_bytes = rate };
	assert_int_equal(logfile_open(&f->settings, "acme/web", NULL, &f->log, &err), 0);
}

static void close_log(struct log_fixture *f)
{
	f->log = logfile_close(f->log);
	assert_int_equal(fs_remove_tree(f->dir, NULL), 0);
}

static char *read_log(const struct log_fixture *f, const char *suffix)
{
	_cleanup_free_ char *path = xasprintf("%s/acme/web.log%s", f->dir, suffix);
	struct strbuf text = { 0 };

	if (fs_read(path, 1 << 20, &text, NULL) < 0)
		return NULL;
	return strbuf_take(&text);
}

static void say(struct logfile *log, const char *stream, const char *text)
{
	logfile_write(log, stream, text, strlen(text));
}

static void streams_do_not_mix_within_a_line(void **state)
{
	struct log_fixture f;
	_cleanup_free_ char *text = NULL;

	(void)state;
	open_log(&f, 1 << 20, 3, 1 << 20);
	say(f.log, "stdout", "one, ");
	say(f.log, "stderr", "oops\n");
	say(f.log, "stdout", "two\nthree");
	f.log = logfile_close(f.log);
	text = read_log(&f, "");
	assert_non_null(strstr(text, " stderr oops\n"));
	assert_non_null(strstr(text, " stdout one, two\n"));
	assert_non_null(strstr(text, " stdout three\n"));
	close_log(&f);
}

static void control_bytes_are_escaped(void **state)
{
	struct log_fixture f;
	_cleanup_free_ char *text = NULL;

	(void)state;
	open_log(&f, 1 << 20, 3, 1 << 20);
	say(f.log, "stdout", "\x1b[2Jcl\\ear\r\xc3\xa4\tx\n");
	text = read_log(&f, "");
	assert_non_null(strstr(text, " stdout \\x1b[2Jcl\\\\ear\\x0d\xc3\xa4\tx\n"));
	close_log(&f);
}

static void long_lines_are_cut_with_a_mark(void **state)
{
	struct log_fixture f;
	_cleanup_free_ char *text = NULL;
	char line[5001];

	(void)state;
	open_log(&f, 1 << 20, 3, 1 << 20);
	memset(line, 'a', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	logfile_write(f.log, "stdout", line, sizeof(line));
	text = read_log(&f, "");
	assert_non_null(strstr(text, "aaa...\n"));
	assert_int_equal(strlen(text), 5000 + 4 /* "..." and newline */ + 1 + 2 * 32);
	close_log(&f);
}

static void size_is_bounded_by_rotation(void **state)
{
	struct log_fixture f;
	_cleanup_free_ char *now = NULL, *one = NULL, *two = NULL, *three = NULL;

	(void)state;
	open_log(&f, 1000, 3, 1 << 20);
	for (int i = 0; i < 200; i++)
		say(f.log, "stdout", "a line of some forty bytes, all in all\n");
	now = read_log(&f, "");
	one = read_log(&f, ".1");
	two = read_log(&f, ".2");
	three = read_log(&f, ".3");
	assert_true(strlen(now) <= 1000 && strlen(one) <= 1000 && strlen(two) <= 1000);
	assert_null(three);
	assert_int_equal(logfile_dropped_bytes(f.log), 0);
	close_log(&f);
}

static void a_flood_is_capped_counted_and_said_once(void **state)
{
	struct log_fixture f;
	_cleanup_free_ char *text = NULL;
	char *first;

	(void)state;
	open_log(&f, 1 << 20, 3, 2000);
	for (int i = 0; i < 1000; i++)
		say(f.log, "stdout", "0123456789012345678\n");
	assert_true(logfile_dropped_bytes(f.log) >= 10000);
	usleep(300000); /* room for a tenth of a second's worth, at least */
	say(f.log, "stdout", "after\n");
	text = read_log(&f, "");
	first = strstr(text, " bytes of stdout dropped: more than [log] rate allows\n");
	assert_non_null(first);
	assert_non_null(strstr(text, " stdout after\n"));
	close_log(&f);
}

/* The loudest come first and take all that is not kept for others. */
static void a_flood_silences_no_other_stream(void **state)
{
	static const char *const quiet[] = { "kernel", "init", "console" };
	struct log_fixture f;
	_cleanup_free_ char *text = NULL;

	(void)state;
	open_log(&f, 1 << 20, 1, 48000);
	for (int i = 0; i < 5000; i++) {
		say(f.log, "stdout", "0123456789012345678\n");
		say(f.log, "stderr", "0123456789012345678\n");
		say(f.log, "syslog", "user.info a: b\n");
	}
	for (size_t i = 0; i < sizeof(quiet) / sizeof(*quiet); i++)
		say(f.log, quiet[i], "one line\n");
	f.log = logfile_close(f.log);
	text = read_log(&f, "");
	for (size_t i = 0; i < sizeof(quiet) / sizeof(*quiet); i++) {
		_cleanup_free_ char *line = xasprintf(" %s one line\n", quiet[i]);
		_cleanup_free_ char *lost = xasprintf(" bytes of %s dropped", quiet[i]);

		assert_non_null(strstr(text, line));
		assert_null(strstr(text, lost));
	}
	assert_non_null(strstr(text, " bytes of stdout dropped"));
	assert_non_null(strstr(text, " bytes of stderr dropped"));
	assert_non_null(strstr(text, " bytes of syslog dropped"));
	close_log(&f);
}

static void empty_lines_cost_what_they_make_us_write(void **state)
{
	struct log_fixture f;
	_cleanup_free_ char *text = NULL;
	char lines[50000];

	(void)state;
	open_log(&f, 1 << 20, 1, 100000);
	memset(lines, '\n', sizeof(lines));
	logfile_write(f.log, "stdout", lines, sizeof(lines));
	text = read_log(&f, "");
	assert_in_range(strlen(text), 75000, 110000);
	assert_true(logfile_dropped_bytes(f.log) > 40000);
	close_log(&f);
}

/* Without descriptors the new file cannot be made; the old ones must not pay for it. */
static void old_files_outlive_a_failed_rotation(void **state)
{
	struct rlimit before, none;
	struct log_fixture f;
	_cleanup_free_ char *now = NULL, *one = NULL;

	(void)state;
	open_log(&f, 100, 3, 1 << 20);
	say(f.log, "stdout", "the first line, of about fifty bytes or so\n");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 10; i++)
		say(f.log, "stdout", "a line that is dropped, of fifty bytes or so\n");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	say(f.log, "stdout", "and on it goes\n");
	now = read_log(&f, "");
	one = read_log(&f, ".1");
	assert_non_null(one);
	assert_non_null(strstr(one, "the first line"));
	assert_non_null(now);
	assert_non_null(strstr(now, "and on it goes"));
	assert_true(logfile_dropped_bytes(f.log) > 0);
	close_log(&f);
}

static void signal_names(void **state)
{
	(void)state;
	assert_int_equal(signal_number("SIGTERM"), 15);
	assert_int_equal(signal_number("term"), 15);
	assert_int_equal(signal_number("15"), 15);
	assert_int_equal(signal_number("SIGRTMIN+3"), 37);
	assert_int_equal(signal_number("SIGRTMIN+99"), 0);
	assert_int_equal(signal_number("SIGNONE"), 0);
	assert_int_equal(signal_number(""), 0);
	assert_int_equal(signal_number("99"), 0);
	assert_int_equal(signal_number("rtmax-2"), 62);
	assert_int_equal(signal_number("SIGRTMAX+1"), 0);
	assert_int_equal(signal_number("SIGRTMIN+"), 0);
	assert_int_equal(signal_number("32"), 0);
	assert_int_equal(signal_number("015"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_phase_can_be_left_for_good),
		cmocka_unit_test(every_phase_with_a_vmm_survives_its_end),
		cmocka_unit_test(every_event_has_a_name_and_a_use),
		cmocka_unit_test(every_start_can_be_refused),
		cmocka_unit_test(policy_decides),
		cmocka_unit_test(delay_doubles_to_its_cap_and_resets_after_a_good_run),
		cmocka_unit_test(streams_do_not_mix_within_a_line),
		cmocka_unit_test(control_bytes_are_escaped),
		cmocka_unit_test(long_lines_are_cut_with_a_mark),
		cmocka_unit_test(size_is_bounded_by_rotation),
		cmocka_unit_test(a_flood_is_capped_counted_and_said_once),
		cmocka_unit_test(a_flood_silences_no_other_stream),
		cmocka_unit_test(empty_lines_cost_what_they_make_us_write),
		cmocka_unit_test(old_files_outlive_a_failed_rotation),
		cmocka_unit_test(signal_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
