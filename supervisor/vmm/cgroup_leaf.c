/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One VM's leaf: made and filled before its process is there, asked why it ended, removed. The
 * files are those of cgroup-v2.rst, "Controllers".
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "vmm/cgroup.h"

enum {
	PERIOD_US = 100000,
	/* What the VMM's own threads (disks, network, console) may use beside the guest's CPUs.
	 * From the same purse, they would stop for the rest of each period in which the guest has
	 * computed on all of its CPUs. */
	OWN_THREADS_US = 25000,
	WEIGHT_PER_CPU = 100, /* the default of one group */
	WEIGHT_MAX = 10000,
	FILE_MAX = 64 << 10,
	REMOVE_TRIES = 50, /* of a group whose last process was just killed */
	REMOVE_WAIT_MS = 2,
};

struct cgroup_leaf {
	char *root; /* owned, as is the rest: "" outside of tests */
	char *tenant_path;
	char *path;
};

static void cleanup_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* --- files of a group ------------------------------------------------------------------------ */

static int put(const char *group, const char *file, const char *value, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", group, file);

	return fs_write_value(path, value, err);
}

static int put_number(const char *group, const char *file, uint64_t value, struct error *err)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	return put(group, file, text, err);
}

/* Files that a kernel may lack: swap accounting can be off, and the others came one by one. */
static int put_if_there(const char *group, const char *file, const char *value, struct error *err)
{
	struct error why = { 0 };

	if (put(group, file, value, &why) == 0 || why.number == ENOENT)
		return 0;
	if (err)
		*err = why;
	return -1;
}

/* The number behind `key` in a file of "KEY NUMBER" lines, or the file's only number when `key` is
 * "". 0 when there is none, as with "max". */
static uint64_t get(const char *group, const char *file, const char *key)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", group, file);
	_cleanup_strbuf_ struct strbuf text = { 0 };
	size_t length = strlen(key);
	char *rest;

	if (fs_read(path, FILE_MAX, &text, NULL) < 0)
		return 0;
	rest = text.data;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		if (strncmp(line, key, length) == 0 && (!length || line[length] == ' '))
			return strtoull(line + length, NULL, 10);
	return 0;
}

/* --- making ---------------------------------------------------------------------------------- */

/* Each CPU of a guest weighs the same, whoever's it is: a tenant's group weighs what its leaves do
 * together. */
static void weigh_tenant(const char *tenant_path)
{
	CLEANUP(cleanup_dir) DIR *dir = opendir(tenant_path);
	uint64_t weight = 0;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *leaf = xasprintf("%s/%s", tenant_path, entry->d_name);

		if (entry->d_name[0] != '.' && entry->d_type == DT_DIR)
			weight += get(leaf, "cpu.weight", "");
	}
	if (weight)
		put_number(tenant_path, "cpu.weight", weight < WEIGHT_MAX ? weight : WEIGHT_MAX,
			   NULL);
}

static int limit_memory(const char *leaf, const struct cgroup_limits *limits, struct error *err)
{
	if (put_number(leaf, "memory.max", limits->memory_bytes, err) < 0)
		return -1;
	/* A guest's memory has no business on a disk of the host; and one thread of a VMM cannot go
	 * on without the others. */
	if (put_if_there(leaf, "memory.swap.max", "0", err) < 0)
		return -1;
	return put_if_there(leaf, "memory.oom.group", "1", err);
}

static int limit_cpu(const char *leaf, const struct cgroup_limits *limits, struct error *err)
{
	uint64_t weight = (uint64_t)limits->cpus * WEIGHT_PER_CPU;
	char quota[48];

	snprintf(quota, sizeof(quota), "%" PRIu64 " %d",
		 (uint64_t)limits->cpus * PERIOD_US + OWN_THREADS_US, PERIOD_US);
	if (put(leaf, "cpu.max", quota, err) < 0)
		return -1;
	return put_number(leaf, "cpu.weight", weight < WEIGHT_MAX ? weight : WEIGHT_MAX, err);
}

static int fill(const char *leaf, unsigned enabled, const struct cgroup_limits *limits,
		struct error *err)
{
	if (enabled & 1U << CGROUP_MEMORY && limit_memory(leaf, limits, err) < 0)
		return -1;
	if (enabled & 1U << CGROUP_CPU && limit_cpu(leaf, limits, err) < 0)
		return -1;
	if (enabled & 1U << CGROUP_PIDS &&
	    put_number(leaf, "pids.max", limits->threads_max, err) < 0)
		return -1;
	return 0;
}

static int remove_group(const char *path, struct error *err)
{
	static const struct timespec pause = { .tv_nsec = REMOVE_WAIT_MS * 1000000L };

	for (int try = 0; try < REMOVE_TRIES; try++) {
		if (rmdir(path) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY)
			break;
		put(path, "cgroup.kill", "1", NULL); /* since Linux 5.14 */
		nanosleep(&pause, NULL);
	}
	return error_errno(err, errno, "%s: cannot remove", path);
}

