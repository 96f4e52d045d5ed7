/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c drives this: load, fill, attach, count. The maps' layout is bpf/guard.h; the skeleton is
 * made from bpf/guard.bpf.c. Attaching is TCX where the kernel has it, clsact otherwise; both go on
 * guarding when the daemon is dead.
 */
#include "net/guard.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "guard.skel.h"
#include "net/tcx.h"

_Static_assert((int)GUARD_REASON_COUNT <= (int)GUARD_REASONS_MAX, "a reason without a counter");

enum {
	BPFFS_MAGIC = 0xcafe4a11,
	PIN_PATH_MAX = 512,
	LIBBPF_TEXT_MAX = 256,
	CLSACT_HANDLE = 1,
	CLSACT_PRIORITY = 1, /* the first */
	TCX_ATTEMPTS = 200,
};

struct guard {
	char *bpf_dir;		    /* owned */
	struct guard_bpf *skeleton; /* owned */
	bool has_tcx;
};

/* libbpf's last warning while loading: the verifier's or the kernel's reason. */
static char libbpf_text[LIBBPF_TEXT_MAX];

__attribute__((format(printf, 2, 0))) static int keep_libbpf_text(enum libbpf_print_level level,
								  const char *format,
								  va_list arguments)
{
	if (level == LIBBPF_WARN) {
		vsnprintf(libbpf_text, sizeof(libbpf_text), format, arguments);
		libbpf_text[strcspn(libbpf_text, "\n")] = '\0';
	}
	return 0;
}

static void pin_path(char path[PIN_PATH_MAX], const struct guard *guard, const char *name,
		     const char *suffix)
{
	snprintf(path, PIN_PATH_MAX, "%s/%s%s", guard->bpf_dir, name, suffix);
}

/* The file system that the directory is, or would be made, on. */
static int find_fs(const char *bpf_dir, struct statfs *ret, struct error *err)
{
	_cleanup_free_ char *place = xstrdup(bpf_dir);

	while (statfs(place, ret) < 0) {
		char *slash = strrchr(place, '/');

		if (errno != ENOENT || !slash || strcmp(place, "/") == 0)
			return error_errno(err, errno, "%s: statfs", bpf_dir);
		slash[slash == place] = '\0';
	}
	return 0;
}

static int open_bpf_dir(const char *bpf_dir, struct error *err)
{
	struct statfs fs;

	if (strlen(bpf_dir) > PIN_PATH_MAX - 64)
		return error_set(err, "%s: the path is too long for pins", bpf_dir);
	/* Looked at first: sysfs, which shows where nothing is mounted, refuses a directory without
	 * saying what is missing. */
	if (find_fs(bpf_dir, &fs, err) < 0)
		return -1;
	if ((unsigned long)fs.f_type != BPFFS_MAGIC)
		return error_set(err,
				 "%s: not on a BPF file system, so the guard cannot outlive the "
				 "daemon (mount -t bpf bpf /sys/fs/bpf)",
				 bpf_dir);
	return fs_mkdir_p(bpf_dir, 0700, err);
}

/* Does the kernel have bpf_cast_to_kern_ctx? Its own type information lists it. */
static int find_kernel_context(bool *ret, struct error *err)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		return error_errno(err, errno,
				   "/sys/kernel/btf/vmlinux: the guard needs the kernel's type "
				   "information (a kernel with CONFIG_DEBUG_INFO_BTF)");
	*ret = btf__find_by_name_kind(btf, "bpf_cast_to_kern_ctx", BTF_KIND_FUNC) > 0;
	btf__free(btf);
	return 0;
}

/* An existing pin is re-used by libbpf when type and sizes fit, and refused otherwise. */
static int name_pins(struct guard *guard, struct error *err)
{
	struct bpf_map *map;
	char path[PIN_PATH_MAX];

	bpf_object__for_each_map(map, guard->skeleton->obj)
	{
		if (bpf_map__is_internal(map))
			continue;
		pin_path(path, guard, bpf_map__name(map), "");
		if (bpf_map__set_pin_path(map, path) < 0)
			return error_errno(err, errno, "%s: name the pin", path);
	}
	return 0;
}

static int explain_load(int number, struct error *err)
{
	if (number == EPERM || number == EACCES)
		return error_set(err,
				 "guard: the kernel refuses BPF (needs CAP_BPF, CAP_PERFMON and "
				 "CAP_NET_ADMIN): %s",
				 libbpf_text);
	if (number == ENOSYS)
		return error_set(err, "guard: the kernel has no bpf() (CONFIG_BPF_SYSCALL)");
	if (strstr(libbpf_text, "parameter mismatch") || number == EINVAL)
		return error_set(err,
				 "guard: load: %s (if the pins are of another version: stop all "
				 "VMs, then remove the pins)",
				 libbpf_text);
	return error_errno(err, number, "guard: load: %s", libbpf_text);
}

