/* SPDX-License-Identifier: Apache-2.0 */
/* The rules, in the order in which the guard asks them. Each RULE is one way for a frame to end. */
#include "tests/bpf/guard_model.h"

#include <string.h>

enum { ARP = 0x0806, IP4 = 0x0800, IP6 = 0x86dd, HOPOPTS = 0, TCP = 6, UDP = 17, FRAGMENT = 44 };
enum { ICMP6 = 58, DSTOPTS = 60, ETHERNET = 14, READ_MAX = 128 };

/* The line of each rule: the linker collects them, so that those never asked are known too. */
extern const unsigned __start_guard_rules[], __stop_guard_rules[];

/* Added to the line: the rule is for what BPF_PROG_TEST_RUN does not take. */
enum { OF_TAPS = 1 << 16 };

/* What the layers say; offsets are from the frame's start. */
struct layers {
	unsigned protocol, offset, length;
	bool is_fragment, is_later, has_hop_by_hop, has_options;
};

#define RULE_AT(reason, line)                                                 \
	({                                                                    \
		static const unsigned rule_line_                              \
			__attribute__((section("guard_rules"), used)) = line; \
		model->rule = (unsigned)(&rule_line_ - __start_guard_rules);  \
		GUARD_##reason;                                               \
	})
#define RULE(reason)	     RULE_AT(reason, __LINE__)
#define RULE_OF_TAPS(reason) RULE_AT(reason, __LINE__ | OF_TAPS)

static unsigned get16(const uint8_t *bytes)
{
	return (unsigned)(bytes[0] << 8 | bytes[1]);
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
	while (length > 0)
		if (bytes[--length])
			return false;
	return true;
}

static bool is_own4(const struct guard_vm *vm, const uint8_t *address)
{
	for (size_t i = 0; i < GUARD_IP4_MAX; i++)
		if (vm->ip4[i] && memcmp(&vm->ip4[i], address, 4) == 0)
			return true;
	return false;
}

static bool is_own6(const struct guard_vm *vm, const uint8_t *address)
{
	for (size_t i = 0; i < GUARD_IP6_MAX; i++)
		if (memcmp(vm->ip6[i], address, 16) == 0)
			return !is_zero(address, 16);
	return false;
}

/* Of a VM of another tenant? A link-local address is nobody's beyond its link. */
static bool is_of_others(const struct model *model, const uint8_t *address, bool is_ip6)
{
	for (size_t i = 0; i < sizeof(model->strangers) / sizeof(model->strangers[0]); i++) {
		struct guard_vm other = model->strangers[i];

		memset(other.ip6[0], 0, sizeof(other.ip6[0]));
		if (is_ip6 ? is_own6(&other, address) : is_own4(&other, address))
			return other.tenant != model->vm.tenant;
	}
	return false;
}

/* --- ARP and IPv4 -------------------------------------------------------------------------------
 */

static enum guard_reason judge_arp(struct model *model, const struct model_frame *frame)
{
	static const uint8_t ethernet_ip4[] = { 0, 1, 8, 0, 6, 4 };
	static const uint8_t gateway[] = { 169, 254, 1, 1 };
	const uint8_t *arp = frame->bytes + ETHERNET;

	if (frame->length < ETHERNET + 28)
		return RULE(TRUNCATED);
	if (memcmp(arp, ethernet_ip4, sizeof(ethernet_ip4)) != 0)
		return RULE(ARP_FORMAT);
	if (get16(arp + 6) != 1)
		return RULE(ARP_OP);
	if (memcmp(arp + 8, model->vm.mac, 6) != 0)
		return RULE(ARP_SENDER);
	if (!is_zero(arp + 14, 4) && !is_own4(&model->vm, arp + 14))
		return RULE(ARP_SENDER);
	if (is_own4(&model->vm, arp + 24))
		return frame->gso_size ? RULE(GSO) : RULE(ABSORBED);
	if (is_zero(arp + 14, 4))
		return RULE(ARP_TARGET);
	if (memcmp(arp + 24, gateway, 4) != 0)
		return RULE(ARP_TARGET);
	return frame->gso_size ? RULE(GSO) : RULE(ANSWERED);
}

