/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet for every verdict of the guard. Frames are templates with patches, run through the
 * program by BPF_PROG_TEST_RUN; what only a tap can say (checksum offsets, VLAN tags that the
 * kernel strips) is written to a tap. Everything lies in namespaces of the test's own; needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "guard_frames.h"
#include "guard_host.h"
#include "net/guard.h"
#include "net/net.h"
#include "net/rtnl.h"
#include "net/tap.h"

/* --- the guard under test -----------------------------------------------------------------------
 */

/* This VM behind `ifindex`, a neighbour of its tenant, a stranger. */
static void fill(struct guard *guard, unsigned ifindex)
{
	struct guard_vm vm = make_vm(SLOT, 1, IP_A, A6);
	struct guard_vm neighbour = make_vm(8, 1, IP_B, B6), stranger = make_vm(9, 2, IP_X, X6);
	struct error err;

	put_hex((uint8_t *)&vm.ip4[1], "0a00000c");
	must(guard_set_vm(guard, ifindex, &vm, &err));
	must(guard_set_vm(guard, 1001, &neighbour, &err));
	must(guard_set_vm(guard, 1002, &stranger, &err));
}

static void end_guard(struct guard *guard, unsigned ifindex)
{
	struct error err;

	must(guard_clear_vm(guard, ifindex, SLOT, &err));
	must(guard_clear_vm(guard, 1001, 8, &err));
	must(guard_clear_vm(guard, 1002, 9, &err));
	must(guard_remove(guard, &err));
	assert_int_equal(access(bpf_dir, F_OK), -1);
	guard_close(guard);
}

static const char *word(enum guard_reason reason)
{
#define REASON_WORD(name, text, drop) text,
	static const char *const words[] = { GUARD_REASONS(REASON_WORD) };

	return words[reason];
}

/* The one reason counted between the two readings, and once. */
static enum guard_reason counted(const char *name, const struct guard_counts *before,
				 const struct guard_counts *after)
{
	enum guard_reason found = GUARD_REASON_COUNT;

	for (size_t i = 0; i < GUARD_REASONS_MAX; i++) {
		if (after->packets[i] == before->packets[i])
			continue;
		if (found != GUARD_REASON_COUNT || after->packets[i] != before->packets[i] + 1)
			fail_msg("%s: counted more than once", name);
		found = (enum guard_reason)i;
	}
	if (found == GUARD_REASON_COUNT)
		fail_msg("%s: not counted", name);
	return found;
}

static int verdict_of(enum guard_reason reason)
{
	if (reason == GUARD_ACCEPT || reason == GUARD_DELIVERED)
		return NEXT;
	return reason == GUARD_ANSWERED ? REDIRECT : SHOT;
}

/* Runs the frame; its reason must be the case's. Returns the length of what came out. */
static size_t run_case(struct guard *guard, const struct frame_case *each, bool is_egress,
		       uint32_t slot, uint8_t out[FRAME_MAX])
{
	struct __sk_buff context = { .gso_size = each->gso_size };
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &context, .ctx_size_in = sizeof(context),
		    .data_out = out, .data_size_out = FRAME_MAX);
	struct guard_counts before, after;
	uint8_t frame[FRAME_MAX];
	enum guard_reason reason;
	struct error err;

	run.data_in = frame;
	run.data_size_in = (uint32_t)build(each, frame);
	must(guard_counts_read(guard, slot, &before, &err));
	if (bpf_prog_test_run_opts(guard_program_fd(guard, is_egress), &run) < 0)
		fail_msg("%s: BPF_PROG_TEST_RUN: %s", each->name, strerror(errno));
	must(guard_counts_read(guard, slot, &after, &err));
	reason = counted(each->name, &before, &after);
	if (reason != each->reason)
		fail_msg("%s: %s instead of %s", each->name, word(reason), word(each->reason));
	if ((int)run.retval != verdict_of(reason))
		fail_msg("%s: verdict %d", each->name, (int)run.retval);
	if (after.bytes - before.bytes != (reason == GUARD_ACCEPT ? run.data_size_in : 0))
		fail_msg("%s: bytes counted wrongly", each->name);
	return run.data_size_out;
}

static void run_guest_cases(bool without_kernel_context)
{
	struct guard *guard = open_guard(
		(struct guard_options){ .without_kernel_context = without_kernel_context });
	uint8_t out[FRAME_MAX];

	fill(guard, LOOPBACK);
	for (size_t i = 0; i < COUNT_OF_GUEST; i++)
		run_case(guard, &guest_cases[i], false, SLOT, out);
	end_guard(guard, LOOPBACK);
}

