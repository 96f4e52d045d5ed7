/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent group: where it is, that it holds no process itself, and which controllers it has. In
 * cgroup-v2.rst: "Delegation", "No Internal Process Constraint" and "Enabling and Disabling".
 */
#include "vmm/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"

#define UNIT_GROUP   "/system.slice/stoker-vms.service" /* config-examples/systemd */
#define LAST_RESORT  "/stoker"
#define SUPERVISOR   "_supervisor" /* no tenant's name has a '_' */
#define NO_HIERARCHY "no unified cgroup hierarchy (version 2) at " CGROUP_MOUNT

enum { FILE_MAX = 1 << 20, MOVE_ROUNDS = 16 };

static const char *const controllers[CGROUP_CONTROLLERS] = {
	[CGROUP_CPU] = "cpu",
	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
	[CGROUP_IO] = "io",
};

struct cgroup {
	char *root;	  /* owned, as are all strings */
	char *parent;	  /* NULL: no limits */
	char *path;	  /* of the parent in the file system */
	char *problem;	  /* NULL: none */
	unsigned enabled; /* bits of enum cgroup_controller */
};

/* --- controllers ----------------------------------------------------------------------------- */

static bool has_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = text; *at; at += strcspn(at, " \n")) {
		at += strspn(at, " \n");
		if (strcspn(at, " \n") == length && strncmp(at, word, length) == 0)
			return true;
	}
	return false;
}

/* The bits of the controllers that a file names. */
static unsigned read_controllers(const char *group, const char *file)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", group, file);
	_cleanup_strbuf_ struct strbuf text = { 0 };
	unsigned found = 0;

	if (fs_read(path, FILE_MAX, &text, NULL) < 0)
		return 0;
	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (has_word(strbuf_text(&text), controllers[i]))
			found |= 1U << i;
	return found;
}

/* The root of the hierarchy, which has no type, may have both processes and groups. In any other,
 * "cpu" and "pids" could be enabled beside processes, and would turn it into one of threads, for
 * which there is neither "memory" nor "io". */
static bool holds_processes(const char *group)
{
	_cleanup_free_ char *type = xasprintf("%s/cgroup.type", group);
	_cleanup_free_ char *procs = xasprintf("%s/cgroup.procs", group);
	_cleanup_strbuf_ struct strbuf pids = { 0 };

	return access(type, F_OK) == 0 && fs_read(procs, FILE_MAX, &pids, NULL) == 0 && pids.length;
}

/* One at a time: a write of several fails as a whole. */
unsigned cgroup_enable(const char *path, struct error *err)
{
	_cleanup_free_ char *file = xasprintf("%s/cgroup.subtree_control", path);
	unsigned missing = read_controllers(path, "cgroup.controllers") &
			   ~read_controllers(path, "cgroup.subtree_control");

	if (missing && holds_processes(path)) {
		error_set(err, "%s holds processes (move them into a group below it)", path);
		missing = 0;
	}
	for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
		char word[16];

		snprintf(word, sizeof(word), "+%s", controllers[i]);
		if (missing & 1U << i)
			fs_write_value(file, word, err);
	}
	return read_controllers(path, "cgroup.subtree_control");
}

/* Of the groups above the parent, those get a controller that the parent would lack otherwise. What
 * somebody else manages has them already when it was delegated to us. */
static void enable_above(const struct cgroup *cgroup)
{
	unsigned wanted = (1U << CGROUP_CONTROLLERS) - 1;

	for (const char *slash = cgroup->parent; slash; slash = strchr(slash + 1, '/')) {
		_cleanup_free_ char *path = xasprintf("%s" CGROUP_MOUNT "%.*s", cgroup->root,
						      (int)(slash - cgroup->parent),
						      cgroup->parent);

		if (read_controllers(cgroup->path, "cgroup.controllers") == wanted)
			return;
		cgroup_enable(path, NULL);
	}
}

/* --- processes in the parent itself ---------------------------------------------------------- */

/* Moves each process of one group into another; how many there were. */
static int move_processes(const char *from, const char *to, struct error *err)
{
	_cleanup_free_ char *source = xasprintf("%s/cgroup.procs", from);
	_cleanup_free_ char *target = xasprintf("%s/cgroup.procs", to);
	_cleanup_strbuf_ struct strbuf pids = { 0 };
	int count = 0;
	char *rest;

	if (fs_read(source, FILE_MAX, &pids, err) < 0)
		return -1;
	rest = pids.data;
	for (char *pid = strsep(&rest, "\n"); pid && *pid; pid = strsep(&rest, "\n")) {
		struct error why = { 0 };

		/* One that ended meanwhile is none of ours to move. */
		if (fs_write_value(target, pid, &why) < 0 && why.number != ESRCH)
			return error_set(err, "%s (move process %s elsewhere)", why.text, pid);
		count++;
	}
	return count;
}

/* Ourselves, or what holds the place for us, may have been started in the parent. */
static int make_way(const struct cgroup *cgroup, struct error *err)
{
	_cleanup_free_ char *aside = xasprintf("%s/" SUPERVISOR, cgroup->path);
	int count = 1;

	if (fs_mkdir_p(aside, 0755, err) < 0)
		return -1;
	for (int round = 0; count > 0 && round < MOVE_ROUNDS; round++)
		count = move_processes(cgroup->path, aside, err);
	if (count > 0)
		return error_set(err, "%s: gets new processes all the time (choose another group)",
				 cgroup->path);
	return count;
}