/* Has the packet, in what is read of it, no header of so many bytes? */
static bool is_short(const struct model_frame *frame, const struct layers *layers, unsigned bytes)
{
	return layers->length < bytes || layers->offset + bytes > frame->readable;
}

/* GUARD_ACCEPT leaves it to the rules behind. */
static enum guard_reason judge_transport(struct model *model, const struct model_frame *frame,
					 const struct layers *layers, unsigned dhcp_port)
{
	const uint8_t *head = frame->bytes + layers->offset;

	if (layers->protocol == TCP && is_short(frame, layers, 20))
		return layers->is_fragment ? RULE(FRAGMENT) : RULE(TRUNCATED);
	if (layers->protocol == UDP && is_short(frame, layers, 8))
		return layers->is_fragment ? RULE(FRAGMENT) : RULE(TRUNCATED);
	if (layers->protocol == UDP && get16(head) == dhcp_port)
		return RULE(DHCP_SERVER);
	if (layers->length < 8 && layers->is_fragment)
		return RULE(FRAGMENT);
	return GUARD_ACCEPT;
}

/* Lawful as the protocols go: the last questions. */
static enum guard_reason judge_route(struct model *model, const struct model_frame *frame,
				     const struct layers *layers, bool is_ip6)
{
	const uint8_t *destination = frame->bytes + ETHERNET + (is_ip6 ? 24 : 16);

	if (frame->gso_size && layers->is_fragment)
		return RULE(GSO);
	if (frame->gso_size && layers->protocol != TCP && layers->protocol != UDP)
		return RULE(GSO);
	if (is_of_others(model, destination, is_ip6))
		return is_ip6 ? RULE(CROSS_TENANT) : RULE(CROSS_TENANT);
	if (layers->is_later)
		return is_ip6 ? RULE(ACCEPT) : RULE(ACCEPT);
	if (layers->is_fragment)
		return is_ip6 ? RULE(ACCEPT) : RULE(ACCEPT);
	if (frame->gso_size)
		return is_ip6 ? RULE(ACCEPT) : RULE(ACCEPT);
	if (layers->protocol == TCP)
		return is_ip6 ? RULE(ACCEPT) : RULE(ACCEPT);
	if (layers->protocol == UDP)
		return is_ip6 ? RULE(ACCEPT) : RULE(ACCEPT);
	return is_ip6 ? RULE(ACCEPT) : RULE(ACCEPT);
}

static enum guard_reason judge_ip4(struct model *model, const struct model_frame *frame)
{
	const uint8_t *ip = frame->bytes + ETHERNET, *to = ip + 16;
	struct layers layers = { .offset = ETHERNET + 20 };
	enum guard_reason reason;
	unsigned total, fragment;

	if (frame->length < ETHERNET + 20)
		return RULE_OF_TAPS(TRUNCATED);
	if (ip[0] >> 4 != 4)
		return RULE(IP_HEADER);
	if ((ip[0] & 15) < 5)
		return RULE(IP_HEADER);
	if ((ip[0] & 15) > 5)
		return RULE(IP_OPTIONS);
	total = get16(ip + 2);
	if (total < 20)
		return RULE(IP_HEADER);
	if (total > frame->length - ETHERNET)
		return RULE(TRUNCATED);
	if (!is_own4(&model->vm, ip + 12))
		return RULE(SOURCE_ADDRESS);
	if (to[0] == 255 && to[1] == 255 && to[2] == 255 && to[3] == 255)
		return RULE(BROADCAST);
	if (to[0] >= 224 && to[0] < 240)
		return RULE(MULTICAST);
	if (to[0] == 0 || to[0] == 127)
		return RULE(RESERVED);
	if (to[0] >= 240)
		return RULE(RESERVED);
	if (to[0] == 169 && to[1] == 254)
		return RULE(LINK_LOCAL);
	fragment = get16(ip + 6);
	layers.is_fragment = fragment & 0x3fff;
	layers.is_later = fragment & 0x1fff;
	layers.protocol = ip[9];
	layers.length = total - 20;
	if ((fragment & 0x1fff) == 1)
		return RULE(FRAGMENT);
	if (!layers.is_later && layers.protocol == 1) {
		if (frame->length < layers.offset + 4)
			return RULE(TRUNCATED);
		if (frame->bytes[layers.offset] == 5)
			return RULE(ICMP_REDIRECT);
		if (frame->bytes[layers.offset] == 9)
			return RULE(ROUTER);
	}
	reason = layers.is_later ? GUARD_ACCEPT : judge_transport(model, frame, &layers, 67);
	return reason ? reason : judge_route(model, frame, &layers, false);
}