static int make_tenant(const char *path, unsigned wanted, struct error *err)
{
	struct error why = { 0 };
	int result = mkdir(path, 0755);

	if (result < 0 && errno == ENOENT)
		return error_set(err,
				 "%s: the group above it is gone (restart stoker-vms.service, or "
				 "stokerd where there is none)",
				 path);
	if (result < 0 && errno != EEXIST)
		return error_errno(err, errno, "%s: cannot create", path);
	if ((cgroup_enable(path, &why) & wanted) != wanted)
		return error_set(err, "%s: cannot enable its controllers: %s", path, why.text);
	return 0;
}

static int make_leaf(const char *path, struct error *err)
{
	if (mkdir(path, 0755) == 0)
		return 0;
	if (errno != EEXIST)
		return error_errno(err, errno, "%s: cannot create", path);
	if (remove_group(path, err) < 0)
		return -1;
	if (mkdir(path, 0755) < 0)
		return error_errno(err, errno, "%s: cannot create", path);
	return 0;
}

/* On an error on the way: nothing is in it yet. */
static void discard(struct cgroup_leaf *leaf)
{
	rmdir(leaf->path);
	if (rmdir(leaf->tenant_path) < 0)
		weigh_tenant(leaf->tenant_path);
	cgroup_leaf_free(leaf);
}

int cgroup_leaf_make(const struct cgroup *cgroup, const struct cgroup_limits *limits,
		     struct cgroup_leaf **ret, struct error *err)
{
	struct cgroup_leaf *leaf;
	unsigned wanted;

	*ret = NULL;
	if (!cgroup || !cgroup_parent(cgroup))
		return 0;
	wanted = cgroup_controllers(cgroup);
	leaf = xcalloc(1, sizeof(*leaf));
	leaf->root = xstrdup(cgroup_root(cgroup));
	leaf->tenant_path = xasprintf("%s/%s", cgroup_path(cgroup), limits->tenant);
	leaf->path = xasprintf("%s/%s", leaf->tenant_path, limits->id);
	if (make_tenant(leaf->tenant_path, wanted, err) < 0 || make_leaf(leaf->path, err) < 0 ||
	    fill(leaf->path, wanted, limits, err) < 0) {
		discard(leaf);
		return -1;
	}
	if (wanted & 1U << CGROUP_CPU)
		weigh_tenant(leaf->tenant_path);
	*ret = leaf;
	return 0;
}

struct cgroup_leaf *cgroup_leaf_find(const char *root, const char *name, pid_t pid)
{
	_cleanup_free_ char *process = xasprintf("%d", (int)pid);
	_cleanup_free_ char *group = cgroup_of(root, process);
	char *last = group ? strrchr(group, '/') : NULL;
	size_t tenant = strcspn(name, "/");
	struct cgroup_leaf *leaf;
	char *above;

	/* .../TENANT/ID */
	if (!last || last == group)
		return NULL;
	*last = '\0';
	above = strrchr(group, '/') + 1;
	if (strlen(above) != tenant || strncmp(above, name, tenant) != 0)
		return NULL;
	leaf = xcalloc(1, sizeof(*leaf));
	leaf->root = xstrdup(root);
	leaf->tenant_path = xasprintf("%s" CGROUP_MOUNT "%s", root, group);
	leaf->path = xasprintf("%s/%s", leaf->tenant_path, last + 1);
	return leaf;
}

int cgroup_leaf_join(const struct cgroup_leaf *leaf, struct error *err)
{
	return leaf ? put(leaf->path, "cgroup.procs", "0", err) : 0;
}

/* --- disks ----------------------------------------------------------------------------------- */

/* "8:0": limits are those of a whole disk, also when the file system is on one of its partitions,
 * Documentation/ABI/testing/sysfs-block of the kernel. -1: there is no disk. */
static int find_disk(const char *root, dev_t device, struct strbuf *ret)
{
	_cleanup_free_ char *directory = xasprintf("%s/sys/dev/block/%u:%u", root, major(device),
						   minor(device));
	_cleanup_free_ char *partition = xasprintf("%s/partition", directory);
	_cleanup_free_ char *number = xasprintf("%s/%s", directory,
						access(partition, F_OK) == 0 ? "../dev" : "dev");

	if (fs_read(number, FILE_MAX, ret, NULL) < 0 || ret->length < 2)
		return -1;
	ret->data[--ret->length] = '\0'; /* the newline */
	return 0;
}

static void add_limit(struct strbuf *line, const char *reads, const char *writes, uint64_t limit)
{
	if (limit)
		strbuf_printf(line, " %s=%" PRIu64 " %s=%" PRIu64, reads, limit, writes, limit);
	else
		strbuf_printf(line, " %s=max %s=max", reads, writes);
}

int cgroup_leaf_limit_io(const struct cgroup_leaf *leaf, dev_t device, uint64_t bandwidth,
			 uint64_t iops, struct error *err)
{
	_cleanup_strbuf_ struct strbuf line = { 0 };

	if (!leaf || find_disk(leaf->root, device, &line) < 0)
		return 0;
	add_limit(&line, "rbps", "wbps", bandwidth);
	add_limit(&line, "riops", "wiops", iops);
	return put_if_there(leaf->path, "io.max", strbuf_text(&line), err);
}

