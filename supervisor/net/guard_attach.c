/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program on both sides of a tap: by TCX where the kernel has it, pinned, and by clsact
 * otherwise. Both go on guarding when the daemon is dead.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "net/guard_internal.h"
#include "net/tcx.h"

enum {
	CLSACT_HANDLE = 1,
	CLSACT_PRIORITY = 1, /* the first */
	TCX_ATTEMPTS = 200,
};

struct side {
	enum tcx_side tcx;
	enum bpf_tc_attach_point clsact;
	const char *suffix; /* of the pin */
	bool is_egress;
};

static const struct side sides[] = {
	{ TCX_SIDE_INGRESS, BPF_TC_INGRESS, "-in", false },
	{ TCX_SIDE_EGRESS, BPF_TC_EGRESS, "-out", true },
};

enum { SIDES = sizeof(sides) / sizeof(sides[0]) };

/* The pinned link's descriptor while it holds the device; -1: it does not. */
static int open_tcx(struct guard *guard, const char *tap, unsigned ifindex, const struct side *side)
{
	_cleanup_close_ int link = -1;
	char path[PIN_PATH_MAX];

	guard_pin_path(path, guard, tap, side->suffix);
	link = bpf_obj_get(path);
	return link >= 0 && tcx_is_attached(link, ifindex, side->tcx) ? take_fd(&link) : -1;
}

static bool reattach_tcx(struct guard *guard, const char *tap, unsigned ifindex,
			 const struct side *side)
{
	_cleanup_close_ int link = open_tcx(guard, tap, ifindex, side);

	return link >= 0 &&
	       bpf_link_update(link, guard_program_fd(guard, side->is_egress), NULL) == 0;
}

/* A link whose pin was taken away lets go of the program a moment later; until then the kernel
 * refuses to attach it a second time. */
static int attach_when_free(struct guard *guard, unsigned ifindex, const struct side *side)
{
	const struct timespec pause = { .tv_nsec = 5 * 1000 * 1000 };
	int link = -1;

	for (int i = 0; i < TCX_ATTEMPTS; i++) {
		link = tcx_attach(guard_program_fd(guard, side->is_egress), ifindex, side->tcx);
		if (link >= 0 || errno != EEXIST)
			break;
		nanosleep(&pause, NULL);
	}
	return link;
}

static int attach_tcx(struct guard *guard, const char *tap, unsigned ifindex,
		      const struct side *side, struct error *err)
{
	_cleanup_close_ int link = -1;
	char path[PIN_PATH_MAX];

	if (reattach_tcx(guard, tap, ifindex, side))
		return 0;
	guard_pin_path(path, guard, tap, side->suffix);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_errno(err, errno, "%s: unpin the former guard", path);
	link = attach_when_free(guard, ifindex, side);
	if (link < 0)
		return error_errno(err, errno, "tap '%s': attach the guard by TCX", tap);
	if (bpf_obj_pin(link, path) < 0)
		return error_errno(err, errno, "%s: pin the guard", path);
	return 0;
}

static int attach_clsact(struct guard *guard, const char *tap, unsigned ifindex,
			 const struct side *side, struct error *err)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = side->clsact);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY,
		    .prog_fd = guard_program_fd(guard, side->is_egress), .flags = BPF_TC_F_REPLACE);
	int result = bpf_tc_hook_create(&hook);

	if (result < 0 && result != -EEXIST)
		return error_errno(err, -result,
				   "tap '%s': add the clsact queue (the kernel needs "
				   "CONFIG_NET_SCH_INGRESS)",
				   tap);
	result = bpf_tc_attach(&hook, &options);
	if (result < 0)
		return error_errno(err, -result,
				   "tap '%s': attach the guard by clsact (the kernel needs "
				   "CONFIG_NET_CLS_BPF)",
				   tap);
	return 0;
}

int guard_attach(struct guard *guard, const char *tap, unsigned ifindex, struct error *err)
{
	for (size_t i = 0; i < SIDES; i++)
		if ((guard->has_tcx ? attach_tcx : attach_clsact)(guard, tap, ifindex, &sides[i],
								  err) < 0)
			return -1;
	return 0;
}

