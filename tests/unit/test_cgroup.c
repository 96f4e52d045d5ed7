/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/cgroup: what is written into a leaf, why a VMM ended, and what is left afterwards. */
#include "cgroup_host.h"

/* --- a leaf ---------------------------------------------------------------------------------- */

static struct cgroup_leaf *make(const char *tenant, const char *id, uint32_t cpus)
{
	struct cgroup_limits limits = {
		.tenant = tenant,
		.id = id,
		.memory_bytes = 200 << 20,
		.cpus = cpus,
		.threads_max = 80 + cpus,
	};
	struct cgroup_leaf *leaf = NULL;
	struct error err = { 0 };

	if (cgroup_leaf_make(cgroup, &limits, &leaf, &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(leaf);
	return leaf;
}

static void test_limits(void **state)
{
	struct cgroup_leaf *leaf;

	(void)state;
	open_parent();
	leaf = make("acme", "stk7", 2);
	expect("/stoker/acme", "cgroup.subtree_control", "cpu memory pids io\n");
	expect("/stoker/acme/stk7", "memory.max", "209715200\n");
	expect("/stoker/acme/stk7", "memory.swap.max", "0\n");
	expect("/stoker/acme/stk7", "memory.oom.group", "1\n");
	expect("/stoker/acme/stk7", "cpu.max", "225000 100000\n");
	expect("/stoker/acme/stk7", "cpu.weight", "200\n");
	expect("/stoker/acme/stk7", "pids.max", "82\n");
	expect("/stoker/acme/stk7", "io.max", "");
	expect("/stoker/acme", "memory.max", "max\n");
	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);
	assert_int_not_equal(access(tree_at("/stoker/acme"), F_OK), 0);
}

/* Only what is enabled can be set. */
static void test_fewer_controllers(void **state)
{
	struct cgroup_leaf *leaf;

	(void)state;
	tree_put(tree_mount, "cgroup.controllers", "pids\n");
	open_parent();
	leaf = make("acme", "stk7", 1);
	expect("/stoker/acme/stk7", "pids.max", "81\n");
	assert_int_not_equal(access(tree_at("/stoker/acme/stk7/memory.max"), F_OK), 0);
	assert_int_equal(cgroup_leaf_limit_io(leaf, makedev(8, 1), 1, 1, NULL), 0);
	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);
}

static void test_weights(void **state)
{
	struct cgroup_leaf *one, *two, *big;

	(void)state;
	open_parent();
	one = make("acme", "stk0", 1);
	expect("/stoker/acme", "cpu.weight", "100\n");
	two = make("acme", "stk1", 3);
	expect("/stoker/acme", "cpu.weight", "400\n");
	big = make("huge", "stk2", 200);
	expect("/stoker/huge/stk2", "cpu.weight", "10000\n");
	expect("/stoker/huge", "cpu.weight", "10000\n");
	assert_int_equal(cgroup_leaf_remove(one, NULL), 0);
	expect("/stoker/acme", "cpu.weight", "300\n");
	assert_int_equal(cgroup_leaf_remove(two, NULL), 0);
	assert_int_equal(cgroup_leaf_remove(big, NULL), 0);
}

static void test_join(void **state)
{
	struct cgroup_leaf *leaf;
	char pid[16];

	(void)state;
	open_parent();
	leaf = make("acme", "stk7", 1);
	assert_int_equal(cgroup_leaf_join(leaf, NULL), 0);
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	expect("/stoker/acme/stk7", "cgroup.procs", pid);
	/* The run ended, but something of it did not. */
	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);
	assert_int_not_equal(access(tree_at("/stoker/acme"), F_OK), 0);
}

static void test_kill(void **state)
{
	struct cgroup_leaf *leaf;

	(void)state;
	open_parent();
	leaf = make("acme", "stk7", 1);
	cgroup_leaf_kill(leaf);
	expect("/stoker/acme/stk7", "cgroup.kill", "1\n");
	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);
}

static void test_leaf_of_an_unfinished_start(void **state)
{
	struct cgroup_leaf *leaf;

	(void)state;
	open_parent();
	leaf = cgroup_leaf_free(make("acme", "stk7", 4));
	assert_null(leaf);
	tree_put(tree_at("/stoker/acme/stk7"), "cgroup.procs", "7001\n");
	leaf = make("acme", "stk7", 1);
	expect("/stoker/acme/stk7", "cgroup.procs", "");
	expect("/stoker/acme/stk7", "cpu.max", "125000 100000\n");
	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);
}

static void test_refused_limit(void **state)
{
	struct cgroup_limits limits = { .tenant = "acme", .id = "stk7", .cpus = 1 };
	_cleanup_free_ char *expected = NULL;
	struct cgroup_leaf *leaf = NULL;
	struct error err = { 0 };

	(void)state;
	open_parent();
	tree_refused = "pids.max";
	assert_int_equal(cgroup_leaf_make(cgroup, &limits, &leaf, &err), -1);
	expected = xasprintf("%s/pids.max: cannot write '0': Invalid argument",
			     tree_at("/stoker/acme/stk7"));
	assert_string_equal(err.text, expected);
	assert_null(leaf);
	assert_int_not_equal(access(tree_at("/stoker/acme"), F_OK), 0);
}

