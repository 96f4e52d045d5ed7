/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0) */
/*
 * The guard: what a VM may send through its tap, and what may reach it. One program and one set of
 * maps for all taps of a network namespace; supervisor/net/guard.c loads, fills and attaches it.
 * Every path that is not an accept drops. From the guest, in this order; the first that fails is
 * the reason:
 *
 *   VM          the device has an entry in `vms`                                            no-vm
 *   VLAN        no tag: the kernel strips it before this runs                               vlan
 *   size        without GSO at most MTU + 14 bytes; segments of 512 bytes to MTU     jumbo, gso
 *   linear      an Ethernet header is there; the first 128 bytes are read              truncated
 *   source MAC  the VM's                                                              source-mac
 *   other MAC   the gateway's; broadcast for ARP; 33:33:... for IPv6             destination-mac
 *   ethertype   0806, 0800 or 86dd; neither LLC lengths nor anything else              ethertype
 *
 *   ARP      Ethernet and IPv4, op 1, the sender's MAC the VM's, its address the VM's or none.
 *            Target an address of the VM's own: absorbed; the gateway, from an address of the
 *            VM's: answered; any other: dropped                                           arp-*
 *   IPv4     version 4, 20 bytes of header (no options), total length within the frame; source
 *            one of the VM's; destination neither 255.255.255.255, 224/4, 0/8, 127/8, 240/4 nor
 *            169.254/16; no fragment at offset 8; layer 4 as below, and of ICMP neither redirect
 *            (5) nor router (9)
 *   IPv6     version 6, payload not empty and within the frame; source unspecified or one of the
 *            VM's, link-local included; a multicast MAC only to ff00::/8; at most 4 extension
 *            headers out of hop-by-hop (first only), destination options and fragment (one, not
 *            at offset 8), all within 128 bytes and the payload; behind them TCP, UDP, ICMPv6,
 *            ESP, GRE, SCTP or UDP-Lite
 *   ICMPv6   but for later fragments: 8 bytes; 1 to 4, 128 and 129 go on; 134 and 137 never;
 *            133, 135, 136: no fragment, no extension, hop limit 255, code 0 (133: any), at most
 *            4 options, each whole; a link-layer address the VM's, and none from an unspecified
 *            source, which only 133, and 135 for an own target, may have.
 *            136: no router flag, own target: absorbed. 135: own target: absorbed, the gateway:
 *            answered. 133: absorbed. 131, 132, 143: one hop-by-hop and nothing else before it,
 *            hop limit 1: absorbed. All other types never
 *   IPv6 on  what goes on: no hop-by-hop; source neither unspecified nor link-local; destination
 *            not multicast, fe80::/10, ::/96 nor ::ffff:0:0/96; to the gateway's MAC; layer 4
 *   layer 4  not in later fragments: TCP of 20 bytes, UDP of 8, anything else in a first fragment
 *            of 8 (truncated, in a fragment fragment); no UDP from port 67, in IPv6 from 547
 *
 *   offloads    of all that is not dropped so far. GSO: a whole TCP or UDP packet, segments of its
 *               own kind. A checksum left to the host: a whole TCP or UDP packet, begins at layer
 *               4, lies at 16 or 6 in it                                    gso, checksum-offset
 *   tenant      no destination of another tenant's VM                               cross-tenant
 *   rate        of what is accepted or answered (rate.bpf.h)                                rate
 *
 * To the guest: the device has an entry; ARP, or IP whose source is not another tenant's; rate.
 * Every frame is counted, and of those that are dropped a few are told in `events`.
 */
#include "parse.bpf.h"

