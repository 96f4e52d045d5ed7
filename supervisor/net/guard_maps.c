/* SPDX-License-Identifier: Apache-2.0 */
/* What the guard's program reads and counts: VMs, whose an address is, rates, counters. The maps'
 * layout is bpf/guard.h. */
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "base/alloc.h"
#include "net/guard_internal.h"

int guard_vms_fd(const struct guard *guard)
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

	return bpf_map_lookup_elem(guard_vms_fd(guard), &ifindex, &held) == 0 &&
	       has_same_addresses(&held, vm) && each_address(guard, vm, miss_address) == 0 &&
	       bpf_map_update_elem(guard_vms_fd(guard), &ifindex, vm, BPF_EXIST) == 0;
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
	    bpf_map_update_elem(guard_vms_fd(guard), &ifindex, vm, BPF_ANY) == 0) {
		guard->devices[vm->slot] = ifindex;
		return 0;
	}
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

	if (bpf_map_lookup_elem(guard_vms_fd(guard), &ifindex, &vm) < 0)
		return 0;
	each_address(guard, &vm, drop_address);
	if (bpf_map_delete_elem(guard_vms_fd(guard), &ifindex) < 0 && errno != ENOENT)
		return error_errno(err, errno, "guard: map 'vms': delete device %u", ifindex);
	if (vm.slot < GUARD_SLOTS_MAX && guard->devices[vm.slot] == ifindex)
		guard->devices[vm.slot] = 0;
	return 0;
}

/* Collects the devices of the map. */
static size_t list_devices(struct guard *guard, unsigned devices[GUARD_SLOTS_MAX])
{
	unsigned *previous = NULL;
	size_t count = 0;

	while (count < GUARD_SLOTS_MAX &&
	       bpf_map_get_next_key(guard_vms_fd(guard), previous, &devices[count]) == 0)
		previous = &devices[count++];
	return count;
}

int guard_learn_vms(struct guard *guard, struct error *err)
{
	unsigned devices[GUARD_SLOTS_MAX];
	size_t count = list_devices(guard, devices);

	for (size_t i = 0; i < count; i++) {
		struct guard_vm vm;

		if (bpf_map_lookup_elem(guard_vms_fd(guard), &devices[i], &vm) < 0)
			continue;
		if (vm.slot < GUARD_SLOTS_MAX && !guard->devices[vm.slot])
			guard->devices[vm.slot] = devices[i];
		else if (bpf_map_delete_elem(guard_vms_fd(guard), &devices[i]) < 0)
			return error_errno(err, errno, "guard: map 'vms': delete device %u",
					   devices[i]);
	}
	return 0;
}

int guard_clear_vm(struct guard *guard, unsigned ifindex, uint32_t slot, struct error *err)
{
	unsigned other = slot < GUARD_SLOTS_MAX ? guard->devices[slot] : 0;
	struct guard_vm vm;

	if (ifindex && clear_entry(guard, ifindex, err) < 0)
		return -1;
	if (!other || other == ifindex)
		return 0;
	guard->devices[slot] = 0;
	/* Unless somebody has changed the map by hand, it is the slot's. */
	if (bpf_map_lookup_elem(guard_vms_fd(guard), &other, &vm) < 0 || vm.slot != slot)
		return 0;
	return clear_entry(guard, other, err);
}

bool guard_has_vm(struct guard *guard, unsigned ifindex, const struct guard_vm *vm)
{
	struct guard_vm held;

	return bpf_map_lookup_elem(guard_vms_fd(guard), &ifindex, &held) == 0 &&
	       memcmp(&held, vm, sizeof(held)) == 0 && each_address(guard, vm, miss_address) == 0;
}

int guard_read_vm(struct guard *guard, unsigned ifindex, struct guard_vm *ret, struct error *err)
{
	if (bpf_map_lookup_elem(guard_vms_fd(guard), &ifindex, ret) < 0)
		return error_errno(err, errno, "guard: map 'vms': read device %u", ifindex);
	return 0;
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
		ret->shielded += values[cpu].shielded;
	}
	return 0;
}

int guard_sweep_vms(struct guard *guard, struct error *err)
{
	unsigned devices[GUARD_SLOTS_MAX];
	size_t count = list_devices(guard, devices);
	char name[IF_NAMESIZE];

	for (size_t i = 0; i < count; i++)
		if (!if_indextoname(devices[i], name) && clear_entry(guard, devices[i], err) < 0)
			return -1;
	return 0;
}