/* Is the program at our place one of ours, of whichever daemon? */
static bool has_clsact(unsigned ifindex, const struct side *side)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = side->clsact);
	LIBBPF_OPTS(bpf_tc_opts, options, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	const char *name = side->is_egress ? "guard_egress" : "guard_ingress";
	struct bpf_prog_info info = { 0 };
	uint32_t info_bytes = sizeof(info);
	_cleanup_close_ int program = -1;

	if (bpf_tc_query(&hook, &options) < 0)
		return false;
	program = bpf_prog_get_fd_by_id(options.prog_id);
	if (program < 0 || bpf_obj_get_info_by_fd(program, &info, &info_bytes) < 0)
		return false;
	return strncmp(info.name, name, sizeof(info.name)) == 0;
}

static bool reattach_clsact(struct guard *guard, const char *tap, unsigned ifindex,
			    const struct side *side)
{
	return has_clsact(ifindex, side) && attach_clsact(guard, tap, ifindex, side, NULL) == 0;
}

static bool is_side_attached(struct guard *guard, const char *tap, unsigned ifindex,
			     const struct side *side)
{
	_cleanup_close_ int link = -1;

	if (!guard->has_tcx)
		return has_clsact(ifindex, side);
	link = open_tcx(guard, tap, ifindex, side);
	return link >= 0;
}

bool guard_is_attached(struct guard *guard, const char *tap, unsigned ifindex)
{
	for (size_t i = 0; i < SIDES; i++)
		if (!is_side_attached(guard, tap, ifindex, &sides[i]))
			return false;
	return true;
}

bool guard_reattach(struct guard *guard, const char *tap, unsigned ifindex)
{
	for (size_t i = 0; i < SIDES; i++)
		if (!(guard->has_tcx ? reattach_tcx : reattach_clsact)(guard, tap, ifindex,
								       &sides[i]))
			return false;
	return true;
}

int guard_raise_shield(struct guard *guard, const char *tap, unsigned ifindex, int *ret_link,
		       struct error *err)
{
	int link = bpf_link_create(guard_shield_fd(guard), (int)ifindex, BPF_XDP, NULL);

	if (link < 0)
		return error_errno(err, errno, "tap '%s': attach the flood shield by XDP", tap);
	*ret_link = link;
	return 0;
}

int guard_rename(struct guard *guard, const char *from, const char *to, struct error *err)
{
	char old[PIN_PATH_MAX], new[PIN_PATH_MAX];

	for (size_t i = 0; i < SIDES; i++) {
		guard_pin_path(old, guard, from, sides[i].suffix);
		guard_pin_path(new, guard, to, sides[i].suffix);
		if (rename(old, new) < 0 && errno != ENOENT)
			return error_errno(err, errno, "%s: rename the pin", old);
	}
	return 0;
}

void guard_forget(struct guard *guard, const char *tap)
{
	char path[PIN_PATH_MAX];

	for (size_t i = 0; i < SIDES; i++) {
		guard_pin_path(path, guard, tap, sides[i].suffix);
		unlink(path);
	}
}

/* The tap of a link's pin, "" when the file is not one. */
static void pin_tap(const char *file, char tap[IF_NAMESIZE])
{
	tap[0] = '\0';
	for (size_t i = 0; i < SIDES; i++) {
		size_t length = strlen(file), tail = strlen(sides[i].suffix);

		if (length > tail && length - tail < IF_NAMESIZE &&
		    strcmp(file + length - tail, sides[i].suffix) == 0) {
			memcpy(tap, file, length - tail);
			tap[length - tail] = '\0';
		}
	}
}

static void cleanup_dir(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

int guard_sweep_pins(struct guard *guard, struct error *err)
{
	CLEANUP(cleanup_dir) DIR *directory = opendir(guard->bpf_dir);
	char tap[IF_NAMESIZE];
	struct dirent *entry;

	if (!directory)
		return error_errno(err, errno, "%s: open", guard->bpf_dir);
	while ((entry = readdir(directory))) {
		pin_tap(entry->d_name, tap);
		if (tap[0] && !if_nametoindex(tap))
			guard_forget(guard, tap);
	}
	return 0;
}
