/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests and what must come of them, from tests/golden (run from the top of the tree):
 *   bad/NAME.yaml or bad/NAME/  with bad/NAME.nresult: refused with exactly this text
 *   good/NAME.yaml or good/NAME/ with good/NAME.result: loads into exactly these specs
 *   plans/NAME/{before,after}[.yaml] with plans/NAME/result: the plan from one to the other
 * GOLDEN_UPDATE=1 writes the results instead of comparing them: read the difference with git.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "config/load.h"
#include "plan/plan.h"

#define GOLDEN "tests/golden"

struct golden_case {
	char *input;  /* file or directory; of a plan: its directory */
	char *result; /* file */
};

static void must(int result, const struct error *err)
{
	if (result < 0)
		fail_msg("%s", err->text);
}

/* Manifests must be private to their owner, which a checkout with a lax umask does not give: tests
 * load a copy. */
static void copy_file(const char *from, const char *directory)
{
	_cleanup_strbuf_ struct strbuf content = { 0 };
	const char *slash = strrchr(from, '/');
	_cleanup_free_ char *to = xasprintf("%s/%s", directory, slash ? slash + 1 : from);
	struct error err;

	must(fs_read(from, 4 << 20, &content, &err), &err);
	must(fs_write_atomic(to, strbuf_text(&content), content.length, 0644, &err), &err);
}

static void copy_set(const char *from, const char *directory)
{
	DIR *dir = opendir(from);
	struct dirent *entry;
	struct error err;

	must(fs_mkdir_p(directory, 0755, &err), &err);
	if (!dir) {
		copy_file(from, directory);
		return;
	}
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", from, entry->d_name);

		if (entry->d_name[0] != '.')
			copy_file(path, directory);
	}
	closedir(dir);
}

static int load(const char *from, const struct leases *leases, struct fleet **ret,
		struct problems *problems)
{
	char directory[] = "/tmp/stoker-golden-XXXXXX";
	_cleanup_free_ char *set = NULL;
	struct settings settings;
	struct error err;
	int result;

	assert_non_null(mkdtemp(directory));
	set = xasprintf("%s/fleet.d", directory);
	copy_set(from, set);
	settings_defaults(&settings);
	result = fleet_load(set, &settings, leases, ret, problems);
	settings_reset(&settings);
	must(fs_remove_tree(directory, &err), &err);
	return result;
}

static void compare(const char *result_path, const struct strbuf *actual)
{
	_cleanup_strbuf_ struct strbuf expected = { 0 };
	struct error err;

	if (getenv("GOLDEN_UPDATE")) {
		must(fs_write_atomic(result_path, strbuf_text(actual), actual->length, 0644, &err),
		     &err);
		return;
	}
	must(fs_read(result_path, 4 << 20, &expected, &err), &err);
	if (strcmp(strbuf_text(&expected), strbuf_text(actual)) != 0) {
		FILE *diff;
		_cleanup_free_ char *command = xasprintf("diff -u '%s' - >&2", result_path);

		fflush(NULL);
		diff = popen(command, "w");
		assert_non_null(diff);
		fwrite(strbuf_text(actual), 1, actual->length, diff);
		pclose(diff);
		fail_msg("%s differs", result_path);
	}
}

static void test_bad(void **state)
{
	const struct golden_case *golden = *state;
	struct problems problems = { 0 };
	struct fleet *fleet = NULL;

	assert_int_equal(load(golden->input, NULL, &fleet, &problems), -1);
	assert_null(fleet);
	assert_true(problems.count > 0);
	compare(golden->result, &problems.text);
	problems_reset(&problems);
}

static struct fleet *load_good(const char *input, const struct leases *leases)
{
	struct problems problems = { 0 };
	struct fleet *fleet = NULL;

	if (load(input, leases, &fleet, &problems) < 0)
		fail_msg("%s is refused:\n%s", input, strbuf_text(&problems.text));
	assert_int_equal(problems.count, 0);
	problems_reset(&problems);
	return fleet;
}

static void test_good(void **state)
{
	const struct golden_case *golden = *state;
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct fleet *fleet = load_good(golden->input, NULL);

	for (size_t i = 0; i < fleet->spec_count; i++) {
		_cleanup_json_ json_t *object = spec_to_json(fleet->specs[i]);
		_cleanup_free_ char *json = json_dumps(object, JSON_INDENT(2));

		strbuf_printf(&text, "%s\n", json);
	}
	compare(golden->result, &text);
	fleet_free(fleet);
}

