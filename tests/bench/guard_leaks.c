/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_guard_leaks [-v]: the frames of guard_frames.h, written by a VM to its real tap. Which of
 * the hostile ones arrive at the tap of a neighbour or of a VM of another tenant, and which of the
 * lawful ones do not, with the guard and with what else there is to install? On a bridge a forged
 * source takes its owner's place in the forwarding table, so that lawful frames behind it are lost
 * too. Designs whose tools are missing are left out. Fails when one hostile frame passes the guard
 * or one lawful frame does not; -v names each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "base/cleanup.h"
#include "net/rtnl.h"
#include "net/tap.h"
#include "tests/unit/guard_frames.h"

enum { READ_MAX = 70000, TAPS = 3, HEADER = sizeof(struct virtio_net_hdr_v1) };

enum part { SENDER, NEIGHBOUR, STRANGER };

struct tap {
	const char *name, *mac, *ip4, *ip6;
	struct guard_vm vm;
	int fd;
	unsigned ifindex;
};

static struct tap taps[TAPS] = {
	{ "stka", "02:00:00:00:00:0a", "10.0.0.2", "fd00::2" },
	{ "stkb", "02:00:00:00:00:0b", "10.0.0.3", "fd00::3" },
	{ "stkx", "02:00:00:00:00:0c", "10.9.0.3", "fd09::3" },
};

struct tally {
	unsigned hostile, leaked, lawful, lost, refused;
	unsigned leaked_by[GUARD_REASON_COUNT];
};

static bool is_verbose;

static bool try_command(const char *line)
{
	return system(line) == 0;
}

static void make_taps(void)
{
	struct error err;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	for (size_t i = 0; i < TAPS; i++) {
		must(tap_create(taps[i].name, 0, &taps[i].fd, &taps[i].ifindex, &err));
		fcntl(taps[i].fd, F_SETFL, O_NONBLOCK);
		must(tap_configure(taps[i].name, true, &err));
	}
}

static void end_taps(void)
{
	for (size_t i = 0; i < TAPS; i++) {
		char line[64];

		snprintf(line, sizeof(line), "ip link delete %s", taps[i].name);
		try_command(line);
		close(taps[i].fd);
	}
}

static void route_taps(void)
{
	for (size_t i = 0; i < TAPS; i++) {
		char line[512];

		snprintf(line, sizeof(line),
			 "ip link set %s up && for each in %s %s; do"
			 " ip route add $each dev %s &&"
			 " ip neighbour add $each lladdr %s dev %s nud permanent || exit 1; done",
			 taps[i].name, taps[i].ip4, taps[i].ip6, taps[i].name, taps[i].mac,
			 taps[i].name);
		assert_true(try_command(line));
	}
}

static void bridge_taps(void)
{
	assert_true(try_command("ip link add br0 type bridge mcast_snooping 0 &&"
				" echo 1 >/proc/sys/net/ipv6/conf/br0/disable_ipv6 &&"
				" ip link set br0 up"));
	for (size_t i = 0; i < TAPS; i++) {
		char line[256];

		snprintf(line, sizeof(line),
			 "ip link set %s master br0 up &&"
			 " bridge fdb replace %s dev %s master static",
			 taps[i].name, taps[i].mac, taps[i].name);
		assert_true(try_command(line));
	}
}

/* --- designs ------------------------------------------------------------------------------------
 */

static struct guard *guard;

static bool make_nothing(void)
{
	route_taps();
	return true;
}

static bool make_guarded(void)
{
	const char *const hex[TAPS][2] = { { IP_A, A6 }, { IP_B, B6 }, { IP_X, X6 } };
	struct error err;

	guard = open_guard((struct guard_options){ 0 });
	for (size_t i = 0; i < TAPS; i++) {
		taps[i].vm = make_vm((uint32_t)(SLOT + i), i == STRANGER ? 2 : 1, hex[i][0],
				     hex[i][1]);
		taps[i].vm.mac[5] = (uint8_t)(0xa + i);
		must(guard_set_vm(guard, taps[i].ifindex, &taps[i].vm, &err));
		must(guard_attach(guard, taps[i].name, taps[i].ifindex, &err));
	}
	route_taps();
	return true;
}

static bool make_netdev(void)
{
	route_taps();
	return try_command("nft -f - <<-'EOF'\n"
			   "table netdev filter {\n"
			   "chain a { type filter hook ingress device stka priority 0;\n"
			   "ether saddr != 02:00:00:00:00:0a drop\n"
			   "arp saddr ether != 02:00:00:00:00:0a drop\n"
			   "arp saddr ip != 10.0.0.2 drop\n"
			   "ip saddr != 10.0.0.2 drop\n"
			   "ip6 saddr != { fd00::2, fe80::ff:fe00:a } drop\n"
			   "icmpv6 type { nd-router-advert, nd-redirect } drop\n"
			   "udp sport { 67, 547 } drop\n"
			   "meta protocol != { ip, ip6, arp } drop\n"
			   "}\n}\nEOF");
}

static bool make_bridge(void)
{
	bridge_taps();
	return true;
}

