/* SPDX-License-Identifier: Apache-2.0 */
/* The records of image workers: what report_check lets through, and what not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/report.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct report make(enum report_kind kind, const char *text)
{
	struct report report = { .magic = REPORT_MAGIC, .kind = kind, .total = 1, .count = 1 };

	snprintf(report.text, sizeof(report.text), "%s", text);
	return report;
}

static void test_good(void **state)
{
	struct report good[] = {
		make(REPORT_PROGRESS, ""),   make(REPORT_MANIFEST, DIGEST),
		make(REPORT_CONFIG, DIGEST), make(REPORT_LAYER, DIGEST),
		make(REPORT_BUILT, ""),	     make(REPORT_ERROR, "no such image"),
		make(REPORT_DONE, ""),
	};
	struct error err;

	(void)state;
	good[0].stage = REPORT_DOWNLOAD;
	good[0].count = REPORT_LAYERS_MAX;
	good[1].count = REPORT_LAYERS_MAX;
	good[3].layer_type = LAYER_ZSTD;
	good[5].retry = 1;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (report_check(&good[i], &err) < 0)
			fail_msg("record %zu: %s", i, err.text);
}

static void expect(const struct report *report, const char *message)
{
	struct error err = { 0 };

	assert_int_equal(report_check(report, &err), -1);
	assert_string_equal(err.text, message);
}

static void test_bad(void **state)
{
	struct report report = make(REPORT_DONE, "");

	(void)state;
	report.magic++;
	expect(&report, "a record without the magic number");
	report = make(0, "");
	expect(&report, "a record of kind 0");
	report = make(REPORT_DONE + 1, "");
	expect(&report, "a record of kind 8");
	report = make(REPORT_DONE, "");
	memset(report.text, 'a', sizeof(report.text));
	expect(&report, "a record with text that is not printable");
	report = make(REPORT_ERROR, "a\033[2Jb");
	expect(&report, "a record with text that is not printable");
	report = make(REPORT_ERROR, "a\nb");
	expect(&report, "a record with text that is not printable");
	report = make(REPORT_ERROR, "\xc3\xa4");
	expect(&report, "a record with text that is not printable");
	report = make(REPORT_ERROR, "");
	expect(&report, "an error without words");
	report = make(REPORT_ERROR, "x");
	report.retry = 2;
	expect(&report, "an error with retry 2");
	report = make(REPORT_PROGRESS, "");
	report.stage = 3;
	expect(&report, "progress of stage 3");
	report.stage = REPORT_DOWNLOAD;
	report.count = REPORT_LAYERS_MAX + 1;
	expect(&report, "progress of layer 129");
	report.stage = REPORT_BUILD;
	report.count = 1;
	expect(&report, "progress of layer 1");
	report = make(REPORT_MANIFEST, DIGEST);
	report.count = 0;
	expect(&report, "a manifest of 0 layers");
	report.count = REPORT_LAYERS_MAX + 1;
	expect(&report, "a manifest of 129 layers");
	report = make(REPORT_MANIFEST, "sha256:../../etc/passwd");
	expect(&report, "a record with 'sha256:../../etc/passwd' for a digest");
	report = make(REPORT_CONFIG, "");
	expect(&report, "a record with '' for a digest");
	report = make(REPORT_CONFIG, DIGEST "0");
	expect(&report, "a record with '" DIGEST "0' for a digest");
	report = make(REPORT_LAYER, DIGEST);
	report.layer_type = 3;
	expect(&report, "a layer of type 3");
	report = make(REPORT_LAYER, DIGEST);
	report.total = 0;
	expect(&report, "a layer of 0 bytes");
	report.total = UINT64_MAX;
	expect(&report, "a layer of 18446744073709551615 bytes");
}

/* What the writer's helper sends, the reader takes: whatever the text was. */
static void test_failure(void **state)
{
	struct report report;
	struct error err;
	int ends[2];

	(void)state;
	memset(err.text, '\xe4', sizeof(err.text));
	err.text[sizeof(err.text) - 1] = '\0';
	assert_int_equal(pipe(ends), 0);
	report_failure(ends[1], &err, true);
	assert_int_equal(read(ends[0], &report, sizeof(report)), sizeof(report));
	assert_int_equal(report_check(&report, NULL), 0);
	assert_int_equal(report.kind, REPORT_ERROR);
	assert_int_equal(report.retry, 1);
	assert_int_equal(strlen(report.text), REPORT_TEXT_MAX - 1);
	assert_int_equal(report.text[0], '?');
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