static int load(struct guard *guard, const struct guard_options *options, struct error *err)
{
	bool has_kernel_context = false;
	int result;

	libbpf_set_print(keep_libbpf_text);
	libbpf_text[0] = '\0';
	if (find_kernel_context(&has_kernel_context, err) < 0)
		return -1;
	guard->skeleton = guard_bpf__open();
	if (!guard->skeleton)
		return error_errno(err, errno, "guard: open the program: %s", libbpf_text);
	guard->skeleton->rodata->has_kernel_context = has_kernel_context &&
						      !options->without_kernel_context;
	guard->skeleton->rodata->has_test_clock = options->has_test_clock;
	if (name_pins(guard, err) < 0)
		return -1;
	result = guard_bpf__load(guard->skeleton);
	return result < 0 ? explain_load(-result, err) : 0;
}

int guard_open(const struct guard_options *options, struct guard **ret, struct error *err)
{
	_cleanup_guard_ struct guard *guard = xcalloc(1, sizeof(*guard));

	guard->bpf_dir = xstrdup(options->bpf_dir);
	if (open_bpf_dir(guard->bpf_dir, err) < 0 || load(guard, options, err) < 0)
		return -1;
	/* Device 0 does not exist: a kernel that knows TCX says so, an older one EINVAL. */
	guard->has_tcx = !options->without_tcx &&
			 tcx_attach(guard_program_fd(guard, false), 0, TCX_SIDE_INGRESS) < 0 &&
			 errno == ENODEV;
	*ret = take_ptr(guard);
	return 0;
}

struct guard *guard_close(struct guard *guard)
{
	if (!guard)
		return NULL;
	guard_bpf__destroy(guard->skeleton);
	free(guard->bpf_dir);
	free(guard);
	return NULL;
}

int guard_program_fd(const struct guard *guard, bool is_egress)
{
	return bpf_program__fd(is_egress ? guard->skeleton->progs.guard_egress
					 : guard->skeleton->progs.guard_ingress);
}

void guard_turn_clock(struct guard *guard, uint64_t ns)
{
	__atomic_store_n(&guard->skeleton->bss->test_clock_ns, ns, __ATOMIC_SEQ_CST);
}

const char *guard_attachment(const struct guard *guard)
{
	return guard->has_tcx ? "tcx" : "clsact";
}

/* --- the maps -----------------------------------------------------------------------------------
 */

static int vms_fd(const struct guard *guard)
{
	return bpf_map__fd(guard->skeleton->maps.vms);
}

/* Calls `visit` for each address of the VM with the map that it belongs to; stops at the first that
 * is not 0. */
static int each_address(const struct guard *guard, const struct guard_vm *vm,
			int (*visit)(int map_fd, const void *key, const struct guard_vm *vm))
{
	static const uint32_t none[4];
	int result = 0;

	for (size_t i = 0; i < GUARD_IP4_MAX && !result; i++)
		if (vm->ip4[i])
			result = visit(bpf_map__fd(guard->skeleton->maps.owners4), &vm->ip4[i], vm);
	/* The link-local address, the first, means nothing beyond its link. */
	for (size_t i = 1; i < GUARD_IP6_MAX && !result; i++)
		if (memcmp(vm->ip6[i], none, sizeof(none)))
			result = visit(bpf_map__fd(guard->skeleton->maps.owners6), vm->ip6[i], vm);
	return result;
}

static int take_address(int map_fd, const void *key, const struct guard_vm *vm)
{
	struct guard_owner owner;

	if (bpf_map_lookup_elem(map_fd, key, &owner) == 0 && owner.slot != vm->slot) {
		errno = EADDRINUSE;
		return -1;
	}
	owner = (struct guard_owner){ .tenant = vm->tenant, .slot = vm->slot };
	return bpf_map_update_elem(map_fd, key, &owner, BPF_ANY);
}

static int drop_address(int map_fd, const void *key, const struct guard_vm *vm)
{
	struct guard_owner owner;

	if (bpf_map_lookup_elem(map_fd, key, &owner) == 0 && owner.slot == vm->slot)
		bpf_map_delete_elem(map_fd, key);
	return 0;
}