/* Of Incus's templates: security.mac_filtering, ipv4_filtering and ipv6_filtering. */
static bool make_chain(void)
{
	bridge_taps();
	return try_command(
		"nft -f - <<-'EOF'\n"
		"table bridge incus {\n"
		"chain fwd.a { type filter hook forward priority -200; policy accept;\n"
		"iifname stka ether saddr != 02:00:00:00:00:0a drop\n"
		"iifname stka arp saddr ether != 02:00:00:00:00:0a drop\n"
		"iifname stka icmpv6 type 136 @nh,528,48 != 0x02000000000a drop\n"
		"iifname stka arp saddr ip != 10.0.0.2 drop\n"
		"iifname stka ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp dport 67 accept\n"
		"iifname stka ip saddr != 10.0.0.2 drop\n"
		"iifname stka icmpv6 type 134 drop\n"
		"iifname stka ip6 saddr fe80::/10 ip6 daddr ff02::1:2 udp dport 547 accept\n"
		"iifname stka icmpv6 type 136 @nh,384,128 !="
		" { 0xfd000000000000000000000000000002, 0xfe80000000000000000000fffe00000a } drop\n"
		"iifname stka ip6 saddr != { fd00::2, fe80::ff:fe00:a } drop\n"
		"iifname stka ether type != { arp, ip, ip6 } drop\n"
		"}\n}\nEOF");
}

/* libvirt's clean-traffic: no-mac-spoofing, no-ip-spoofing, no-arp-*-spoofing, no-other-l2-traffic.
 */
static bool make_ebtables(void)
{
	bridge_taps();
	return try_command(
		"ebtables-restore <<-'EOF'\n"
		"*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n:I-a ACCEPT\n"
		"-A PREROUTING -i stka -j I-a\n"
		"-A I-a -s ! 02:00:00:00:00:0a -j DROP\n"
		"-A I-a -p IPv4 --ip-src 0.0.0.0 --ip-proto udp --ip-dport 67 -j RETURN\n"
		"-A I-a -p IPv4 --ip-src ! 10.0.0.2 -j DROP\n"
		"-A I-a -p ARP --arp-mac-src ! 02:00:00:00:00:0a -j DROP\n"
		"-A I-a -p ARP --arp-ip-src ! 10.0.0.2 -j DROP\n"
		"-A I-a -p ARP --arp-opcode ! Request -j DROP\n"
		"-A I-a -p IPv4 -j RETURN\n-A I-a -p ARP -j RETURN\n-A I-a -j DROP\n"
		"EOF");
}

struct design {
	const char *name;
	bool (*make)(void);
	bool is_bridge, is_made;
	struct tally tally;
};

static struct design designs[] = {
	{ "routed", make_nothing },    { "guard", make_guarded },
	{ "netdev", make_netdev },     { "bridge", make_bridge, true },
	{ "incus", make_chain, true }, { "ebtables", make_ebtables, true },
};

enum { DESIGNS = sizeof(designs) / sizeof(designs[0]) };

/* --- frames -------------------------------------------------------------------------------------
 */

static const char *word(enum guard_reason reason)
{
#define REASON_WORD(name, text, drop) text,
	static const char *const words[] = { GUARD_REASONS(REASON_WORD) };

	return words[reason];
}

/* What the host says of itself, within the first second: to which groups it listens (RFC 3810). */
static bool is_hosts_report(const uint8_t *frame)
{
	uint8_t macs[12];

	put_hex(macs, "333300000016" GW);
	return memcmp(frame, macs, sizeof(macs)) == 0;
}

/* Frames that wait at the victims: a tap's write runs to the end of the path, so all that it leads
 * to is there. */
static unsigned drain(void)
{
	static uint8_t bytes[READ_MAX];
	unsigned count = 0;

	for (size_t i = NEIGHBOUR; i < TAPS; i++)
		while (read(taps[i].fd, bytes, sizeof(bytes)) > 0)
			count += !is_hosts_report(bytes + HEADER);
	return count;
}

/* On a bridge the way to the victim is its own MAC. */
static void address_to_victim(uint8_t *frame)
{
	uint8_t gateway[6], stranger4[4], stranger6[16];

	put_hex(gateway, GW);
	put_hex(stranger4, IP_X);
	put_hex(stranger6, X6);
	if (memcmp(frame, gateway, 6) != 0)
		return;
	put_hex(frame, "02000000000b");
	if (memcmp(frame + 30, stranger4, 4) == 0 || memcmp(frame + 38, stranger6, 16) == 0)
		frame[5] = 0xc;
}

/* From this VM to its neighbour? Other lawful frames have no victim to arrive at. */
static bool is_to_neighbour(const uint8_t *frame)
{
	uint8_t ip4[8], ip6[32];

	put_hex(ip4, IP_A IP_B);
	put_hex(ip6, A6 B6);
	return memcmp(frame + 26, ip4, sizeof(ip4)) == 0 ||
	       memcmp(frame + 22, ip6, sizeof(ip6)) == 0;
}

