/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/cgroup: which group is the parent, and what has to be done so that it can be. */
#include "cgroup_host.h"

static void test_last_resort(void **state)
{
	(void)state;
	open_parent();
	assert_string_equal(cgroup_parent(cgroup), "/stoker");
	assert_null(cgroup_problem(cgroup));
	expect("", "cgroup.subtree_control", "cpu memory pids io\n");
	expect("/stoker", "cgroup.subtree_control", "cpu memory pids io\n");
}

static void test_unit(void **state)
{
	(void)state;
	tree_put(tree_mount, "cgroup.subtree_control", "cpu io memory pids\n");
	assert_int_equal(mkdir(tree_at("/system.slice"), 0755), 0);
	tree_put(tree_at("/system.slice"), "cgroup.subtree_control", "memory pids\n");
	assert_int_equal(mkdir(tree_at("/system.slice/stoker-vms.service"), 0755), 0);
	tree_put(tree_at("/system.slice/stoker-vms.service"), "cgroup.procs",
		 "7001\n" TREE_ENDED "\n");
	open_parent();
	assert_string_equal(cgroup_parent(cgroup), "/system.slice/stoker-vms.service");
	/* The slice is the service manager's, but for what we would lack. */
	expect("/system.slice", "cgroup.subtree_control", "memory pids cpu io\n");
	expect("/system.slice/stoker-vms.service", "cgroup.subtree_control",
	       "cpu memory pids io\n");
}

/* What was started in the parent itself is moved out of the way; what ended meanwhile is not. */
static void test_processes_in_the_parent(void **state)
{
	(void)state;
	ask_for("/ours");
	assert_int_equal(mkdir(tree_at("/ours"), 0755), 0);
	tree_put(tree_at("/ours"), "cgroup.procs", "7001\n7002\n");
	open_parent();
	assert_string_equal(cgroup_parent(cgroup), "/ours");
	assert_null(cgroup_problem(cgroup));
	expect("/ours", "cgroup.procs", "");
	expect("/ours/_supervisor", "cgroup.procs", "7001\n7002\n");
	expect("/ours", "cgroup.subtree_control", "cpu memory pids io\n");
}

static void test_processes_stay_where_nothing_is_to_be_done(void **state)
{
	(void)state;
	tree_put(tree_mount, "cgroup.procs", "1\n");
	open_parent();
	expect("", "cgroup.procs", "1\n");
	assert_int_not_equal(access(tree_at("/_supervisor"), F_OK), 0);
	assert_int_not_equal(access(tree_at("/stoker/_supervisor"), F_OK), 0);
}

static void put_own_group(const char *line)
{
	_cleanup_free_ char *proc = xasprintf("%s/proc/self", tree_root);

	tree_put(proc, "cgroup", line);
}

static bool mark_delegated(const char *group)
{
	return setxattr(tree_at(group), "user.delegate", "1", 1, 0) == 0 ||
	       setxattr(tree_at(group), "trusted.delegate", "1", 1, 0) == 0;
}

static void test_own_delegated_group(void **state)
{
	(void)state;
	assert_int_equal(mkdir(tree_at("/run-1.scope"), 0755), 0);
	if (!mark_delegated("/run-1.scope"))
		skip(); /* neither root nor a file system with such attributes */
	put_own_group("12:pids:/elsewhere\n0::/run-1.scope\n");
	tree_put(tree_at("/run-1.scope"), "cgroup.procs", "7001\n");
	open_parent();
	assert_string_equal(cgroup_parent(cgroup), "/run-1.scope");
	expect("/run-1.scope/_supervisor", "cgroup.procs", "7001\n");
	cgroup_close(cgroup);

	/* The next daemon starts where the first one was put. */
	put_own_group("0::/run-1.scope/_supervisor\n");
	open_parent();
	assert_string_equal(cgroup_parent(cgroup), "/run-1.scope");
}

static void test_own_group_of_others(void **state)
{
	(void)state;
	assert_int_equal(mkdir(tree_at("/user.slice"), 0755), 0);
	put_own_group("0::/user.slice\n");
	open_parent();
	assert_string_equal(cgroup_parent(cgroup), "/stoker");
}