#include "answer.bpf.h"
#include "ip4.bpf.h"
#include "ip6.bpf.h"
#include "rate.bpf.h"
#include "shield.bpf.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Passes the frame to whatever else is attached, then to the host: TCX_NEXT and TC_ACT_UNSPEC. */
enum { NEXT = -1 };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, GUARD_SLOTS_MAX);
	__type(key, __u32); /* ifindex */
	__type(value, struct guard_vm);
} vms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GUARD_SLOTS_MAX + 1);
	__type(key, __u32); /* slot */
	__type(value, struct guard_counts);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, GUARD_SLOTS_MAX *GUARD_IP4_MAX);
	__type(key, __u32);
	__type(value, struct guard_owner);
} owners4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, GUARD_SLOTS_MAX *GUARD_IP6_MAX);
	__type(key, struct guard_ip6);
	__type(value, struct guard_owner);
} owners6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, GUARD_EVENTS_BYTES);
} events SEC(".maps");

/* Linux 6.2 and later have the kfunc; before, the same fields are read by address. Set before the
 * program is loaded, so that the verifier removes the other way. */
const volatile bool has_kernel_context = true;

extern void *bpf_cast_to_kern_ctx(void *context) __ksym __weak;
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

/* The fields of the kernel's sk_buff that __sk_buff does not show; found by name through BTF. */
struct sk_buff {
	unsigned char *head;
	unsigned char *data;
	__u32 end; /* of the linear part, from `head`; the shared information follows */
	union {
		struct {
			__u16 csum_start;
			__u16 csum_offset;
		};
	};
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

struct skb_shared_info {
	__u32 gso_type;
} __attribute__((preserve_access_index));

enum { SUMMED_PARTIAL = 3 }; /* CHECKSUM_PARTIAL of linux/skbuff.h */

/* Of linux/skbuff.h's SKB_GSO_*: what a tap can ask for. Their numbers are in no header for
 * programs; tests write each through a tap. */
enum {
	GSO_TCP4 = 1 << 0,
	GSO_DODGY = 1 << 1, /* from outside the kernel: set on all of them */
	GSO_ECN = 1 << 2,
	GSO_TCP6 = 1 << 4,
	GSO_UDP_FRAGMENTS = 1 << 16,
	GSO_UDP_SEGMENTS = 1 << 17,
};

struct partial_checksum {
	bool is_set;
	__u32 start; /* from the frame's first byte */
	__u32 offset;
};

static __always_inline void read_partial_checksum(struct __sk_buff *ctx,
						  struct partial_checksum *ret)
{
	if (has_kernel_context) {
		struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);

		ret->is_set = BPF_CORE_READ_BITFIELD(skb, ip_summed) == SUMMED_PARTIAL;
		ret->start = skb->csum_start - (__u32)((__u64)skb->data - (__u64)skb->head);
		ret->offset = skb->csum_offset;
	} else {
		struct sk_buff *skb = (void *)ctx;

		ret->is_set = BPF_CORE_READ_BITFIELD_PROBED(skb, ip_summed) == SUMMED_PARTIAL;
		ret->start =
			BPF_CORE_READ(skb, csum_start) -
			(__u32)((__u64)BPF_CORE_READ(skb, data) - (__u64)BPF_CORE_READ(skb, head));
		ret->offset = BPF_CORE_READ(skb, csum_offset);
	}
}

/*
 * A frame may ask for its checksum to be filled in, at a place that the guest chose. A device that
 * does not do that in hardware writes it into the frame after every check, so the place must be the
 * checksum field of the transport header that was checked.
 */
static __always_inline enum guard_reason check_checksum(struct __sk_buff *ctx,
							const struct layers *layers)
{
	struct partial_checksum checksum;
	__u32 field;

	read_partial_checksum(ctx, &checksum);
	if (!checksum.is_set)
		return GUARD_ACCEPT;
	if (layers->is_fragment)
		return GUARD_CHECKSUM;
	if (layers->protocol == IPPROTO_TCP)
		field = 16;
	else if (layers->protocol == IPPROTO_UDP)
		field = 6;
	else
		return GUARD_CHECKSUM;
	if (checksum.start != layers->l4_offset || checksum.offset != field)
		return GUARD_CHECKSUM;
	return GUARD_ACCEPT;
}

