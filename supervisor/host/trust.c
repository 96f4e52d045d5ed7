/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of what the daemon reads, writes and hands out, for host.c: directories and a guest kernel
 * that only root may change, user ids that nobody else has.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "host/checks.h"

enum { LINKS_MAX = 40 };

/* --- who may change a file --------------------------------------------------------------------
 */

static int judge_file(const struct host *host, const char *path, const struct stat *stat,
		      struct findings *found)
{
	_cleanup_free_ char *remedy = NULL;

	if (stat->st_uid != host->trusted_uid) {
		remedy = xasprintf("chown root:root %s", path);
		find(found, GRADE_BAD, remedy, "%s belongs to user %u", path, stat->st_uid);
		return -1;
	}
	if (stat->st_mode & (S_IWGRP | S_IWOTH)) {
		remedy = xasprintf("chmod go-w %s", path);
		find(found, GRADE_BAD, remedy, "%s can be written by %s (mode %04o)", path,
		     stat->st_mode & S_IWOTH ? "everyone" : "its group", stat->st_mode & 07777);
		return -1;
	}
	return 0;
}

/* Puts the link's target before what is left of the path; *at becomes the directory it starts in.
 */
static int follow(const char *real, char **at, char **rest)
{
	char target[PATH_MAX];
	ssize_t length = readlink(real, target, sizeof(target) - 1);
	char *joined;

	if (length < 0)
		return -1;
	target[length] = '\0';
	joined = xasprintf("%s/%s", target, *rest);
	if (target[0] == '/')
		(*at)[0] = '\0';
	free(*rest);
	*rest = joined;
	return 0;
}

/* The next component of *rest, the caller's; NULL at the end. */
static char *take_component(char **rest)
{
	const char *start = *rest + strspn(*rest, "/");
	size_t length = strcspn(start, "/");
	char *component = length ? xstrndup(start, length) : NULL;
	char *left = xstrdup(start + length);

	free(*rest);
	*rest = left;
	return component;
}

static int find_missing(const char *path, const char *remedy, struct findings *found)
{
	if (!remedy)
		return 0;
	find(found, GRADE_BAD, remedy, "%s: %s", path, strerror(errno));
	return -1;
}

int find_distrust(const struct host *host, const char *path, const char *missing_remedy,
		  struct findings *found)
{
	_cleanup_free_ char *at = xstrdup(""), *rest = xstrdup(path);
	int links = 0;

	for (;;) {
		_cleanup_free_ char *component = take_component(&rest);
		_cleanup_free_ char *next = NULL, *real = NULL;
		struct stat stat;

		if (!component)
			return 0;
		if (strcmp(component, ".") == 0)
			continue;
		if (strcmp(component, "..") == 0) {
			if (*at)
				*strrchr(at, '/') = '\0';
			continue;
		}
		next = xasprintf("%s/%s", at, component);
		real = xasprintf("%s%s", host->root, next);
		if (lstat(real, &stat) < 0)
			return find_missing(path, missing_remedy, found);
		if (S_ISLNK(stat.st_mode)) {
			errno = ELOOP;
			if (++links > LINKS_MAX || follow(real, &at, &rest) < 0)
				return find_missing(path, "replace the symbolic link", found);
			continue;
		}
		if (judge_file(host, next, &stat, found) < 0)
			return -1;
		free(at);
		at = take_ptr(next);
	}
}

/* --- the guests' kernel -----------------------------------------------------------------------
 */