/* Addresses stay with their names from one fleet to the next, as in the daemon. */
static struct leases *leases_of(const struct fleet *fleet)
{
	char path[] = "/tmp/stoker-leases-XXXXXX";
	struct leases *leases = NULL;
	struct error err;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	must(leases_write(path, fleet, &err), &err);
	must(leases_read(path, &leases, &err), &err);
	unlink(path);
	return leases;
}

static char *set_path(const char *directory, const char *name)
{
	char *path = xasprintf("%s/%s.yaml", directory, name);

	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return xasprintf("%s/%s", directory, name);
}

static void test_plan(void **state)
{
	const struct golden_case *golden = *state;
	_cleanup_free_ char *before_path = set_path(golden->input, "before");
	_cleanup_free_ char *after_path = set_path(golden->input, "after");
	struct fleet *before = load_good(before_path, NULL);
	struct leases *leases = leases_of(before);
	struct fleet *after = load_good(after_path, leases);
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct fleet_status observed = {
		.instances = xcalloc(before->spec_count, sizeof(*observed.instances)),
		.count = before->spec_count,
	};
	struct plan plan;

	for (size_t i = 0; i < before->spec_count; i++)
		observed.instances[i] = (struct instance_status){ .spec = before->specs[i],
								  .phase = PHASE_RUNNING };
	plan_make(after, &observed, &plan);
	plan_print(&plan, &observed, &text);
	compare(golden->result, &text);
	plan_reset(&plan);
	fleet_status_reset(&observed);
	leases_free(leases);
	fleet_free(before);
	fleet_free(after);
}

struct cases {
	struct CMUnitTest *tests; /* owned, as are their names and states */
	size_t count;
};

/* "bad/x.yaml" -> "bad/x"; NULL for results and other files. */
static char *case_stem(const char *folder, const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	if (entry->d_name[0] == '.')
		return NULL;
	if (!dot)
		return xasprintf(GOLDEN "/%s/%s", folder, entry->d_name);
	if (strcmp(dot, ".yaml") != 0)
		return NULL;
	return xasprintf(GOLDEN "/%s/%.*s", folder, (int)(dot - entry->d_name), entry->d_name);
}

static size_t collect(struct cases *cases, const char *folder, const char *suffix,
		      CMUnitTestFunction test)
{
	_cleanup_free_ char *path = xasprintf(GOLDEN "/%s", folder);
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t count = 0;

	if (!dir) {
		fprintf(stderr, "%s: run this from the top of the source tree\n", path);
		exit(2);
	}
	while ((entry = readdir(dir))) {
		char *stem = case_stem(folder, entry);
		struct golden_case *golden;

		if (!stem)
			continue;
		golden = xcalloc(1, sizeof(*golden));
		golden->input = xasprintf("%s/%s", path, entry->d_name);
		golden->result = xasprintf("%s%s", stem, suffix);
		cases->tests = xreallocarray(cases->tests, cases->count + 1, sizeof(*cases->tests));
		cases->tests[cases->count++] = (struct CMUnitTest){ stem, test, NULL, NULL,
								    golden };
		count++;
	}
	closedir(dir);
	return count;
}

static int compare_cases(const void *a, const void *b)
{
	return strcmp(((const struct CMUnitTest *)a)->name, ((const struct CMUnitTest *)b)->name);
}

static void cases_free(struct cases *cases)
{
	for (size_t i = 0; i < cases->count; i++) {
		struct golden_case *golden = cases->tests[i].initial_state;

		free(golden->input);
		free(golden->result);
		free(golden);
		free((char *)cases->tests[i].name);
	}
	free(cases->tests);
}

int main(void)
{
	struct cases cases = { 0 };
	size_t bad = collect(&cases, "bad", ".nresult", test_bad);
	size_t good = collect(&cases, "good", ".result", test_good);
	size_t plans = collect(&cases, "plans", "/result", test_plan);
	int failed;

	/* An empty folder must not look like success. */
	if (bad < 60 || good < 5 || plans < 15) {
		fprintf(stderr, "golden: %zu bad, %zu good, %zu plans: some are missing\n", bad,
			good, plans);
		return 2;
	}
	qsort(cases.tests, cases.count, sizeof(*cases.tests), compare_cases);
	failed = _cmocka_run_group_tests("golden", cases.tests, cases.count, NULL, NULL);
	cases_free(&cases);
	return failed;
}