static void test_frames_from_the_guest(void **state)
{
	(void)state;
	NEEDS_ROOT();
	run_guest_cases(false);
}

static void test_frames_from_the_guest_on_an_older_kernel(void **state)
{
	(void)state;
	NEEDS_ROOT();
	run_guest_cases(true);
}

static void test_frames_to_the_guest(void **state)
{
	struct guard *guard;
	uint8_t out[FRAME_MAX];

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ 0 });
	fill(guard, LOOPBACK);
	for (size_t i = 0; i < COUNT_OF_HOST; i++)
		run_case(guard, &host_cases[i], true, SLOT, out);
	end_guard(guard, LOOPBACK);
}

static void test_a_tap_without_an_entry_passes_nothing(void **state)
{
	static const struct frame_case lost = { "no entry", UDP4, .reason = GUARD_NO_VM };
	uint8_t out[FRAME_MAX];
	struct guard *guard;

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ 0 });
	run_case(guard, &lost, false, GUARD_SLOT_STRAYS, out);
	run_case(guard, &lost, true, GUARD_SLOT_STRAYS, out);
	end_guard(guard, 0);
}

/* --- the flood shield ---------------------------------------------------------------------------
 */

/* What the shield dropped the frame for; GUARD_ACCEPT: it let it through. */
static enum guard_reason shielded(struct guard *guard, const struct frame_case *each)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	struct guard_counts before, after;
	uint8_t frame[FRAME_MAX];
	struct error err;

	run.data_in = frame;
	run.data_size_in = (uint32_t)build(each, frame);
	must(guard_counts_read(guard, SLOT, &before, &err));
	if (bpf_prog_test_run_opts(guard_shield_fd(guard), &run) < 0)
		fail_msg("%s: BPF_PROG_TEST_RUN: %s", each->name, strerror(errno));
	must(guard_counts_read(guard, SLOT, &after, &err));
	if (run.retval == XDP_DROP)
		return counted(each->name, &before, &after);
	assert_int_equal(run.retval, XDP_PASS);
	assert_memory_equal(before.packets, after.packets, sizeof(before.packets));
	return GUARD_ACCEPT;
}

