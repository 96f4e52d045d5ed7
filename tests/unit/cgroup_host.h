/* SPDX-License-Identifier: Apache-2.0 */
/* A vmm/cgroup on files that behave as the kernel's. A test program includes it once. */
#ifndef STOKER_TESTS_CGROUP_HOST_H
#define STOKER_TESTS_CGROUP_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "cgroup_tree.h"
#include "vmm/cgroup.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define ALL	   "cpu io memory pids\n"

static struct settings settings;
static struct cgroup *cgroup;

static inline int setup(void **state)
{
	(void)state;
	settings_defaults(&settings);
	tree_make(ALL);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	cgroup = cgroup_close(cgroup);
	settings_reset(&settings);
	tree_drop();
	return 0;
}

static inline void ask_for(const char *parent)
{
	free(settings.cgroup_parent);
	settings.cgroup_parent = xstrdup(parent);
}

static inline void open_parent(void)
{
	struct error err = { 0 };

	if (cgroup_open(tree_root, &settings, &cgroup, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void expect(const char *group, const char *file, const char *content)
{
	_cleanup_free_ char *found = tree_read(tree_at(group), file);

	assert_string_equal(found, content);
}

static inline void expect_problem(const char *format)
{
	_cleanup_free_ char *expected = NULL;
	const char *mark = strstr(format, "ROOT");

	if (mark)
		expected = xasprintf("%.*s%s%s", (int)(mark - format), format, tree_root, mark + 4);
	assert_string_equal(cgroup_problem(cgroup), expected ? expected : format);
}

#endif