static void put16(uint8_t *to, size_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

/* The headers of a lawful packet of segments say what there is. */
static void put_lengths(uint8_t *frame, size_t length)
{
	bool is_ip4 = frame[12] == 8;
	size_t l4 = is_ip4 ? 34 : 54;

	if (is_ip4)
		put16(frame + 16, length - 14);
	else
		put16(frame + 18, length - 54);
	if (frame[is_ip4 ? 23 : 20] == 17)
		put16(frame + l4 + 4, length - l4);
}

static void put_ip4_sum(uint8_t *frame)
{
	uint32_t sum = 0;

	if (frame[12] != 8 || frame[13] != 0 || frame[14] != 0x45)
		return;
	put16(frame + 24, 0);
	for (size_t i = 14; i < 34; i += 2)
		sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(frame + 24, (uint16_t)~sum);
}

static void send_case(struct design *design, const struct frame_case *each,
		      const struct virtio_net_hdr_v1 *header)
{
	uint8_t bytes[HEADER + FRAME_MAX * 2] = { 0 }, *frame = bytes + HEADER;
	bool is_hostile = each->reason > GUARD_DELIVERED;
	struct tally *tally = &design->tally;
	uint8_t built[FRAME_MAX];
	size_t length = build(each, built);
	unsigned arrived;

	memcpy(frame, built, length < FRAME_MAX ? length : FRAME_MAX);
	memcpy(bytes, header, HEADER);
	if (!is_hostile && (each->reason != GUARD_ACCEPT || !is_to_neighbour(frame)))
		return;
	/* Lawful on a bridge. */
	if (design->is_bridge && is_hostile && memcmp(frame, "\x02\0\0\0\0\x0b", 6) == 0)
		return;
	if (header->gso_size && !is_hostile)
		put_lengths(frame, length);
	put_ip4_sum(frame);
	if (design->is_bridge)
		address_to_victim(frame);
	drain();
	if (write(taps[SENDER].fd, bytes, HEADER + length) < 0) {
		tally->refused++;
		return;
	}
	arrived = drain();
	tally->hostile += is_hostile;
	tally->lawful += !is_hostile;
	if (is_hostile ? !arrived : arrived)
		return;
	tally->leaked += is_hostile;
	tally->lost += !is_hostile;
	tally->leaked_by[each->reason] += is_hostile;
	if (is_verbose)
		printf("# %s: %s: %s\n", design->name, is_hostile ? "leaked" : "lost", each->name);
}

static void run_design(struct design *design)
{
	static const struct virtio_net_hdr_v1 none;
	struct error err;

	make_taps();
	design->is_made = design->make();
	for (size_t i = 0; i < COUNT_OF_GUEST && design->is_made; i++)
		if (!guest_cases[i].gso_size)
			send_case(design, &guest_cases[i], &none);
	for (size_t i = 0; i < COUNT_OF_TAP && design->is_made; i++)
		send_case(design, &tap_cases[i].frame, &tap_cases[i].header);
	end_taps();
	if (!guard)
		return;
	for (size_t i = 0; i < TAPS; i++) {
		guard_forget(guard, taps[i].name);
		must(guard_clear_vm(guard, taps[i].ifindex, taps[i].vm.slot, &err));
	}
	must(guard_remove(guard, &err));
	guard = guard_close(guard);
}

static void print_row(const char *name, size_t offset)
{
	printf("%-24s", name);
	for (size_t i = 0; i < DESIGNS; i++)
		if (designs[i].is_made)
			printf(" %9u",
			       *(const unsigned *)((const char *)&designs[i].tally + offset));
	putchar('\n');
}

static void print_table(void)
{
	printf("%-24s", "");
	for (size_t i = 0; i < DESIGNS; i++)
		if (designs[i].is_made)
			printf(" %9s", designs[i].name);
	putchar('\n');
	print_row("hostile frames", offsetof(struct tally, hostile));
	print_row("  that arrive", offsetof(struct tally, leaked));
	for (size_t reason = 0; reason < GUARD_REASON_COUNT; reason++) {
		unsigned sum = 0;
		char name[64];

		for (size_t i = 0; i < DESIGNS; i++)
			sum += designs[i].tally.leaked_by[reason];
		snprintf(name, sizeof(name), "    %s", word((enum guard_reason)reason));
		if (sum)
			print_row(name,
				  offsetof(struct tally, leaked_by) + reason * sizeof(unsigned));
	}
	print_row("lawful frames", offsetof(struct tally, lawful));
	print_row("  that are lost", offsetof(struct tally, lost));
	print_row("refused by the tap", offsetof(struct tally, refused));
}

int main(int argc, char **argv)
{
	const struct tally *nothing = &designs[0].tally, *guarded = &designs[1].tally;
	bool is_sound;

	is_verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	if (set_up(NULL) != 0 || !is_ready)
		return 1;
	for (size_t i = 0; i < DESIGNS; i++)
		run_design(&designs[i]);
	print_table();
	tear_down(NULL);
	/* Frames that arrive nowhere even unguarded would prove nothing. */
	is_sound = nothing->leaked >= 20 && guarded->hostile >= 100 && guarded->lawful >= 16;
	if (!is_sound)
		puts("the table proves nothing: too few frames arrive without a guard");
	return guarded->leaked || guarded->lost || !is_sound;
}
