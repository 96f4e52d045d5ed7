/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup2 hierarchy made of plain files, for test_cgroup.c: mkdir, rmdir and fs_write_value are
 * wrapped by the linker (Makefile) and do below tree_mount what the kernel does, as
 * Documentation/admin-guide/cgroup-v2.rst says: a new group gets the files of the controllers that
 * the group above enables; beside processes only controllers of threads can be enabled, and then no
 * others, nor can its new groups have processes; a busy group cannot be removed.
 */
#ifndef STOKER_TESTS_CGROUP_TREE_H
#define STOKER_TESTS_CGROUP_TREE_H

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __real_rmdir(const char *path);
int __wrap_rmdir(const char *path);
int __real_fs_write_value(const char *path, const char *value, struct error *err);
int __wrap_fs_write_value(const char *path, const char *value, struct error *err);

#define TREE_ENDED "404" /* a process that ends when it is to be moved */

static char tree_root[64];
static char tree_mount[96];
static const char *tree_refused;    /* a file's name: writing it fails with EINVAL */
static unsigned tree_removal_tries; /* this many rmdirs fail, as when a process is still ending */

static const struct tree_file {
	const char *controller, *name, *content;
} tree_files[] = {
	{ "", "cgroup.type", "domain\n" }, /* not of the root */
	{ "", "cgroup.subtree_control", "" },
	{ "", "cgroup.procs", "" },
	{ "", "cgroup.kill", "" },
	{ "cpu", "cpu.max", "max 100000\n" },
	{ "cpu", "cpu.weight", "100\n" },
	{ "memory", "memory.max", "max\n" },
	{ "memory", "memory.swap.max", "max\n" },
	{ "memory", "memory.oom.group", "0\n" },
	{ "memory", "memory.events",
	  "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n" },
	{ "pids", "pids.max", "max\n" },
	{ "pids", "pids.events", "max 0\n" },
	{ "io", "io.max", "" },
};

static bool tree_has(const char *path)
{
	return *tree_mount && strncmp(path, tree_mount, strlen(tree_mount)) == 0;
}

static char *tree_read(const char *group, const char *file)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", group, file);
	struct strbuf text = { 0 };

	fs_read(path, 1 << 16, &text, NULL);
	return strbuf_take(&text);
}

static void tree_put(const char *group, const char *file, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", group, file);
	_cleanup_fclose_ FILE *out = fopen(path, "we");

	assert_non_null(out);
	fputs(text, out);
}

static bool tree_is_group(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Calls `fn` for each group directly below. */
static void tree_each(const char *group, void (*fn)(const char *child, const char *argument),
		      const char *argument)
{
	DIR *dir = opendir(group);
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *child = xasprintf("%s/%s", group, entry->d_name);

		if (entry->d_name[0] != '.' && tree_is_group(child))
			fn(child, argument);
	}
	closedir(dir);
}

/* The files of one controller ("" for the core) that a group does not have yet. */
static void tree_add_files(const char *group, const char *controller)
{
	for (size_t i = 0; i < sizeof(tree_files) / sizeof(*tree_files); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", group, tree_files[i].name);

		if (strcmp(tree_files[i].controller, controller) == 0 && access(path, F_OK) < 0)
			tree_put(group, tree_files[i].name, tree_files[i].content);
	}
}

static void tree_offer(const char *group, const char *controller)
{
	_cleanup_free_ char *before = tree_read(group, "cgroup.controllers");
	_cleanup_free_ char *after = NULL;

	before[strcspn(before, "\n")] = '\0';
	after = xasprintf("%s%s%s\n", before, *before ? " " : "", controller);
	tree_put(group, "cgroup.controllers", after);
	tree_add_files(group, controller);
}

/* A path below the mount; valid until the next call but three. */
static const char *tree_at(const char *group)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(*paths), "%s%s", tree_mount, group);
	return path;
}

/* --- what the kernel does -------------------------------------------------------------------- */

int __wrap_mkdir(const char *path, mode_t mode)
{
	_cleanup_free_ char *above = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	_cleanup_free_ char *enabled = NULL;
	int result = __real_mkdir(path, mode);

	if (result < 0 || !tree_has(above))
		return result;
	tree_put(path, "cgroup.controllers", "");
	tree_add_files(path, "");
	enabled = tree_read(above, "cgroup.type");
	if (strcmp(enabled, "domain threaded\n") == 0)
		tree_put(path, "cgroup.type", "domain invalid\n");
	free(enabled);
	enabled = tree_read(above, "cgroup.subtree_control");
	for (char *word = strtok(enabled, " \n"); word; word = strtok(NULL, " \n"))
		tree_offer(path, word);
	return 0;
}

static unsigned tree_children;

static void tree_count(const char *child, const char *argument)
{
	(void)child;
	(void)argument;
	tree_children++;
}