/* --- IPv6 ---------------------------------------------------------------------------------------
 */

/* Of neighbour discovery, from `at` to the end of the message. */
static enum guard_reason judge_options(struct model *model, const struct model_frame *frame,
				       const uint8_t *at, unsigned length, bool is_from_nowhere)
{
	for (unsigned number = 1; length > 0; number++) {
		if (number > 4)
			return RULE(ND_FORMAT);
		if (length < 8)
			return RULE(ND_FORMAT);
		if (at + 8 > frame->bytes + frame->readable)
			return RULE_OF_TAPS(ND_FORMAT);
		if (at[1] == 0)
			return RULE(ND_FORMAT);
		if (at[1] * 8u > length || at[1] * 8u > READ_MAX)
			return RULE(ND_FORMAT);
		if (at[0] == 1 || at[0] == 2) {
			if (is_from_nowhere)
				return RULE(ND_LINK_LAYER);
			if (at[1] != 1 || memcmp(at + 2, model->vm.mac, 6) != 0)
				return RULE(ND_LINK_LAYER);
		}
		length -= at[1] * 8u;
		at += at[1] * 8u;
	}
	return GUARD_ACCEPT;
}

static enum guard_reason judge_discovery(struct model *model, const struct model_frame *frame,
					 const struct layers *layers)
{
	static const uint8_t gateway[] = { 0xfe, 0x80, [15] = 1 };
	const uint8_t *ip = frame->bytes + ETHERNET, *nd = frame->bytes + layers->offset;
	bool is_own, is_from_nowhere = is_zero(ip + 8, 16);
	enum guard_reason reason;

	if (nd[0] != 133 && is_short(frame, layers, 24))
		return RULE(ND_FORMAT);
	if (ip[7] != 255)
		return nd[0] == 133 ? RULE(ND_HOP_LIMIT) : RULE(ND_HOP_LIMIT);
	if (nd[0] == 133) {
		reason = judge_options(model, frame, nd + 8, layers->length - 8, is_from_nowhere);
		if (reason)
			return reason;
		return frame->gso_size ? RULE(GSO) : RULE(ABSORBED);
	}
	if (nd[1] != 0)
		return RULE(ND_FORMAT);
	is_own = is_own6(&model->vm, nd + 8);
	if (is_from_nowhere && nd[0] == 136)
		return RULE(SOURCE_ADDRESS);
	if (is_from_nowhere && !is_own)
		return RULE(SOURCE_ADDRESS);
	if (nd[0] == 136 && nd[4] & 0x80)
		return RULE(ND_ROUTER_FLAG);
	if (nd[0] == 136 && !is_own)
		return RULE(ND_TARGET);
	if (!is_own && memcmp(nd + 8, gateway, 16) != 0)
		return RULE(ND_TARGET);
	reason = judge_options(model, frame, nd + 24, layers->length - 24, is_from_nowhere);
	if (reason)
		return reason;
	if (frame->gso_size)
		return RULE(GSO);
	if (!is_own)
		return RULE(ANSWERED);
	return nd[0] == 136 ? RULE(ABSORBED) : RULE(ABSORBED);
}