/* 1 when the address is not the VM's in the map. */
static int miss_address(int map_fd, const void *key, const struct guard_vm *vm)
{
	struct guard_owner owner;

	return bpf_map_lookup_elem(map_fd, key, &owner) < 0 || owner.slot != vm->slot ||
	       owner.tenant != vm->tenant;
}

static bool has_same_addresses(const struct guard_vm *a, const struct guard_vm *b)
{
	return a->slot == b->slot && a->tenant == b->tenant &&
	       memcmp(a->ip4, b->ip4, sizeof(a->ip4)) == 0 &&
	       memcmp(a->ip6, b->ip6, sizeof(a->ip6)) == 0;
}

/* Both ways start anew at a new rate: a debt at the old one would last too long or too short. */
static int clear_buckets(struct guard *guard, uint32_t slot, struct error *err)
{
	static const struct guard_bucket zero;

	for (uint32_t way = 0; way < GUARD_DIRECTIONS; way++) {
		uint32_t key = slot * GUARD_DIRECTIONS + way;

		if (bpf_map_update_elem(bpf_map__fd(guard->skeleton->maps.buckets), &key, &zero,
					BPF_ANY) < 0)
			return error_errno(err, errno, "guard: map 'buckets': clear slot %u", slot);
	}
	return 0;
}

/* True when the device had the VM already, of these addresses: no frame meets a gap. */
static bool replace_vm(struct guard *guard, unsigned ifindex, const struct guard_vm *vm)
{
	struct guard_vm held;

	return bpf_map_lookup_elem(vms_fd(guard), &ifindex, &held) == 0 &&
	       has_same_addresses(&held, vm) && each_address(guard, vm, miss_address) == 0 &&
	       bpf_map_update_elem(vms_fd(guard), &ifindex, vm, BPF_EXIST) == 0;
}

int guard_set_vm(struct guard *guard, unsigned ifindex, const struct guard_vm *vm,
		 struct error *err)
{
	int number;

	if (vm->slot >= GUARD_SLOTS_MAX)
		return error_set(err, "guard: slot %u: the guard counts for %u VMs", vm->slot,
				 (unsigned)GUARD_SLOTS_MAX);
	if (clear_buckets(guard, vm->slot, err) < 0)
		return -1;
	if (replace_vm(guard, ifindex, vm))
		return 0;
	/* An entry of other addresses would leave them taken. */
	if (guard_clear_vm(guard, ifindex, vm->slot, err) < 0)
		return -1;
	if (each_address(guard, vm, take_address) == 0 &&
	    bpf_map_update_elem(vms_fd(guard), &ifindex, vm, BPF_ANY) == 0)
		return 0;
	number = errno;
	each_address(guard, vm, drop_address);
	if (number == EADDRINUSE)
		return error_set(err, "guard: slot %u: an address belongs to another VM", vm->slot);
	if (number == E2BIG)
		return error_set(err, "guard: map 'vms' is full (%u VMs)",
				 (unsigned)GUARD_SLOTS_MAX);
	return error_errno(err, number, "guard: slot %u: fill the maps", vm->slot);
}

static int clear_entry(struct guard *guard, unsigned ifindex, struct error *err)
{
	struct guard_vm vm;

	if (bpf_map_lookup_elem(vms_fd(guard), &ifindex, &vm) < 0)
		return 0;
	each_address(guard, &vm, drop_address);
	if (bpf_map_delete_elem(vms_fd(guard), &ifindex) < 0 && errno != ENOENT)
		return error_errno(err, errno, "guard: map 'vms': delete device %u", ifindex);
	return 0;
}

/* Collects devices: those that are gone, or those of the slot. */
static size_t find_entries(struct guard *guard, uint32_t slot, bool is_stale_only,
			   unsigned *devices, size_t max)
{
	unsigned ifindex, *previous = NULL;
	char name[IF_NAMESIZE];
	struct guard_vm vm;
	size_t count = 0;

	while (count < max && bpf_map_get_next_key(vms_fd(guard), previous, &ifindex) == 0) {
		previous = &ifindex;
		if (is_stale_only ? if_indextoname(ifindex, name) != NULL
				  : bpf_map_lookup_elem(vms_fd(guard), &ifindex, &vm) < 0 ||
					    vm.slot != slot)
			continue;
		devices[count++] = ifindex;
	}
	return count;
}

int guard_clear_vm(struct guard *guard, unsigned ifindex, uint32_t slot, struct error *err)
{
	unsigned devices[GUARD_SLOTS_MAX];
	size_t count;

	if (ifindex && clear_entry(guard, ifindex, err) < 0)
		return -1;
	count = find_entries(guard, slot, false, devices, GUARD_SLOTS_MAX);
	for (size_t i = 0; i < count; i++)
		if (clear_entry(guard, devices[i], err) < 0)
			return -1;
	return 0;
}

