/* SPDX-License-Identifier: Apache-2.0 */
/* For `stokerctl guard` and `stokerctl events`: what the guard's events carry of a frame. Layouts:
 * RFC 826, 791, 8200, 768, 9293, 792 and 4443. */
#include "model/frame.h"

#include <stdbool.h>
#include <string.h>

#include "model/address.h"

enum {
	ETHERNET_BYTES = 14,
	ARP_BYTES = 28,
	IP4_BYTES = 20,
	IP6_BYTES = 40,
	ARP = 0x0806,
	IP4 = 0x0800,
	IP6 = 0x86dd,
	LENGTH_MAX = 0x5ff, /* up to here an ethertype is a length */
};

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static void put_mac(const uint8_t mac[6], struct strbuf *out)
{
	strbuf_printf(out, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		      mac[5]);
}

static void put_address(const uint8_t *bytes, int family, struct strbuf *out)
{
	struct address address = { .family = (uint8_t)family };
	char text[ADDRESS_TEXT_MAX];

	memcpy(address.bytes, bytes, family == 4 ? 4 : 16);
	strbuf_puts(out, address_format(&address, text));
}

/* With the port where there is one; IPv6 then in brackets. */
static void put_end(const uint8_t *address, int family, const uint8_t *port, struct strbuf *out)
{
	if (port && family == 6)
		strbuf_putc(out, '[');
	put_address(address, family, out);
	if (port)
		strbuf_printf(out, "%s:%u", family == 6 ? "]" : "", get16(port));
}

static const char *protocol_name(unsigned protocol)
{
	static const struct {
		unsigned number;
		const char *name;
	} names[] = {
		{ 0, "hop-by-hop options" },
		{ 1, "ICMP" },
		{ 2, "IGMP" },
		{ 6, "TCP" },
		{ 17, "UDP" },
		{ 43, "routing header" },
		{ 44, "fragment" },
		{ 47, "GRE" },
		{ 50, "ESP" },
		{ 58, "ICMPv6" },
		{ 60, "destination options" },
		{ 132, "SCTP" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].number == protocol)
			return names[i].name;
	return NULL;
}

struct packet {
	int family;
	const uint8_t *source, *destination;
	unsigned protocol;
	const uint8_t *layer4; /* NULL: a later fragment, or not there */
	size_t layer4_bytes;
};

static void put_packet(const struct packet *packet, struct strbuf *out)
{
	bool has_ports = (packet->protocol == 6 || packet->protocol == 17) && packet->layer4 &&
			 packet->layer4_bytes >= 4;
	bool is_icmp = packet->protocol == (packet->family == 4 ? 1u : 58u);

	put_end(packet->source, packet->family, has_ports ? packet->layer4 : NULL, out);
	strbuf_puts(out, " > ");
	put_end(packet->destination, packet->family, has_ports ? packet->layer4 + 2 : NULL, out);
	if (protocol_name(packet->protocol))
		strbuf_printf(out, " %s", protocol_name(packet->protocol));
	else
		strbuf_printf(out, " protocol %u", packet->protocol);
	if (is_icmp && packet->layer4 && packet->layer4_bytes >= 2)
		strbuf_printf(out, " type %u code %u", packet->layer4[0], packet->layer4[1]);
}

static void put_ip4(const uint8_t *ip, size_t bytes, struct strbuf *out)
{
	size_t header;
	unsigned fragment;
	struct packet packet = { .family = 4 };

	strbuf_puts(out, " IPv4");
	if (bytes < IP4_BYTES)
		return;
	strbuf_putc(out, ' ');
	header = (ip[0] & 15u) * 4u;
	fragment = get16(ip + 6) & 0x1fff;
	packet.source = ip + 12;
	packet.destination = ip + 16;
	packet.protocol = ip[9];
	if (!fragment && header >= IP4_BYTES && header <= bytes) {
		packet.layer4 = ip + header;
		packet.layer4_bytes = bytes - header;
	}
	put_packet(&packet, out);
	if (fragment)
		strbuf_printf(out, " fragment at %u", fragment * 8);
	if (header > IP4_BYTES)
		strbuf_puts(out, " with options");
}

static void put_ip6(const uint8_t *ip, size_t bytes, struct strbuf *out)
{
	struct packet packet = { .family = 6 };

	strbuf_puts(out, " IPv6");
	if (bytes < IP6_BYTES)
		return;
	strbuf_putc(out, ' ');
	packet.source = ip + 8;
	packet.destination = ip + 24;
	packet.protocol = ip[6];
	packet.layer4 = ip + IP6_BYTES;
	packet.layer4_bytes = bytes - IP6_BYTES;
	put_packet(&packet, out);
}

static void put_arp(const uint8_t *arp, size_t bytes, struct strbuf *out)
{
	strbuf_puts(out, " ARP");
	if (bytes < ARP_BYTES || arp[4] != 6 || arp[5] != 4)
		return;
	strbuf_printf(out, " op %u, ", get16(arp + 6));
	put_address(arp + 14, 4, out);
	strbuf_puts(out, " at ");
	put_mac(arp + 8, out);
	strbuf_puts(out, " about ");
	put_address(arp + 24, 4, out);
}

void frame_describe(const uint8_t *frame, size_t bytes, struct strbuf *out)
{
	unsigned type;

	if (bytes < ETHERNET_BYTES) {
		strbuf_printf(out, "%zu bytes of an Ethernet header", bytes);
		return;
	}
	put_mac(frame + 6, out);
	strbuf_puts(out, " > ");
	put_mac(frame, out);
	type = get16(frame + 12);
	frame += ETHERNET_BYTES;
	bytes -= ETHERNET_BYTES;
	if (type == ARP)
		put_arp(frame, bytes, out);
	else if (type == IP4)
		put_ip4(frame, bytes, out);
	else if (type == IP6)
		put_ip6(frame, bytes, out);
	else if (type <= LENGTH_MAX)
		strbuf_puts(out, " LLC");
	else
		strbuf_printf(out, " ethertype 0x%04x", type);
}