int __wrap_rmdir(const char *path)
{
	_cleanup_free_ char *procs = NULL;

	if (!tree_has(path) || strcmp(path, tree_mount) == 0 || !tree_is_group(path))
		return __real_rmdir(path);
	procs = tree_read(path, "cgroup.procs");
	tree_children = 0;
	tree_each(path, tree_count, NULL);
	if (*procs || tree_children || tree_removal_tries) {
		tree_removal_tries -= tree_removal_tries > 0;
		errno = EBUSY;
		return -1;
	}
	for (size_t i = 0; i < sizeof(tree_files) / sizeof(*tree_files); i++) {
		_cleanup_free_ char *file = xasprintf("%s/%s", path, tree_files[i].name);

		unlink(file);
	}
	free(procs);
	procs = xasprintf("%s/cgroup.controllers", path);
	unlink(procs);
	return __real_rmdir(path);
}

static void tree_forget(const char *group, const char *pid)
{
	_cleanup_free_ char *before = tree_read(group, "cgroup.procs");
	_cleanup_strbuf_ struct strbuf after = { 0 };
	char *rest = before;

	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		if (*line && strcmp(line, pid) != 0)
			strbuf_printf(&after, "%s\n", line);
	tree_put(group, "cgroup.procs", strbuf_text(&after));
	tree_each(group, tree_forget, pid);
}

static int tree_write(const char *group, const char *file, const char *value)
{
	_cleanup_free_ char *procs = tree_read(group, "cgroup.procs");
	_cleanup_free_ char *enabled = tree_read(group, "cgroup.subtree_control");
	_cleanup_free_ char *available = tree_read(group, "cgroup.controllers");
	_cleanup_free_ char *type = tree_read(group, "cgroup.type");
	_cleanup_free_ char *text = NULL;
	bool is_root = strcmp(group, tree_mount) == 0;
	char pid[16];

	if (tree_refused && strcmp(file, tree_refused) == 0)
		return EINVAL;
	if (strcmp(file, "cgroup.subtree_control") == 0) {
		if (value[0] != '+' || !strstr(available, value + 1))
			return ENOENT;
		if (*procs && !is_root && (value[1] == 'm' || value[1] == 'i'))
			return strcmp(type, "domain\n") == 0 ? EBUSY : EOPNOTSUPP;
		if (*procs && !is_root)
			tree_put(group, "cgroup.type", "domain threaded\n");
		enabled[strcspn(enabled, "\n")] = '\0';
		text = xasprintf("%s%s%s\n", enabled, *enabled ? " " : "", value + 1);
		tree_each(group, tree_offer, value + 1);
	} else if (strcmp(file, "cgroup.procs") == 0) {
		if (strcmp(value, TREE_ENDED) == 0) {
			tree_forget(tree_mount, value);
			return ESRCH;
		}
		if (strcmp(type, "domain invalid\n") == 0)
			return EOPNOTSUPP;
		if (*enabled && !is_root)
			return EBUSY;
		snprintf(pid, sizeof(pid), "%d", (int)getpid());
		if (strcmp(value, "0") != 0)
			snprintf(pid, sizeof(pid), "%s", value);
		tree_forget(tree_mount, pid);
		free(procs);
		procs = tree_read(group, "cgroup.procs");
		text = xasprintf("%s%s\n", procs, pid);
	} else if (strcmp(file, "cgroup.kill") == 0) {
		tree_put(group, "cgroup.procs", "");
		text = xasprintf("%s\n", value);
	} else {
		text = xasprintf("%s\n", value);
	}
	tree_put(group, file, text);
	return 0;
}

int __wrap_fs_write_value(const char *path, const char *value, struct error *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *group = xstrndup(path, (size_t)(slash - path));
	int number;

	if (!tree_has(path) || access(path, F_OK) < 0)
		return __real_fs_write_value(path, value, err);
	number = tree_write(group, slash + 1, value);
	return number ? error_errno(err, number, "%s: cannot write '%s'", path, value) : 0;
}

/* --- for tests ------------------------------------------------------------------------------- */

/* A hierarchy of which only the root is there, and a /proc/self/cgroup that says "/". */
static void tree_make(const char *available)
{
	_cleanup_free_ char *proc = NULL;

	strcpy(tree_root, "/tmp/stoker-cgroup-XXXXXX");
	assert_non_null(mkdtemp(tree_root));
	snprintf(tree_mount, sizeof(tree_mount), "%s/sys/fs/cgroup", tree_root);
	assert_int_equal(fs_mkdir_p(tree_mount, 0755, NULL), 0);
	tree_put(tree_mount, "cgroup.controllers", available);
	tree_add_files(tree_mount, "");
	unlink(tree_at("/cgroup.type"));
	proc = xasprintf("%s/proc/self", tree_root);
	assert_int_equal(fs_mkdir_p(proc, 0755, NULL), 0);
	tree_put(proc, "cgroup", "0::/\n");
	tree_refused = NULL;
	tree_removal_tries = 0;
}

static void tree_drop(void)
{
	tree_mount[0] = '\0';
	assert_int_equal(fs_remove_tree(tree_root, NULL), 0);
}

#endif