static __always_inline enum guard_reason check_size(struct __sk_buff *ctx,
						    const struct guard_vm *vm)
{
	__u32 segment = ctx->gso_size;

	if (segment)
		return segment < GUARD_GSO_MIN || segment > vm->mtu ? GUARD_GSO : GUARD_ACCEPT;
	return ctx->len > vm->mtu + (__u32)ETH_HLEN ? GUARD_JUMBO : GUARD_ACCEPT;
}

/* Addresses of no VM are the host's to judge. */
static __always_inline enum guard_reason check_tenant(const struct guard_owner *owner,
						      const struct guard_vm *vm)
{
	return owner && owner->tenant != vm->tenant ? GUARD_CROSS_TENANT : GUARD_ACCEPT;
}

static __always_inline __u32 read_gso_type(struct __sk_buff *ctx)
{
	struct skb_shared_info *shared;
	struct sk_buff *skb = (void *)ctx;

	if (has_kernel_context) {
		skb = bpf_cast_to_kern_ctx(ctx);
		shared = bpf_rdonly_cast(skb->head + skb->end,
					 bpf_core_type_id_kernel(struct skb_shared_info));
		return shared->gso_type;
	}
	shared = (void *)(BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end));
	return BPF_CORE_READ(shared, gso_type);
}

/* GSO belongs to whole TCP and UDP packets only, and its kind to their protocol: segmentation
 * rewrites the headers that it believes in. */
static __always_inline enum guard_reason check_gso(struct __sk_buff *ctx,
						   const struct layers *layers)
{
	__u32 lawful;

	if (layers->is_fragment)
		return GUARD_GSO;
	if (layers->protocol == IPPROTO_TCP)
		lawful = ctx->protocol == bpf_htons(ETH_P_IP) ? GSO_TCP4 : GSO_TCP6;
	else if (layers->protocol == IPPROTO_UDP)
		lawful = GSO_UDP_FRAGMENTS | GSO_UDP_SEGMENTS;
	else
		return GUARD_GSO;
	lawful |= GSO_DODGY | GSO_ECN;
	return read_gso_type(ctx) & ~lawful ? GUARD_GSO : GUARD_ACCEPT;
}

static __always_inline enum guard_reason check_offloads(struct __sk_buff *ctx,
							const struct layers *layers)
{
	enum guard_reason reason = ctx->gso_size ? check_gso(ctx, layers) : GUARD_ACCEPT;

	return reason ? reason : check_checksum(ctx, layers);
}

/* What a protocol's check said, unless the frame's offloads forbid it: an answer or an absorbed
 * frame is held to the same rule, a drop keeps its own reason. */
static __always_inline enum guard_reason settle(struct __sk_buff *ctx, const struct layers *layers,
						enum guard_reason reason)
{
	enum guard_reason offloads;

	if (reason > GUARD_ABSORBED)
		return reason;
	offloads = check_offloads(ctx, layers);
	return offloads ? offloads : reason;
}

/* Makes what the rules read linear. Of IPv4 that is an Ethernet, an IP and a TCP header, of IPv6
 * without extension headers likewise: a guest whose driver keeps them together is spared the copy.
 */
static __always_inline long make_linear(struct __sk_buff *ctx)
{
	enum { READ_IP4 = 54, READ_IP6 = 74, NEXT_HEADER = ETH_HLEN + 6 };
	__u8 *frame = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (frame + READ_IP4 <= end && ((struct ethhdr *)frame)->h_proto == bpf_htons(ETH_P_IP))
		return 0;
	if (frame + READ_IP6 <= end && ((struct ethhdr *)frame)->h_proto == bpf_htons(ETH_P_IPV6) &&
	    (frame[NEXT_HEADER] == IPPROTO_TCP || frame[NEXT_HEADER] == IPPROTO_UDP))
		return 0;
	return bpf_skb_pull_data(ctx, ctx->len < PARSE_BYTES ? ctx->len : PARSE_BYTES);
}

static __always_inline enum guard_reason judge(struct __sk_buff *ctx, const struct guard_vm *vm,
					       struct layers *layers, __be16 *ret_ethertype)
{
	enum guard_reason reason;
	struct guard_ip6 ip6;
	struct cursor cursor;
	struct ethhdr *eth;
	__u32 ip4;

