/* SPDX-License-Identifier: Apache-2.0 */
/* See jailer_cgroup.h. */
#include "tests/fakes/jailer_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "tests/fakes/os_error.h"

/* As the components of a path are told apart there: "." counts only in front. */
static bool leaves_its_place(const char *path)
{
	if (*path == '/' || !strcmp(path, ".") || !strncmp(path, "./", 2))
		return true;
	for (const char *at = path; *at; at += strcspn(at, "/"), at += *at == '/')
		if (!strncmp(at, "..", 2) && (at[2] == '/' || at[2] == '\0'))
			return true;
	return false;
}

static int find_root(const char **ret, struct error *err)
{
	static char path[PATH_MAX];
	FILE *mounts = setmntent("/proc/mounts", "re");
	const struct mntent *entry;

	*path = '\0';
	while (mounts && !*path && (entry = getmntent(mounts)))
		if (!strcmp(entry->mnt_type, "cgroup2"))
			snprintf(path, sizeof(path), "%s", entry->mnt_dir);
	if (mounts)
		endmntent(mounts);
	if (!*path)
		return error_set(err, "Hierarchy not found: No hierarchy found for this cgroup "
				      "version.");
	*ret = path;
	return 0;
}

/* One "file=value"; the controller is what stands before the dot. */
static int check_property(const char *root, const char *text, struct error *err)
{
	_cleanup_free_ char *file = xstrndup(text, strcspn(text, "="));
	_cleanup_free_ char *list = xasprintf("%s/cgroup.controllers", root);
	_cleanup_strbuf_ struct strbuf known = { 0 };
	const char *equals = strchr(text, '=');
	size_t length = strcspn(file, ".");

	if (!equals || strchr(equals + 1, '=') || !equals[1])
		return error_set(err, "Invalid format for cgroups: %s", text);
	if (leaves_its_place(file))
		return error_set(err, "Cgroup invalid file: %s", text);
	if (!file[length])
		return error_set(err, "Cgroup invalid file: %s", file);
	file[length] = '\0';
	if (fs_read(list, 4096, &known, NULL) == 0)
		for (char *word = strtok(known.data, " \n"); word; word = strtok(NULL, " \n"))
			if (!strcmp(word, file))
				return 0;
	return error_set(err, "Controller %s is unavailable", file);
}

/* --cgroup-version 2 without a --cgroup moves the process to a parent that exists. */
static int join_parent(const char *parent, struct error *err)
{
	_cleanup_free_ char *directory = NULL, *procs = NULL, *pid = xasprintf("%d", getpid());
	const char *root;

	if (find_root(&root, err) < 0)
		return -1;
	directory = xasprintf("%s/%s", root, parent);
	procs = xasprintf("%s/cgroup.procs", directory);
	if (access(directory, F_OK) < 0 || fs_write_value(procs, pid, NULL) == 0)
		return 0;
	return error_set(
		err,
		"Failed to move process to cgroup (%s): %s (os error %d).\nHint: If you "
		"intended to create a child cgroup under %s, pass any --cgroup parameters.",
		directory, strerror(errno), errno, directory);
}

/* One write, with the line feed that they write too. */
static int write_line(const char *path, const char *value, struct error *err)
{
	_cleanup_free_ char *line = xasprintf("%s\n", value);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	ssize_t n = fd < 0 ? -1 : write(fd, line, strlen(line));
	int number = errno;

	if (fd >= 0)
		close(fd);
	return n < 0 ? os_fault(err, number, "Failed to write to %s", path) : 0;
}

/* Enables the controller from the root down to `path`. */
static int enable_controller(const char *path, const char *controller, struct error *err)
{
	_cleanup_free_ char *file = xasprintf("%s/cgroup.subtree_control", path);
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	_cleanup_free_ char *value = xasprintf("+%s", controller);

	if (access(file, F_OK) < 0)
		return 0;
	if (*parent && enable_controller(parent, controller, err) < 0)
		return -1;
	return write_line(file, value, err);
}

int jail_cgroup_read(struct jail_cgroup *cgroup, const struct arg *properties, const char *parent,
		     const char *version, const char *id, struct error *err)
{
	const char *root;
	char *end;
	unsigned long number = strtoul(version, &end, 10);

	cgroup->properties = properties;
	if (leaves_its_place(parent))
		return error_set(err, "Parent cgroup path is invalid. Path should not be absolute "
				      "or contain '..' or '.'");
	if (end == version || *end || number > UINT8_MAX)
		return error_set(err, "%s is an invalid cgroup version specifier", version);
	if (!properties->count)
		return number == 2 ? join_parent(parent, err) : 0;
	if (number == 1)
		return error_set(err, "the fake knows cgroup v2 only");
	if (number != 2)
		return error_set(err, "Hierarchy not found: No hierarchy found for this cgroup "
				      "version.");
	if (find_root(&root, err) < 0)
		return -1;
	for (size_t i = 0; i < properties->count; i++)
		if (check_property(root, properties->values[i], err) < 0)
			return -1;
	snprintf(cgroup->path, sizeof(cgroup->path), "%s/%s/%s", root, parent, id);
	return 0;
}

int jail_cgroup_enter(const struct jail_cgroup *cgroup, struct error *err)
{
	const struct arg *properties = cgroup->properties;
	const char *slash = strrchr(cgroup->path, '/');
	_cleanup_free_ char *parent = xstrndup(cgroup->path,
					       slash ? (size_t)(slash - cgroup->path) : 0);
	_cleanup_free_ char *procs = xasprintf("%s/cgroup.procs", cgroup->path);
	_cleanup_free_ char *pid = xasprintf("%d", getpid());

	if (!*cgroup->path)
		return 0;
	if (fs_mkdir_p(cgroup->path, 0777, NULL) < 0)
		return os_fault(err, errno, "Failed to create directory %s", cgroup->path);
	for (size_t i = 0; i < properties->count; i++) {
		const char *text = properties->values[i], *equals = strchr(text, '=');
		_cleanup_free_ char *controller = xstrndup(text, strcspn(text, "."));
		_cleanup_free_ char *file = xasprintf("%s/%.*s", cgroup->path, (int)(equals - text),
						      text);

		if (enable_controller(parent, controller, err) < 0 ||
		    write_line(file, equals + 1, err) < 0)
			return -1;
	}
	return write_line(procs, pid, err);
}