static void test_none(void **state)
{
	struct cgroup_limits limits = { .tenant = "acme", .id = "stk0" };
	struct cgroup_leaf *leaf = (struct cgroup_leaf *)&limits;

	(void)state;
	ask_for("none");
	open_parent();
	assert_null(cgroup_parent(cgroup));
	assert_null(cgroup_problem(cgroup));
	assert_int_equal(cgroup_leaf_make(cgroup, &limits, &leaf, NULL), 0);
	assert_null(leaf);
	/* No leaf is a leaf without limits. */
	assert_int_equal(cgroup_leaf_join(leaf, NULL), 0);
	assert_int_equal(cgroup_leaf_limit_io(leaf, makedev(8, 1), 1, 1, NULL), 0);
	cgroup_leaf_kill(leaf);
	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);
	cgroup_sweep(cgroup);
	expect("", "cgroup.subtree_control", "");
}

static void test_hybrid_host(void **state)
{
	struct error err = { 0 };

	(void)state;
	unlink(tree_at("/cgroup.controllers"));
	open_parent();
	assert_null(cgroup_parent(cgroup));
	expect_problem("VMs run without limits of the host: no unified cgroup hierarchy (version "
		       "2) at /sys/fs/cgroup (boot with systemd.unified_cgroup_hierarchy=1, or "
		       "mount it there)");
	cgroup = cgroup_close(cgroup);

	/* Who names a group, wants limits. */
	ask_for("/stoker");
	assert_int_equal(cgroup_open(tree_root, &settings, &cgroup, &err), -1);
	assert_string_equal(err.text,
			    "[cgroup] parent = /stoker: no unified cgroup hierarchy (version 2) at "
			    "/sys/fs/cgroup (boot with systemd.unified_cgroup_hierarchy=1, or "
			    "mount it there)");
	assert_null(cgroup);
}

static void test_missing_controllers(void **state)
{
	(void)state;
	tree_put(tree_mount, "cgroup.controllers", "cpuset memory hugetlb pids\n");
	open_parent();
	expect_problem("cgroup /stoker lacks cpu, io: VMs run without these limits (enable them in "
		       "the groups above it)");
	expect("/stoker", "cgroup.subtree_control", "memory pids\n");
	cgroup_close(cgroup);

	assert_int_equal(rmdir(tree_at("/stoker")), 0);
	tree_put(tree_mount, "cgroup.subtree_control", "");
	tree_put(tree_mount, "cgroup.controllers", "cpuset\n");
	ask_for("/other");
	assert_int_equal(cgroup_open(tree_root, &settings, &cgroup, NULL), -1);
	ask_for("auto");
	open_parent();
	assert_null(cgroup_parent(cgroup));
	expect_problem("VMs run without limits of the host: ROOT/sys/fs/cgroup/stoker: no "
		       "controller can be enabled (enable them in the groups above it)");
}

/* Above the parent, nothing is moved. */
static void test_processes_above(void **state)
{
	(void)state;
	ask_for("/theirs/ours");
	assert_int_equal(mkdir(tree_at("/theirs"), 0755), 0);
	tree_put(tree_at("/theirs"), "cgroup.procs", "7001\n");
	assert_int_equal(cgroup_open(tree_root, &settings, &cgroup, NULL), -1);
	expect("/theirs", "cgroup.procs", "7001\n");
	expect("/theirs", "cgroup.type", "domain\n");
	expect("/theirs", "cgroup.subtree_control", "");
}

static void test_group_in_use_by_others(void **state)
{
	struct error err = { 0 };
	_cleanup_free_ char *expected = NULL;

	(void)state;
	ask_for("/ours");
	assert_int_equal(mkdir(tree_at("/ours"), 0755), 0);
	tree_put(tree_at("/ours"), "cgroup.procs", "7001\n");
	tree_refused = "cgroup.procs";
	assert_int_equal(cgroup_open(tree_root, &settings, &cgroup, &err), -1);
	expected = xasprintf("[cgroup] parent = /ours: %s/_supervisor/cgroup.procs: cannot write "
			     "'7001': Invalid argument (move process 7001 elsewhere)",
			     tree_at("/ours"));
	assert_string_equal(err.text, expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_last_resort),
		TEST(test_unit),
		TEST(test_processes_in_the_parent),
		TEST(test_processes_stay_where_nothing_is_to_be_done),
		TEST(test_own_delegated_group),
		TEST(test_own_group_of_others),
		TEST(test_none),
		TEST(test_hybrid_host),
		TEST(test_missing_controllers),
		TEST(test_processes_above),
		TEST(test_group_in_use_by_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