	if (ctx->vlan_present)
		return GUARD_VLAN;
	reason = check_size(ctx, vm);
	if (reason)
		return reason;
	if (make_linear(ctx))
		return GUARD_TRUNCATED;
	cursor.at = (void *)(long)ctx->data;
	cursor.end = (void *)(long)ctx->data_end;
	eth = parse(&cursor, struct ethhdr);
	if (!eth)
		return GUARD_TRUNCATED;
	*ret_ethertype = eth->h_proto;
	if (!mac_equal(eth->h_source, vm->mac))
		return GUARD_SOURCE_MAC;
	reason = check_destination_mac(eth, layers);
	if (reason)
		return reason;

	switch (eth->h_proto) {
	case bpf_htons(ETH_P_ARP):
		return settle(ctx, layers, check_arp(&cursor, vm));
	case bpf_htons(ETH_P_IP):
		reason = settle(ctx, layers, check_ip4(&cursor, ctx->len, vm, layers, &ip4));
		if (reason)
			return reason;
		return check_tenant(bpf_map_lookup_elem(&owners4, &ip4), vm);
	case bpf_htons(ETH_P_IPV6):
		reason = settle(ctx, layers, check_ip6(&cursor, ctx->len, vm, layers, &ip6));
		if (reason)
			return reason;
		return check_tenant(bpf_map_lookup_elem(&owners6, &ip6), vm);
	default: /* LLC lengths included */
		return GUARD_ETHERTYPE;
	}
}

static __always_inline void tell(struct __sk_buff *ctx, __u32 slot, enum guard_reason reason,
				 enum guard_direction direction)
{
	struct guard_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	__u64 bytes = ctx->len < GUARD_HEAD_MAX ? ctx->len : GUARD_HEAD_MAX;

	if (!event)
		return;
	event->time_ns = bpf_ktime_get_ns();
	event->slot = slot;
	event->frame_bytes = ctx->len;
	event->reason = (__u8)reason;
	event->direction = (__u8)direction;
	event->head_bytes = (__u8)bytes;
	/* The verifier must see both bounds, each of the very register that is passed; older ones
	 * do not learn from a comparison with 0. */
	asm volatile("" : "+r"(bytes));
	if (bytes < ETH_HLEN || bpf_skb_load_bytes(ctx, 0, event->head, bytes))
		event->head_bytes = 0;
	bpf_ringbuf_submit(event, 0);
}

static __always_inline void count(struct __sk_buff *ctx, __u32 slot, enum guard_reason reason,
				  enum guard_direction direction)
{
	struct guard_counts *counted = bpf_map_lookup_elem(&counts, &slot);
	__u64 now;

	if (!counted || (__u32)reason >= GUARD_REASONS_MAX)
		return;
	counted->packets[reason]++;
	if (reason == GUARD_ACCEPT)
		counted->bytes += ctx->len;
	else if (reason == GUARD_DELIVERED)
		counted->delivered_bytes += ctx->len;
	if (reason <= GUARD_DELIVERED)
		return;
	now = bpf_jiffies64();
	if (counted->packets[reason] > 1 && now - counted->event_jiffies < GUARD_EVENT_JIFFIES)
		return;
	counted->event_jiffies = now;
	tell(ctx, slot, reason, direction);
}

/* An accepted frame is addressed to the gateway. Should the tap have another address by now, as
 * udev gives new devices (systemd.link(5), MACAddressPolicy=), then the stack would take it for
 * somebody else's. */
static __always_inline int pass_to_host(struct __sk_buff *ctx)
{
	if (ctx->pkt_type == PACKET_OTHERHOST && bpf_skb_change_type(ctx, PACKET_HOST))
		return TC_ACT_SHOT;
	return NEXT;
}