/* --- which group is the parent --------------------------------------------------------------- */

static bool is_marked(const char *path)
{
	static const char *const marks[] = { "trusted.delegate", "user.delegate" };

	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
		char value[8];
		ssize_t length = getxattr(path, marks[i], value, sizeof(value));

		if (length == 1 && value[0] == '1')
			return true;
	}
	return false;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *cgroup_of(const char *root, const char *process)
{
	_cleanup_free_ char *path = xasprintf("%s/proc/%s/cgroup", root, process);
	_cleanup_strbuf_ struct strbuf text = { 0 };
	char *rest, *found = NULL;

	if (fs_read(path, FILE_MAX, &text, NULL) < 0)
		return NULL;
	rest = text.data;
	for (char *line = strsep(&rest, "\n"); line && !found; line = strsep(&rest, "\n"))
		if (strncmp(line, "0::/", 4) == 0)
			found = xstrdup(line + 3);
	return found;
}

/* The group that was delegated to us, marked as systemd does (its CGROUP_DELEGATION.md): the one we
 * are in, or the one from which we were put aside. */
static char *own_group(const char *root)
{
	_cleanup_free_ char *group = cgroup_of(root, "self");
	_cleanup_free_ char *path = NULL;
	char *last = group ? strrchr(group, '/') : NULL;

	if (last && strcmp(last, "/" SUPERVISOR) == 0)
		*last = '\0';
	if (!group || strlen(group) < 2)
		return NULL;
	path = xasprintf("%s" CGROUP_MOUNT "%s", root, group);
	return is_marked(path) && access(path, W_OK) == 0 ? take_ptr(group) : NULL;
}

static char *choose_parent(const char *root, const char *setting)
{
	_cleanup_free_ char *unit = xasprintf("%s" CGROUP_MOUNT UNIT_GROUP, root);
	char *own;

	if (strcmp(setting, "auto") != 0)
		return xstrdup(setting);
	if (is_directory(unit))
		return xstrdup(UNIT_GROUP);
	own = own_group(root);
	return own ? own : xstrdup(LAST_RESORT);
}

/* --- life ------------------------------------------------------------------------------------ */

static char *list_missing(unsigned enabled)
{
	struct strbuf list = { 0 };

	for (int i = 0; i < CGROUP_CONTROLLERS; i++)
		if (!(enabled & 1U << i))
			strbuf_printf(&list, "%s%s", list.length ? ", " : "", controllers[i]);
	return strbuf_take(&list);
}

static int set_up(struct cgroup *cgroup, struct error *err)
{
	_cleanup_free_ char *hierarchy = xasprintf("%s" CGROUP_MOUNT "/cgroup.controllers",
						   cgroup->root);
	_cleanup_free_ char *missing = NULL;
	struct error why = { .text = "enable them in the groups above it" };

	if (access(hierarchy, F_OK) < 0)
		return error_set(err, NO_HIERARCHY
				 " (boot with systemd.unified_cgroup_hierarchy=1, or mount it "
				 "there)");
	if (fs_mkdir_p(cgroup->path, 0755, err) < 0)
		return -1;
	enable_above(cgroup);
	if (holds_processes(cgroup->path) && make_way(cgroup, err) < 0)
		return -1;
	cgroup->enabled = cgroup_enable(cgroup->path, &why);
	missing = list_missing(cgroup->enabled);
	if (!cgroup->enabled)
		return error_set(err, "%s: no controller can be enabled (%s)", cgroup->path,
				 why.text);
	if (*missing)
		cgroup->problem = xasprintf("cgroup %s lacks %s: VMs run without these limits (%s)",
					    cgroup->parent, missing, why.text);
	return 0;
}

int cgroup_open(const char *root, const struct settings *settings, struct cgroup **ret,
		struct error *err)
{
	const char *setting = settings->cgroup_parent;
	struct cgroup *cgroup = xcalloc(1, sizeof(*cgroup));
	struct error why = { 0 };

	cgroup->root = xstrdup(root);
	*ret = cgroup;
	if (strcmp(setting, "none") == 0)
		return 0;
	cgroup->parent = choose_parent(root, setting);
	cgroup->path = xasprintf("%s" CGROUP_MOUNT "%s", root, cgroup->parent);
	if (set_up(cgroup, &why) == 0)
		return 0;
	if (strcmp(setting, "auto") != 0) {
		*ret = cgroup_close(cgroup);
		error_set(err, "%s", why.text);
		return error_wrap(err, "[cgroup] parent = %s", setting);
	}
	free(cgroup->parent);
	cgroup->parent = NULL;
	cgroup->problem = xasprintf("VMs run without limits of the host: %s", why.text);
	return 0;
}

struct cgroup *cgroup_close(struct cgroup *cgroup)
{
	if (!cgroup)
		return NULL;
	free(cgroup->root);
	free(cgroup->parent);
	free(cgroup->path);
	free(cgroup->problem);
	free(cgroup);
	return NULL;
}

const char *cgroup_parent(const struct cgroup *cgroup)
{
	return cgroup->parent;
}

const char *cgroup_problem(const struct cgroup *cgroup)
{
	return cgroup->problem;
}

const char *cgroup_root(const struct cgroup *cgroup)
{
	return cgroup->root;
}

const char *cgroup_path(const struct cgroup *cgroup)
{
	return cgroup->path;
}

unsigned cgroup_controllers(const struct cgroup *cgroup)
{
	return cgroup->enabled;
}