bool guard_has_vm(struct guard *guard, unsigned ifindex, const struct guard_vm *vm)
{
	struct guard_vm held;

	return bpf_map_lookup_elem(vms_fd(guard), &ifindex, &held) == 0 &&
	       memcmp(&held, vm, sizeof(held)) == 0 && each_address(guard, vm, miss_address) == 0;
}

int guard_counts_clear(struct guard *guard, uint32_t slot, struct error *err)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct guard_counts *zero = NULL;

	if (cpus < 1)
		return error_errno(err, -cpus, "guard: count the CPUs");
	zero = xcalloc((size_t)cpus, sizeof(*zero));
	if (bpf_map_update_elem(bpf_map__fd(guard->skeleton->maps.counts), &slot, zero, BPF_ANY) <
	    0)
		return error_errno(err, errno, "guard: map 'counts': clear slot %u", slot);
	return 0;
}

int guard_counts_read(struct guard *guard, uint32_t slot, struct guard_counts *ret,
		      struct error *err)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct guard_counts *values = NULL;

	if (cpus < 1)
		return error_errno(err, -cpus, "guard: count the CPUs");
	values = xcalloc((size_t)cpus, sizeof(*values));
	if (bpf_map_lookup_elem(bpf_map__fd(guard->skeleton->maps.counts), &slot, values) < 0)
		return error_errno(err, errno, "guard: map 'counts': read slot %u", slot);
	*ret = (struct guard_counts){ 0 };
	for (int cpu = 0; cpu < cpus; cpu++) {
		for (size_t i = 0; i < GUARD_REASONS_MAX; i++)
			ret->packets[i] += values[cpu].packets[i];
		ret->bytes += values[cpu].bytes;
		ret->delivered_bytes += values[cpu].delivered_bytes;
	}
	return 0;
}

/* --- attaching ----------------------------------------------------------------------------------
 */

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

static bool reattach_tcx(struct guard *guard, const char *tap, unsigned ifindex,
			 const struct side *side)
{
	_cleanup_close_ int link = -1;
	char path[PIN_PATH_MAX];

	pin_path(path, guard, tap, side->suffix);
	link = bpf_obj_get(path);
	return link >= 0 && tcx_is_attached(link, ifindex, side->tcx) &&
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
	pin_path(path, guard, tap, side->suffix);
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

/* Is the program at our place one of ours, of whichever daemon? Then it is replaced. */
static bool reattach_clsact(struct guard *guard, const char *tap, unsigned ifindex,
			    const struct side *side)
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
	return strncmp(info.name, name, sizeof(info.name)) == 0 &&
	       attach_clsact(guard, tap, ifindex, side, NULL) == 0;
}

bool guard_reattach(struct guard *guard, const char *tap, unsigned ifindex)
{
	for (size_t i = 0; i < SIDES; i++)
		if (!(guard->has_tcx ? reattach_tcx : reattach_clsact)(guard, tap, ifindex,
								       &sides[i]))
			return false;
	return true;
}

void guard_forget(struct guard *guard, const char *tap)
{
	char path[PIN_PATH_MAX];

	for (size_t i = 0; i < SIDES; i++) {
		pin_path(path, guard, tap, sides[i].suffix);
		unlink(path);
	}
}

/* --- ending -------------------------------------------------------------------------------------
 */

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

static int sweep_pins(struct guard *guard, struct error *err)
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

int guard_sweep(struct guard *guard, struct error *err)
{
	unsigned devices[GUARD_SLOTS_MAX];
	size_t count = find_entries(guard, 0, true, devices, GUARD_SLOTS_MAX);

	for (size_t i = 0; i < count; i++)
		if (clear_entry(guard, devices[i], err) < 0)
			return -1;
	return sweep_pins(guard, err);
}

int guard_remove(struct guard *guard, struct error *err)
{
	unsigned ifindex;

	if (guard_sweep(guard, err) < 0)
		return -1;
	if (bpf_map_get_next_key(vms_fd(guard), NULL, &ifindex) == 0)
		return error_set(err, "guard: device %u is still guarded (remove its VM first)",
				 ifindex);
	if (bpf_object__unpin_maps(guard->skeleton->obj, NULL) < 0)
		return error_errno(err, errno, "%s: unpin the maps", guard->bpf_dir);
	if (rmdir(guard->bpf_dir) < 0 && errno != ENOENT && errno != ENOTEMPTY)
		return error_errno(err, errno, "%s: remove", guard->bpf_dir);
	return 0;
}