/* It drops nothing that the guard lets through, and what it is for. */
static void test_the_shield_drops_what_the_guard_would(void **state)
{
	static const enum guard_reason known[] = { GUARD_SOURCE_MAC, GUARD_DESTINATION_MAC,
						   GUARD_ETHERTYPE,  GUARD_IP_OPTIONS,
						   GUARD_RESERVED,   GUARD_LINK_LOCAL,
						   GUARD_MULTICAST,  GUARD_BROADCAST };
	static const struct frame_case tagged = { "VLAN", GW ME "81000064", .length = 60 };
	unsigned drops[GUARD_REASON_COUNT] = { 0 };
	struct guard *guard;

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ 0 });
	fill(guard, LOOPBACK);
	assert_int_equal(shielded(guard, &tagged), GUARD_ACCEPT); /* the first is the guard's */
	assert_int_equal(shielded(guard, &tagged), GUARD_VLAN);
	for (size_t i = 0; i < COUNT_OF_GUEST; i++) {
		enum guard_reason reason;

		if (build(&guest_cases[i], (uint8_t[FRAME_MAX]){ 0 }) < 14)
			continue;
		reason = shielded(guard, &guest_cases[i]);
		if (reason && guest_cases[i].reason <= GUARD_DELIVERED)
			fail_msg("%s: lawful, and dropped: %s", guest_cases[i].name, word(reason));
		drops[reason]++;
		for (size_t j = 0; j < sizeof(known) / sizeof(known[0]); j++)
			if (guest_cases[i].reason == known[j] && !reason &&
			    guest_cases[i].frame[24] == '0' && guest_cases[i].frame[25] == '8')
				fail_msg("%s: let through", guest_cases[i].name);
	}
	assert_true(drops[GUARD_SOURCE_ADDRESS] >= 5);
	assert_true(drops[GUARD_SOURCE_MAC] >= 3);
	end_guard(guard, LOOPBACK);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static uint16_t checksum6(const uint8_t *frame, size_t length)
{
	uint32_t sum = (uint32_t)(length - 54) + 58;

	for (size_t i = 22; i < length; i += 2)
		sum += (uint32_t)(frame[i] << 8 | frame[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void test_answers_for_the_gateway(void **state)
{
	static const struct frame_case arp = { "ARP", ARP, .reason = GUARD_ANSWERED };
	static const struct frame_case ns = { "NS", NS, .reason = GUARD_ANSWERED };
	uint8_t out[FRAME_MAX], want[FRAME_MAX];
	struct guard *guard;
	size_t length;

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ 0 });
	fill(guard, LOOPBACK);
	length = put_hex(want, ME GW "0806"
				     "0001080006040002" GW "a9fe0101" ME IP_A);
	assert_int_equal(run_case(guard, &arp, false, SLOT, out), length);
	assert_memory_equal(out, want, length);
	length = put_hex(want, ME GW "86dd"
				     "60000000"
				     "00203aff" GW6 LL6 "8800");
	assert_int_equal(run_case(guard, &ns, false, SLOT, out), 86);
	assert_memory_equal(out, want, length);
	length = put_hex(want, "e0000000" GW6 "0201" GW);
	assert_memory_equal(out + 58, want, length);
	assert_int_equal(checksum6(out, 86), 0xffff);
	end_guard(guard, LOOPBACK);
}

static void test_gateway_is_the_contracts(void **state)
{
	static const uint8_t mac[] = GUARD_GATEWAY_MAC;
	struct address address;
	uint8_t bytes[16];

	(void)state;
	assert_memory_equal(mac, NET_GATEWAY_MAC, sizeof(mac));
	assert_int_equal(address_parse(NET_GATEWAY4, &address), 0);
	put_hex(bytes, "a9fe0101");
	assert_memory_equal(address.bytes, bytes, 4);
	assert_int_equal(GUARD_GATEWAY4, 0xa9fe0101u);
	assert_int_equal(address_parse(NET_GATEWAY6, &address), 0);
	put_hex(bytes, GW6);
	assert_memory_equal(address.bytes, bytes, 16);
}

/* --- through a tap ------------------------------------------------------------------------------
 */

/* False: this kernel's taps do not know segments of UDP, or refuse a kind of segments that
 * contradicts the protocol by themselves. */
static bool write_frame(int fd, const struct tap_case *each)
{
	enum { BYTES = 4096 };
	uint8_t bytes[BYTES + sizeof(each->header)] = { 0 };
	uint8_t frame[FRAME_MAX];
	size_t length = build(&each->frame, frame);

	memcpy(bytes, &each->header, sizeof(each->header));
	memcpy(bytes + sizeof(each->header), frame, length < FRAME_MAX ? length : FRAME_MAX);
	length += sizeof(each->header);
	if (write(fd, bytes, length) == (ssize_t)length)
		return true;
	if (errno != EINVAL ||
	    (each->header.gso_type != SEGMENTS_OF_UDP && each->frame.reason != GUARD_GSO))
		fail_msg("%s: the tap refuses it: %s", each->frame.name, strerror(errno));
	return false;
}

static bool has_tcx(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%d.%d", &major, &minor), 2);
	return major > 6 || (major == 6 && minor >= 6);
}

static void run_tap_cases(bool without_kernel_context, bool without_tcx)
{
	struct guard *guard = open_guard((struct guard_options){
		.without_kernel_context = without_kernel_context, .without_tcx = without_tcx });
	struct rtnl_link link = { .name = "stktest" };
	_cleanup_rtnl_ struct rtnl *rtnl = NULL;
	struct error err;
	int fd;

	assert_string_equal(guard_attachment(guard), !without_tcx && has_tcx() ? "tcx" : "clsact");
	rtnl = rtnl_open(&err);
	assert_non_null(rtnl);
	must(tap_create(link.name, 0, &fd, &link.ifindex, &err));
	fill(guard, link.ifindex);
	must(guard_attach(guard, link.name, link.ifindex, &err));
	must(rtnl_link_raise(rtnl, &link, true, &err));
	for (size_t i = 0; i < sizeof(tap_cases) / sizeof(tap_cases[0]); i++) {
		const struct tap_case *each = &tap_cases[i];
		struct guard_counts before, after;
		enum guard_reason reason;

		must(guard_counts_read(guard, SLOT, &before, &err));
		if (!write_frame(fd, each))
			continue;
		must(guard_counts_read(guard, SLOT, &after, &err));
		/* What the host itself sends meanwhile is not the guest's. */
		after.packets[GUARD_DELIVERED] = before.packets[GUARD_DELIVERED];
		reason = counted(each->frame.name, &before, &after);
		if (reason != each->frame.reason)
			fail_msg("%s: %s instead of %s", each->frame.name, word(reason),
				 word(each->frame.reason));
	}
	close(fd);
	must(rtnl_link_delete(rtnl, &link, &err));
	guard_forget(guard, link.name);
	end_guard(guard, link.ifindex);
}

static void test_offloads_through_a_tap(void **state)
{
	(void)state;
	NEEDS_ROOT();
	run_tap_cases(false, false);
}

static void test_offloads_as_older_kernels_see_them(void **state)
{
	(void)state;
	NEEDS_ROOT();
	run_tap_cases(true, true);
}

/* Every reason is the expectation of some case above, or of test_guard_live.c. */
static void test_every_reason_has_a_packet(void **state)
{
	bool is_seen[GUARD_REASON_COUNT] = {
		[GUARD_NO_VM] = true, [GUARD_RATE] = true, [GUARD_RATE_IN] = true
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF_GUEST; i++)
		is_seen[guest_cases[i].reason] = true;
	for (size_t i = 0; i < COUNT_OF_HOST; i++)
		is_seen[host_cases[i].reason] = true;
	for (size_t i = 0; i < sizeof(tap_cases) / sizeof(tap_cases[0]); i++)
		is_seen[tap_cases[i].frame.reason] = true;
	for (size_t i = 0; i < GUARD_REASON_COUNT; i++)
		if (!is_seen[i])
			fail_msg("no packet for '%s'", word((enum guard_reason)i));
	assert_true(COUNT_OF_GUEST + COUNT_OF_HOST >= 150);
}

/* --- maps ---------------------------------------------------------------------------------------
 */

static void test_an_address_has_one_owner(void **state)
{
	struct guard_vm thief = make_vm(10, 2, "0a000063", A6);
	struct guard_vm taken = make_vm(11, 2, "0a000063", "fd000000000000000000000000000063");
	struct guard *guard;
	struct error err;

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ 0 });
	fill(guard, LOOPBACK);
	assert_int_equal(guard_set_vm(guard, 1003, &thief, &err), -1);
	assert_string_equal(err.text, "guard: slot 10: an address belongs to another VM");
	assert_false(guard_has_vm(guard, 1003, &thief));
	/* The refused VM's other address is free again. */
	must(guard_set_vm(guard, 1004, &taken, &err));
	assert_true(guard_has_vm(guard, 1004, &taken));
	must(guard_clear_vm(guard, 0, 11, &err));
	assert_false(guard_has_vm(guard, 1004, &taken));
	taken.slot = GUARD_SLOTS_MAX;
	assert_int_equal(guard_set_vm(guard, 1004, &taken, &err), -1);
	assert_string_equal(err.text, "guard: slot 4096: the guard counts for 4096 VMs");
	end_guard(guard, LOOPBACK);
}