static void test_parent_is_gone(void **state)
{
	struct cgroup_limits limits = { .tenant = "acme", .id = "stk7", .cpus = 1 };
	_cleanup_free_ char *expected = NULL;
	struct cgroup_leaf *leaf = NULL;
	struct error err = { 0 };

	(void)state;
	open_parent();
	assert_int_equal(rmdir(tree_at("/stoker")), 0);
	assert_int_equal(cgroup_leaf_make(cgroup, &limits, &leaf, &err), -1);
	expected = xasprintf("%s: the group above it is gone (restart stoker-vms.service, or "
			     "stokerd where there is none)",
			     tree_at("/stoker/acme"));
	assert_string_equal(err.text, expected);
	assert_null(leaf);
}

static void test_removal(void **state)
{
	struct cgroup_leaf *leaf;
	struct error err = { 0 };
	_cleanup_free_ char *expected = NULL;

	(void)state;
	open_parent();
	leaf = make("acme", "stk7", 1);
	tree_removal_tries = 3; /* it takes a moment until killed processes are gone */
	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);

	leaf = make("acme", "stk7", 1);
	tree_removal_tries = 1000;
	assert_int_equal(cgroup_leaf_remove(leaf, &err), -1);
	expected = xasprintf("%s: cannot remove: Device or resource busy",
			     tree_at("/stoker/acme/stk7"));
	assert_string_equal(err.text, expected);
	tree_removal_tries = 0;
	cgroup_sweep(cgroup);
	assert_int_not_equal(access(tree_at("/stoker/acme"), F_OK), 0);
}

/* --- disks ----------------------------------------------------------------------------------- */

static void put_disk(const char *number, const char *file, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/sys/dev/block/%s", tree_root, number);

	assert_int_equal(fs_mkdir_p(path, 0755, NULL), 0);
	tree_put(path, file, text);
}

static void test_disks(void **state)
{
	struct cgroup_leaf *leaf;

	(void)state;
	open_parent();
	leaf = make("acme", "stk7", 1);
	put_disk("253:3", "dev", "253:3\n");
	assert_int_equal(cgroup_leaf_limit_io(leaf, makedev(253, 3), 52428800, 1000, NULL), 0);
	expect("/stoker/acme/stk7", "io.max",
	       "253:3 rbps=52428800 wbps=52428800 riops=1000 wiops=1000\n");
	assert_int_equal(cgroup_leaf_limit_io(leaf, makedev(253, 3), 0, 500, NULL), 0);
	expect("/stoker/acme/stk7", "io.max", "253:3 rbps=max wbps=max riops=500 wiops=500\n");
	/* A partition: its disk is the directory above. */
	put_disk("8:1", "partition", "1\n");
	put_disk("8:1", "dev", "8:1\n");
	put_disk("", "dev", "8:0\n");
	assert_int_equal(cgroup_leaf_limit_io(leaf, makedev(8, 1), 1, 0, NULL), 0);
	expect("/stoker/acme/stk7", "io.max", "8:0 rbps=1 wbps=1 riops=max wiops=max\n");
	/* tmpfs */
	assert_int_equal(cgroup_leaf_limit_io(leaf, makedev(0, 31), 7, 7, NULL), 0);
	expect("/stoker/acme/stk7", "io.max", "8:0 rbps=1 wbps=1 riops=max wiops=max\n");
	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);
}

/* --- why it ended ---------------------------------------------------------------------------- */

static void test_blame(void **state)
{
	struct vmm_exit killed = { REASON_VMM_KILLED, SIGKILL, "no shutdown event, signal 9" };
	struct vmm_exit adopted = { REASON_VMM_CRASHED, 0, "exit status unknown" };
	struct vmm_exit crashed = { REASON_VMM_CRASHED, SIGABRT, "signal 6" };
	struct vmm_exit stopped = { REASON_OPERATOR, SIGKILL, "signal 9" };
	struct cgroup_leaf *leaf;
	struct vmm_exit exit;

	(void)state;
	open_parent();
	leaf = make("acme", "stk7", 1);
	exit = killed;
	cgroup_leaf_blame(leaf, &exit);
	assert_string_equal(exit.detail, "no shutdown event, signal 9");
	cgroup_leaf_blame(NULL, &exit);

	tree_put(tree_at("/stoker/acme/stk7"), "memory.events",
		 "low 0\nhigh 0\nmax 12\noom 0\noom_kill 1\n");
	cgroup_leaf_blame(leaf, &exit);
	assert_string_equal(exit.detail, "killed by the host, which is out of memory");

	tree_put(tree_at("/stoker/acme/stk7"), "memory.events",
		 "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n");
	exit = adopted;
	cgroup_leaf_blame(leaf, &exit);
	assert_int_equal(exit.reason, REASON_VMM_KILLED);
	assert_int_equal(exit.exit_signal, SIGKILL);
	assert_string_equal(exit.detail, "killed by the host: out of memory in its cgroup "
					 "(memory.max 200 MiB)");
	/* Whoever we stopped was stopped by us. */
	exit = stopped;
	cgroup_leaf_blame(leaf, &exit);
	assert_int_equal(exit.reason, REASON_OPERATOR);
	assert_string_equal(exit.detail, "signal 9");

	tree_put(tree_at("/stoker/acme/stk7"), "memory.events", "oom 1\noom_kill 0\n");
	tree_put(tree_at("/stoker/acme/stk7"), "pids.events", "max 3\n");
	exit = crashed;
	cgroup_leaf_blame(leaf, &exit);
	assert_int_equal(exit.reason, REASON_VMM_CRASHED);
	assert_string_equal(exit.detail, "signal 6; the host refused it a thread 3 times "
					 "(pids.max 81)");
	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);
}

