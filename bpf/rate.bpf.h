/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0) */
/*
 * What a VM may send, and be sent, in a second: guard.bpf.c asks for each frame that would pass. A
 * bucket per slot and direction (the generic cell rate algorithm of ITU-T I.371): it holds when
 * what has passed would be through at the VM's rate, and a frame passes while that is not more than
 * GUARD_RATE_SLACK_MS ahead. A frame of many segments is charged as the frames that it becomes.
 */
#ifndef STOKER_BPF_RATE_H
#define STOKER_BPF_RATE_H

#include "parse.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GUARD_SLOTS_MAX *GUARD_DIRECTIONS);
	__type(key, __u32); /* slot * GUARD_DIRECTIONS + direction */
	__type(value, struct guard_bucket);
} buckets SEC(".maps");

/* Tests turn the clock themselves; false is set before the program is loaded, so that the verifier
 * removes it. */
const volatile bool has_test_clock = false;
__u64 test_clock_ns = 0;

enum {
	TICKS_SHIFT = 6, /* of a nanosecond: at 100 Gbit/s a small frame is 5 ns */
	ETH_IP4_OFFSET = ETH_HLEN + sizeof(struct iphdr),
	ETH_IP6_OFFSET = ETH_HLEN + sizeof(struct ipv6hdr),
};

#define TICKS_PER_SECOND (1000000000ULL << TICKS_SHIFT)
#define SLACK_TICKS	 (GUARD_RATE_SLACK_MS * TICKS_PER_SECOND / 1000)

static __always_inline __u64 clock_ticks(void)
{
	return (has_test_clock ? test_clock_ns : bpf_ktime_get_ns()) << TICKS_SHIFT;
}

/* Bytes that each segment begins with. */
static __always_inline __u32 header_bytes(struct __sk_buff *ctx, const struct layers *layers)
{
	__u8 length = 0x50; /* of TCP without options */

	if (layers->protocol != IPPROTO_TCP)
		return layers->l4_offset + 8;
	bpf_skb_load_bytes(ctx, layers->l4_offset + 12, &length, 1);
	return layers->l4_offset + (length >> 4) * 4;
}

static __always_inline struct guard_due cost_of(struct __sk_buff *ctx, const struct guard_vm *vm,
						const struct layers *layers)
{
	__u64 packets = 1, bytes = ctx->len;
	struct guard_due cost = { 0 };

	if (ctx->gso_size) {
		__u32 header = header_bytes(ctx, layers);

		if (ctx->len > header)
			packets = (ctx->len - header + ctx->gso_size - 1) / ctx->gso_size;
		bytes += (packets - 1) * header;
	}
	if (vm->rate_bits)
		cost.bits = bytes * 8 * TICKS_PER_SECOND / vm->rate_bits;
	if (vm->rate_packets)
		cost.packets = packets * TICKS_PER_SECOND / vm->rate_packets;
	return cost;
}

/* Charges the frame when it may pass. */
static __always_inline bool is_within_rate(struct __sk_buff *ctx, const struct guard_vm *vm,
					   enum guard_direction direction,
					   const struct layers *layers)
{
	__u32 key = vm->slot * GUARD_DIRECTIONS + direction;
	struct guard_bucket *bucket;
	struct guard_due cost, due;
	bool is_within;
	__u64 now;

	if (!vm->rate_bits && !vm->rate_packets)
		return true;
	bucket = bpf_map_lookup_elem(&buckets, &key);
	if (!bucket)
		return false;
	cost = cost_of(ctx, vm, layers);
	now = clock_ticks();
	bpf_spin_lock(&bucket->lock);
	due = bucket->due;
	if (due.bits < now)
		due.bits = now;
	if (due.packets < now)
		due.packets = now;
	is_within = due.bits - now <= SLACK_TICKS && due.packets - now <= SLACK_TICKS;
	if (is_within) {
		bucket->due.bits = due.bits + cost.bits;
		bucket->due.packets = due.packets + cost.packets;
	}
	bpf_spin_unlock(&bucket->lock);
	return is_within;
}

/* Of the host's own making or of another VM's, which was judged: only what counting needs. */
static __always_inline bool is_delivery_within_rate(struct __sk_buff *ctx,
						    const struct guard_vm *vm)
{
	struct layers layers = { .l4_offset = ETH_IP4_OFFSET };
	__u32 at = ETH_HLEN + offsetof(struct iphdr, protocol);

	if (ctx->protocol == bpf_htons(ETH_P_IPV6)) {
		layers.l4_offset = ETH_IP6_OFFSET;
		at = ETH_HLEN + offsetof(struct ipv6hdr, nexthdr);
	}
	if (ctx->gso_size)
		bpf_skb_load_bytes(ctx, at, &layers.protocol, 1);
	return is_within_rate(ctx, vm, GUARD_TO_GUEST, &layers);
}

#endif