static void test_maps_outlive_the_daemon(void **state)
{
	struct guard_vm stranger = make_vm(9, 2, IP_X, X6);
	struct guard *guard;
	struct error err;

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ 0 });
	fill(guard, LOOPBACK);
	guard_close(guard);
	guard = open_guard((struct guard_options){ 0 });
	assert_true(guard_has_vm(guard, 1002, &stranger));
	assert_int_equal(guard_remove(guard, &err), -1);
	assert_non_null(strstr(err.text, "device 1 is still guarded"));
	end_guard(guard, LOOPBACK);
}

static void test_refuses_what_is_not_bpffs(void **state)
{
	char directory[] = "/tmp/stoker-not-bpf.XXXXXX";
	struct guard_options options = { .bpf_dir = directory };
	struct guard *guard = NULL;
	struct error err;

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(guard_open(&options, &guard, &err), -1);
	assert_non_null(strstr(err.text, "not on a BPF file system"));
	assert_null(guard);
	rmdir(directory);
	/* Where no bpffs is mounted there is sysfs, which refuses the directory itself. */
	options.bpf_dir = "/sys/kernel/stoker/pins/";
	assert_int_equal(guard_open(&options, &guard, &err), -1);
	assert_string_equal(err.text, "/sys/kernel/stoker/pins/: not on a BPF file system, so the "
				      "guard cannot outlive the daemon (mount -t bpf bpf "
				      "/sys/fs/bpf)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gateway_is_the_contracts),
		cmocka_unit_test(test_every_reason_has_a_packet),
		cmocka_unit_test(test_frames_from_the_guest),
		cmocka_unit_test(test_frames_from_the_guest_on_an_older_kernel),
		cmocka_unit_test(test_frames_to_the_guest),
		cmocka_unit_test(test_a_tap_without_an_entry_passes_nothing),
		cmocka_unit_test(test_the_shield_drops_what_the_guard_would),
		cmocka_unit_test(test_answers_for_the_gateway),
		cmocka_unit_test(test_offloads_through_a_tap),
		cmocka_unit_test(test_offloads_as_older_kernels_see_them),
		cmocka_unit_test(test_an_address_has_one_owner),
		cmocka_unit_test(test_maps_outlive_the_daemon),
		cmocka_unit_test(test_refuses_what_is_not_bpffs),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