/* From the guest. */
SEC("tc")
int guard_ingress(struct __sk_buff *ctx)
{
	__u32 ifindex = ctx->ifindex;
	struct guard_vm *vm = bpf_map_lookup_elem(&vms, &ifindex);
	struct layers layers = { 0 };
	enum guard_reason reason;
	__be16 ethertype = 0;

	if (!vm) {
		count(ctx, GUARD_SLOT_STRAYS, GUARD_NO_VM, GUARD_FROM_GUEST);
		return TC_ACT_SHOT;
	}
	reason = judge(ctx, vm, &layers, &ethertype);
	if (reason <= GUARD_ANSWERED && !is_within_rate(ctx, vm, GUARD_FROM_GUEST, &layers))
		reason = GUARD_RATE;
	count(ctx, vm->slot, reason, GUARD_FROM_GUEST);
	if (reason == GUARD_ACCEPT)
		return pass_to_host(ctx);
	if (reason != GUARD_ANSWERED)
		return TC_ACT_SHOT;
	return ethertype == bpf_htons(ETH_P_ARP) ? answer_arp(ctx, vm) : answer_nd(ctx, vm);
}

/* Whose frame this is, as its source says; NULL when it is no VM's. */
static __always_inline enum guard_reason judge_delivery(struct __sk_buff *ctx,
							const struct guard_vm *vm)
{
	struct guard_owner *owner = NULL;
	struct guard_ip6 ip6;
	__u32 ip4;

	switch (ctx->protocol) {
	case bpf_htons(ETH_P_ARP):
		return GUARD_DELIVERED;
	case bpf_htons(ETH_P_IP):
		if (bpf_skb_load_bytes(ctx, ETH_HLEN + 12, &ip4, sizeof(ip4)))
			return GUARD_TRUNCATED;
		owner = bpf_map_lookup_elem(&owners4, &ip4);
		break;
	case bpf_htons(ETH_P_IPV6):
		if (bpf_skb_load_bytes(ctx, ETH_HLEN + 8, &ip6, sizeof(ip6)))
			return GUARD_TRUNCATED;
		owner = bpf_map_lookup_elem(&owners6, &ip6);
		break;
	default:
		return GUARD_ETHERTYPE;
	}
	return check_tenant(owner, vm) ? GUARD_CROSS_TENANT_IN : GUARD_DELIVERED;
}

/* To the guest: the second net. */
SEC("tc")
int guard_egress(struct __sk_buff *ctx)
{
	__u32 ifindex = ctx->ifindex;
	struct guard_vm *vm = bpf_map_lookup_elem(&vms, &ifindex);
	enum guard_reason reason;

	if (!vm) {
		count(ctx, GUARD_SLOT_STRAYS, GUARD_NO_VM, GUARD_TO_GUEST);
		return TC_ACT_SHOT;
	}
	reason = judge_delivery(ctx, vm);
	if (reason == GUARD_DELIVERED && !is_delivery_within_rate(ctx, vm))
		reason = GUARD_RATE_IN;
	count(ctx, vm->slot, reason, GUARD_TO_GUEST);
	return reason == GUARD_DELIVERED ? NEXT : TC_ACT_SHOT;
}

/* From the guest, before the kernel makes a packet of it: shield.bpf.h. */
SEC("xdp")
int guard_shield(struct xdp_md *ctx)
{
	struct cursor cursor = { (void *)(long)ctx->data, (void *)(long)ctx->data_end };
	__u32 ifindex = ctx->ingress_ifindex;
	struct guard_vm *vm = bpf_map_lookup_elem(&vms, &ifindex);
	struct guard_counts *counted;
	enum guard_reason reason;

	if (!vm)
		return XDP_PASS;
	reason = shield(&cursor, vm);
	counted = reason ? bpf_map_lookup_elem(&counts, &vm->slot) : NULL;
	if (!counted || (__u32)reason >= GUARD_REASONS_MAX)
		return XDP_PASS;
	if (counted->shielded++ % SHIELD_SAMPLE == 0)
		return XDP_PASS;
	counted->packets[reason]++;
	return XDP_DROP;
}