static void cleanup_dir(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* As `kernel = auto` finds it: the image in /boot or beside its modules; the caller's. */
static char *find_image(const struct host *host, const char *version)
{
	_cleanup_free_ char *dep = xasprintf("/lib/modules/%s/modules.dep", version);
	_cleanup_free_ char *in_boot = xasprintf("/boot/vmlinuz-%s", version);
	_cleanup_free_ char *in_modules = xasprintf("/lib/modules/%s/vmlinuz", version);

	if (!host_has(host, dep))
		return NULL;
	if (host_has(host, in_boot))
		return take_ptr(in_boot);
	return host_has(host, in_modules) ? take_ptr(in_modules) : NULL;
}

/* Kernels made for clouds first, then the newest. */
static bool is_better(const char *version, const char *than)
{
	bool is_cloud = strstr(version, "-cloud-");

	if (!than || is_cloud != (strstr(than, "-cloud-") != NULL))
		return !than || is_cloud;
	return strverscmp(version, than) > 0;
}

static char *find_newest(const struct host *host)
{
	_cleanup_free_ char *modules = xasprintf("%s/lib/modules", host->root);
	CLEANUP(cleanup_dir) DIR *directory = opendir(modules);
	_cleanup_free_ char *best = NULL;
	const struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		_cleanup_free_ char *image = NULL;

		if (entry->d_name[0] == '.' || !(image = find_image(host, entry->d_name)))
			continue;
		if (!is_better(entry->d_name, best))
			continue;
		free(best);
		best = xstrdup(entry->d_name);
	}
	return best ? find_image(host, best) : NULL;
}

void check_guest_kernel(const struct host *host, struct findings *found)
{
	const char *choice = host->settings->default_kernel;
	_cleanup_free_ char *path = strcmp(choice, "auto") == 0 ? find_newest(host)
								: xstrdup(choice);

	if (!path)
		find(found, GRADE_BAD,
		     "apt-get install linux-image-cloud-amd64, or set kernel in [vm]",
		     "no /boot/vmlinuz-* that has its modules in /lib/modules");
	else if (find_distrust(host, path, "set kernel in [vm] to a kernel, or to auto", found) ==
		 0)
		find_ok(found, "%s", path);
}

/* --- directories, ids --------------------------------------------------------------------------
 */

void check_directories(const struct host *host, struct findings *found)
{
	const struct settings *settings = host->settings;
	const char *const paths[] = { settings->fleet_dir, settings->state_dir, settings->run_dir,
				      settings->log_dir };
	int result = 0;

	/* What is not there yet stokerd makes; its parents are judged all the same. */
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		result |= find_distrust(host, paths[i], NULL, found);
	if (result == 0)
		find_ok(found, "manifests, state, run and log directories are root's");
}

/* The number after `colons` colons; -1 when the line has none there. */
static long long field_number(const char *line, size_t colons)
{
	char *end;
	long long number;

	for (; colons && line; colons--)
		if ((line = strchr(line, ':')))
			line++;
	if (!line || *line < '0' || *line > '9')
		return -1;
	number = strtoll(line, &end, 10);
	return *end == ':' || !*end ? number : -1;
}

/* Looks for NAME:..:FIRST lines (and how many follow) that lie among the ids of VMs. */
static int find_overlap(const struct host *host, const char *path, size_t first_field,
			size_t count_field, struct findings *found)
{
	long long base = host->settings->uid_base, end = base + host->settings->uid_count;
	_cleanup_strbuf_ struct strbuf text = { 0 };
	char *save = NULL;

	host_read(host, path, &text);
	for (char *line = text.data ? strtok_r(text.data, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		long long first = field_number(line, first_field);
		long long count = count_field ? field_number(line, count_field) : 1;

		if (first < 0 || count <= 0 || first >= end || count <= base - first)
			continue;
		find(found, GRADE_BAD, "set uid_base in [daemon] to a range that is free",
		     "%s: '%.*s' has ids among %lld to %lld, which VMs get", path,
		     (int)strcspn(line, ":"), line, base, end - 1);
		return -1;
	}
	return 0;
}

void check_uids(const struct host *host, struct findings *found)
{
	int result = find_overlap(host, "/etc/passwd", 2, 0, found);

	result |= find_overlap(host, "/etc/subuid", 1, 2, found);
	if (result == 0)
		find_ok(found, "%u to %u are free for VMs", host->settings->uid_base,
			host->settings->uid_base + host->settings->uid_count - 1);
}