int cgroup_leaf_limit_disks(const struct cgroup_leaf *leaf, const struct settings *settings,
			    const struct vmm_limits *limits, struct error *err)
{
	struct stat st;

	if (!leaf)
		return 0;
	if (stat(settings->state_dir, &st) < 0)
		return error_errno(err, errno, "%s: cannot inspect", settings->state_dir);
	return cgroup_leaf_limit_io(leaf, st.st_dev, limits->disk_bandwidth, limits->disk_iops,
				    err);
}

/* Per CPU of the guest: a thread's stack, its registers, QEMU's jump cache. A part of the guest's
 * memory: its page tables and KVM's, 1/512 each, and KVM's reverse map. */
enum { CPU_BYTES = 2 << 20, PAGE_TABLES = 64 };

int cgroup_leaf_start(const struct vmm_config *config, const struct settings *settings,
		      const struct cgroup_needs *needs, struct cgroup_leaf **ret, struct error *err)
{
	const struct cgroup_limits limits = {
		.tenant = config->tenant,
		.id = config->id,
		.memory_bytes = config->memory_bytes + config->memory_bytes / PAGE_TABLES +
				needs->memory_bytes + (uint64_t)config->cpus * CPU_BYTES,
		.cpus = config->cpus,
		.threads_max = config->cpus + needs->threads,
	};

	if (cgroup_leaf_make(config->cgroup, &limits, ret, err))
		return -1;
	return cgroup_leaf_limit_disks(*ret, settings, &config->limits, err);
}

/* --- the end --------------------------------------------------------------------------------- */

void cgroup_leaf_kill(const struct cgroup_leaf *leaf)
{
	if (leaf)
		put(leaf->path, "cgroup.kill", "1", NULL);
}

static void blame_memory(const struct cgroup_leaf *leaf, struct vmm_exit *exit)
{
	uint64_t limit = get(leaf->path, "memory.max", "");

	exit->reason = REASON_VMM_KILLED;
	exit->exit_signal = SIGKILL;
	/* "oom": the group was at its own limit. Else the kernel chose it when all memory was gone.
	 */
	if (get(leaf->path, "memory.events", "oom"))
		snprintf(exit->detail, sizeof(exit->detail),
			 "killed by the host: out of memory in its cgroup (memory.max %" PRIu64
			 " MiB)",
			 limit >> 20);
	else
		snprintf(exit->detail, sizeof(exit->detail),
			 "killed by the host, which is out of memory");
}

static void blame_threads(const struct cgroup_leaf *leaf, uint64_t refused, struct vmm_exit *exit)
{
	size_t used = strlen(exit->detail);

	snprintf(exit->detail + used, sizeof(exit->detail) - used,
		 "; the host refused it a thread %" PRIu64 " times (pids.max %" PRIu64 ")", refused,
		 get(leaf->path, "pids.max", ""));
}

void cgroup_leaf_blame(const struct cgroup_leaf *leaf, struct vmm_exit *exit)
{
	uint64_t refused;

	if (!leaf || (exit->reason != REASON_VMM_KILLED && exit->reason != REASON_VMM_CRASHED))
		return;
	if (get(leaf->path, "memory.events", "oom_kill")) {
		blame_memory(leaf, exit);
		return;
	}
	refused = get(leaf->path, "pids.events", "max");
	if (refused && exit->reason == REASON_VMM_CRASHED)
		blame_threads(leaf, refused, exit);
}

int cgroup_leaf_remove(struct cgroup_leaf *leaf, struct error *err)
{
	int result;

	if (!leaf)
		return 0;
	result = remove_group(leaf->path, err);
	if (rmdir(leaf->tenant_path) < 0)
		weigh_tenant(leaf->tenant_path);
	cgroup_leaf_free(leaf);
	return result;
}

struct cgroup_leaf *cgroup_leaf_free(struct cgroup_leaf *leaf)
{
	if (!leaf)
		return NULL;
	free(leaf->root);
	free(leaf->tenant_path);
	free(leaf->path);
	free(leaf);
	return NULL;
}

/* --- what is left over ----------------------------------------------------------------------- */

/* Tenants and ids; not the groups of a service manager, nor the one in which the daemon is. */
static bool is_name(const char *text)
{
	return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

/* Tries each group in the one at `path`; one in which something runs stays by itself. */
static void remove_empty(const char *path, bool is_parent)
{
	CLEANUP(cleanup_dir) DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *group = xasprintf("%s/%s", path, entry->d_name);

		if (entry->d_type != DT_DIR || !is_name(entry->d_name))
			continue;
		if (is_parent)
			remove_empty(group, false);
		rmdir(group);
	}
}

void cgroup_sweep(const struct cgroup *cgroup)
{
	if (cgroup && cgroup_parent(cgroup))
		remove_empty(cgroup_path(cgroup), true);
}

void cgroup_clear(const struct cgroup *cgroup)
{
	cgroup_sweep(cgroup);
	if (cgroup && cgroup_parent(cgroup))
		rmdir(cgroup_path(cgroup));
}