/* GUARD_ACCEPT leaves it to the rules behind. */
static enum guard_reason judge_icmp6(struct model *model, const struct model_frame *frame,
				     const struct layers *layers)
{
	const uint8_t *ip = frame->bytes + ETHERNET, *icmp = frame->bytes + layers->offset;

	if (layers->length < 8 || layers->offset + 4 > frame->readable)
		return layers->is_fragment ? RULE(FRAGMENT) : RULE(TRUNCATED);
	if ((icmp[0] >= 1 && icmp[0] <= 4) || icmp[0] == 128 || icmp[0] == 129)
		return GUARD_ACCEPT;
	if (icmp[0] == 134)
		return RULE(ROUTER);
	if (icmp[0] == 137)
		return RULE(ICMP_REDIRECT);
	if (icmp[0] == 130)
		return RULE(MLD);
	if (icmp[0] == 131 || icmp[0] == 132 || icmp[0] == 143) {
		if (!layers->has_hop_by_hop)
			return RULE(MLD);
		if (layers->has_options || layers->is_fragment)
			return RULE(MLD);
		if (ip[7] != 1)
			return RULE(MLD);
		return frame->gso_size ? RULE(GSO) : RULE(ABSORBED);
	}
	if (icmp[0] < 133 || icmp[0] > 136)
		return RULE(ICMP_TYPE);
	if (layers->is_fragment)
		return RULE(FRAGMENT);
	if (layers->has_hop_by_hop || layers->has_options)
		return RULE(EXTENSION);
	return judge_discovery(model, frame, layers);
}

static bool is_extension(unsigned protocol)
{
	return protocol == HOPOPTS || protocol == DSTOPTS || protocol == FRAGMENT;
}

static enum guard_reason walk(struct model *model, const struct model_frame *frame,
			      struct layers *layers)
{
	for (unsigned number = 1; is_extension(layers->protocol) && !layers->is_later; number++) {
		const uint8_t *head = frame->bytes + layers->offset;
		unsigned size = 8;

		if (number > 4)
			return RULE(EXTENSION);
		if (layers->protocol == HOPOPTS && number > 1)
			return RULE(EXTENSION);
		if (layers->offset + 8 > frame->readable)
			return RULE(EXTENSION);
		if (layers->protocol == FRAGMENT && layers->is_fragment)
			return RULE(FRAGMENT);
		if (layers->protocol == FRAGMENT && get16(head + 2) >> 3 == 1)
			return RULE(FRAGMENT);
		if (layers->protocol != FRAGMENT)
			size += head[1] * 8u;
		if (size > layers->length)
			return RULE(EXTENSION);
		if (size > READ_MAX)
			return RULE(EXTENSION);
		layers->has_hop_by_hop |= layers->protocol == HOPOPTS;
		layers->has_options |= layers->protocol == DSTOPTS;
		layers->is_fragment |= layers->protocol == FRAGMENT;
		layers->is_later = layers->protocol == FRAGMENT && get16(head + 2) >> 3;
		layers->protocol = head[0];
		layers->offset += size;
		layers->length -= size;
	}
	return GUARD_ACCEPT;
}

static enum guard_reason judge_ip6_addresses(struct model *model, const uint8_t *ip)
{
	const uint8_t *from = ip + 8, *to = ip + 24;

	if (is_zero(from, 16))
		return RULE(SOURCE_ADDRESS);
	if (from[0] == 0xfe && from[1] >> 6 == 2)
		return RULE(SOURCE_ADDRESS);
	if (to[0] == 0xff)
		return RULE(MULTICAST);
	if (to[0] == 0xfe && to[1] >> 6 == 2)
		return RULE(LINK_LOCAL);
	if (is_zero(to, 12))
		return RULE(RESERVED);
	if (is_zero(to, 10) && to[10] == 0xff && to[11] == 0xff)
		return RULE(RESERVED);
	return GUARD_ACCEPT;
}