/* --- adoption -------------------------------------------------------------------------------- */

static void put_process(const char *pid, const char *line)
{
	_cleanup_free_ char *proc = xasprintf("%s/proc/%s", tree_root, pid);

	assert_int_equal(fs_mkdir_p(proc, 0755, NULL), 0);
	tree_put(proc, "cgroup", line);
}

static void test_adoption(void **state)
{
	struct cgroup_leaf *leaf;

	(void)state;
	open_parent();
	cgroup_leaf_free(make("acme", "stk7", 1));
	cgroup_leaf_free(make("acme", "stk8", 1));
	cgroup_leaf_free(make("other", "stk9", 1));
	tree_put(tree_at("/stoker/acme/stk7"), "cgroup.procs", "7001\n");
	put_process("7001", "0::/stoker/acme/stk7\n");
	leaf = cgroup_leaf_find(tree_root, "acme/web", 7001);
	assert_non_null(leaf);

	/* What runs keeps its leaf; of the rest nothing stays, and of others everything. */
	assert_int_equal(mkdir(tree_at("/stoker/_supervisor"), 0755), 0);
	assert_int_equal(mkdir(tree_at("/stoker/some.service"), 0755), 0);
	cgroup_sweep(cgroup);
	assert_int_equal(access(tree_at("/stoker/acme/stk7"), F_OK), 0);
	assert_int_not_equal(access(tree_at("/stoker/acme/stk8"), F_OK), 0);
	assert_int_not_equal(access(tree_at("/stoker/other"), F_OK), 0);
	assert_int_equal(access(tree_at("/stoker/_supervisor"), F_OK), 0);
	assert_int_equal(access(tree_at("/stoker/some.service"), F_OK), 0);

	assert_int_equal(cgroup_leaf_remove(leaf, NULL), 0);
	assert_int_not_equal(access(tree_at("/stoker/acme"), F_OK), 0);
}

static void test_no_vm_is_left(void **state)
{
	(void)state;
	open_parent();
	cgroup_leaf_free(make("acme", "stk7", 1));
	assert_int_equal(mkdir(tree_at("/stoker/_supervisor"), 0755), 0);
	cgroup_clear(cgroup); /* somebody else's groups: it stays */
	assert_int_not_equal(access(tree_at("/stoker/acme"), F_OK), 0);
	assert_int_equal(access(tree_at("/stoker"), F_OK), 0);
	assert_int_equal(rmdir(tree_at("/stoker/_supervisor")), 0);
	cgroup_clear(cgroup);
	assert_int_not_equal(access(tree_at("/stoker"), F_OK), 0);
}

/* Started without limits, or by a daemon that had none. */
static void test_adoption_without_a_leaf(void **state)
{
	(void)state;
	put_process("7001", "0::/system.slice/stokerd.service\n");
	assert_null(cgroup_leaf_find(tree_root, "acme/web", 7001));
	put_process("7001", "0::/acme\n");
	assert_null(cgroup_leaf_find(tree_root, "acme/web", 7001));
	put_process("7001", "0::/\n");
	assert_null(cgroup_leaf_find(tree_root, "acme/web", 7001));
	put_process("7001", "3:memory:/stoker/acme/stk7\n");
	assert_null(cgroup_leaf_find(tree_root, "acme/web", 7001));
	put_process("7001", "0::/stoker/acme2/stk7\n");
	assert_null(cgroup_leaf_find(tree_root, "acme/web", 7001));
	assert_null(cgroup_leaf_find(tree_root, "acme/web", 7002));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_limits),	  TEST(test_fewer_controllers),
		TEST(test_weights),	  TEST(test_join),
		TEST(test_kill),	  TEST(test_leaf_of_an_unfinished_start),
		TEST(test_refused_limit), TEST(test_parent_is_gone),
		TEST(test_removal),	  TEST(test_disks),
		TEST(test_blame),	  TEST(test_adoption),
		TEST(test_no_vm_is_left), TEST(test_adoption_without_a_leaf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
