/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c drives this: load, fill, attach, count. Here is loading, listening and ending; guard_maps.c
 * fills and counts, guard_attach.c attaches. The skeleton is made from bpf/guard.bpf.c.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "net/guard_internal.h"
#include "net/tcx.h"

_Static_assert((int)GUARD_REASON_COUNT <= (int)GUARD_REASONS_MAX, "a reason without a counter");

enum {
	BPFFS_MAGIC = 0xcafe4a11,
	LIBBPF_TEXT_MAX = 256,
};

/* libbpf's first warning while loading: the others follow from it. */
static char libbpf_text[LIBBPF_TEXT_MAX];

__attribute__((format(printf, 2, 0))) static int keep_libbpf_text(enum libbpf_print_level level,
								  const char *format,
								  va_list arguments)
{
	if (level == LIBBPF_WARN && !libbpf_text[0]) {
		vsnprintf(libbpf_text, sizeof(libbpf_text), format, arguments);
		libbpf_text[strcspn(libbpf_text, "\n")] = '\0';
	}
	return 0;
}

void guard_pin_path(char path[PIN_PATH_MAX], const struct guard *guard, const char *name,
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
		guard_pin_path(path, guard, bpf_map__name(map), "");
		if (bpf_map__set_pin_path(map, path) < 0)
			return error_errno(err, errno, "%s: name the pin", path);
	}
	return 0;
}

/* What the program needs beyond the oldest of kernels. */
static const struct {
	enum bpf_func_id helper;
	const char *name, *since;
} needed[] = {
	{ BPF_FUNC_spin_lock, "bpf_spin_lock", "5.1" },
	{ BPF_FUNC_probe_read_kernel, "bpf_probe_read_kernel", "5.5" },
	{ BPF_FUNC_jiffies64, "bpf_jiffies64", "5.5" },
	{ BPF_FUNC_ringbuf_reserve, "bpf_ringbuf_reserve", "5.8" },
};

/* Names what the kernel lacks; 0 when it seems to lack nothing. */
static int explain_lack(struct error *err)
{
	if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, NULL) == 0)
		return error_set(err, "guard: the kernel has no BPF programs for traffic control "
				      "(CONFIG_NET_CLS_ACT and CONFIG_BPF_SYSCALL)");
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, needed[i].helper, NULL) == 0)
			return error_set(err,
					 "guard: the kernel lacks %s (Linux %s or later has it)",
					 needed[i].name, needed[i].since);
	return 0;
}

static int explain_load(int number, struct error *err)
{
	char reason[LIBBPF_TEXT_MAX];

	memcpy(reason, libbpf_text, sizeof(reason)); /* probing has warnings of its own */
	if (number == EPERM)
		return error_set(err,
				 "guard: the kernel refuses BPF (needs CAP_BPF, CAP_PERFMON and "
				 "CAP_NET_ADMIN): %s",
				 reason);
	if (number == ENOSYS)
		return error_set(err, "guard: the kernel has no bpf() (CONFIG_BPF_SYSCALL)");
	if (strstr(reason, "parameter mismatch"))
		return error_set(err,
				 "guard: load: %s (the pins are of another version: stop all "
				 "VMs, then remove the pins)",
				 reason);
	if (explain_lack(err) < 0)
		return -1;
	return error_errno(err, number, "guard: load: %s", reason);
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
	if (open_bpf_dir(guard->bpf_dir, err) < 0 || load(guard, options, err) < 0 ||
	    guard_learn_vms(guard, err) < 0)
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
	ring_buffer__free(guard->ring);
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

int guard_shield_fd(const struct guard *guard)
{
	return bpf_program__fd(guard->skeleton->progs.guard_shield);
}

void guard_turn_clock(struct guard *guard, uint64_t ns)
{
	__atomic_store_n(&guard->skeleton->bss->test_clock_ns, ns, __ATOMIC_SEQ_CST);
}

const char *guard_attachment(const struct guard *guard)
{
	return guard->has_tcx ? "tcx" : "clsact";
}

/* --- listening ----------------------------------------------------------------------------------
 */

static int on_record(void *data, void *record, size_t bytes)
{
	const struct guard *guard = data;

	if (bytes >= sizeof(struct guard_event))
		guard->told(guard->told_data, record);
	return 0;
}

int guard_listen(struct guard *guard, guard_event_fn *told, void *data, int *ret_fd,
		 struct error *err)
{
	guard->told = told;
	guard->told_data = data;
	guard->ring = ring_buffer__new(bpf_map__fd(guard->skeleton->maps.events), on_record, guard,
				       NULL);
	if (!guard->ring)
		return error_errno(err, errno, "guard: map 'events': listen");
	*ret_fd = ring_buffer__epoll_fd(guard->ring);
	return 0;
}

void guard_hear(struct guard *guard)
{
	ring_buffer__consume(guard->ring);
}

/* --- ending -------------------------------------------------------------------------------------
 */

int guard_sweep(struct guard *guard, struct error *err)
{
	if (guard_sweep_vms(guard, err) < 0)
		return -1;
	return guard_sweep_pins(guard, err);
}

int guard_remove(struct guard *guard, struct error *err)
{
	unsigned ifindex;

	if (guard_sweep(guard, err) < 0)
		return -1;
	if (bpf_map_get_next_key(guard_vms_fd(guard), NULL, &ifindex) == 0)
		return error_set(err, "guard: device %u is still guarded (remove its VM first)",
				 ifindex);
	if (bpf_object__unpin_maps(guard->skeleton->obj, NULL) < 0)
		return error_errno(err, errno, "%s: unpin the maps", guard->bpf_dir);
	if (rmdir(guard->bpf_dir) < 0 && errno != ENOENT && errno != ENOTEMPTY)
		return error_errno(err, errno, "%s: remove", guard->bpf_dir);
	return 0;
}