static enum guard_reason judge_ip6(struct model *model, const struct model_frame *frame,
				   bool is_to_group)
{
	static const uint8_t known[] = { TCP, UDP, 47, 50, ICMP6, 132, 136 };
	const uint8_t *ip = frame->bytes + ETHERNET;
	struct layers layers = { .offset = ETHERNET + 40 };
	enum guard_reason reason;

	if (frame->length < layers.offset)
		return RULE_OF_TAPS(TRUNCATED);
	layers.length = get16(ip + 4);
	layers.protocol = ip[6];
	if (ip[0] >> 4 != 6)
		return RULE(IP_HEADER);
	if (!layers.length)
		return RULE(IP_HEADER);
	if (layers.length > frame->length - layers.offset)
		return RULE(TRUNCATED);
	if (!is_zero(ip + 8, 16) && !is_own6(&model->vm, ip + 8))
		return RULE(SOURCE_ADDRESS);
	if (is_to_group && ip[24] != 0xff)
		return RULE(DESTINATION_MAC);
	reason = walk(model, frame, &layers);
	if (reason)
		return reason;
	if (!memchr(known, (int)layers.protocol, sizeof(known)))
		return RULE(PROTOCOL);
	if (layers.protocol == ICMP6 && !layers.is_later) {
		reason = judge_icmp6(model, frame, &layers);
		if (reason)
			return reason;
	}
	if (layers.has_hop_by_hop)
		return RULE(EXTENSION);
	reason = judge_ip6_addresses(model, ip);
	if (!reason && !layers.is_later)
		reason = judge_transport(model, frame, &layers, 547);
	return reason ? reason : judge_route(model, frame, &layers, true);
}

/* --- both directions ----------------------------------------------------------------------------
 */

enum guard_reason model_from_guest(struct model *model, const struct model_frame *frame)
{
	static const uint8_t gateway[] = GUARD_GATEWAY_MAC;
	static const uint8_t broadcast[] = { 255, 255, 255, 255, 255, 255 };
	const uint8_t *mac = frame->bytes;
	unsigned ethertype = get16(mac + 12);
	bool is_to_gateway = memcmp(mac, gateway, 6) == 0;

	if (frame->gso_size && frame->gso_size < GUARD_GSO_MIN)
		return RULE(GSO);
	if (frame->gso_size > model->vm.mtu)
		return RULE(GSO);
	if (!frame->gso_size && frame->length > (size_t)model->vm.mtu + ETHERNET)
		return RULE(JUMBO);
	if (memcmp(mac + 6, model->vm.mac, 6) != 0)
		return RULE(SOURCE_MAC);
	if (ethertype == ARP && !is_to_gateway && memcmp(mac, broadcast, 6) != 0)
		return RULE(DESTINATION_MAC);
	if (ethertype == IP6 && !is_to_gateway && (mac[0] != 0x33 || mac[1] != 0x33))
		return RULE(DESTINATION_MAC);
	if (ethertype != ARP && ethertype != IP6 && !is_to_gateway)
		return RULE(DESTINATION_MAC);
	if (ethertype == ARP)
		return judge_arp(model, frame);
	if (ethertype == IP4)
		return judge_ip4(model, frame);
	if (ethertype == IP6)
		return judge_ip6(model, frame, !is_to_gateway);
	return RULE(ETHERTYPE);
}

enum guard_reason model_to_guest(struct model *model, const struct model_frame *frame)
{
	unsigned ethertype = get16(frame->bytes + 12);
	bool is_ip6 = ethertype == IP6;
	size_t source = ETHERNET + (is_ip6 ? 8 : 12);

	if (ethertype == ARP)
		return RULE(DELIVERED);
	if (ethertype != IP4 && !is_ip6)
		return RULE(ETHERTYPE);
	if (frame->length < source + (is_ip6 ? 16 : 4))
		return is_ip6 ? RULE_OF_TAPS(TRUNCATED) : RULE_OF_TAPS(TRUNCATED);
	if (is_of_others(model, frame->bytes + source, is_ip6))
		return is_ip6 ? RULE(CROSS_TENANT_IN) : RULE(CROSS_TENANT_IN);
	return is_ip6 ? RULE(DELIVERED) : RULE(DELIVERED);
}

unsigned model_rule_count(void)
{
	return (unsigned)(__stop_guard_rules - __start_guard_rules);
}

unsigned model_rule_line(unsigned rule)
{
	return __start_guard_rules[rule] & ~(unsigned)OF_TAPS;
}

bool model_rule_is_of_taps(unsigned rule)
{
	return __start_guard_rules[rule] & OF_TAPS;
}
