/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guard under test, in namespaces and on a BPF file system of the test's own, and the frames that
 * test_guard.c and test_guard_live.c begin with. Needs root; without it NEEDS_ROOT skips.
 */
#ifndef STOKER_TESTS_GUARD_HOST_H
#define STOKER_TESTS_GUARD_HOST_H

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "net/guard.h"

enum {
	LOOPBACK = 1, /* the device that BPF_PROG_TEST_RUN takes by default */
	SLOT = 7,
	NEXT = -1,
	SHOT = 2,
	REDIRECT = 7,
	FRAME_MAX = 2048,
};

#define GW   "0253746b00fe"
#define ME   "02000000000a"
#define ALL  "ffffffffffff"
#define IP_A "0a000002" /* this VM */
#define IP_B "0a000003" /* same tenant */
#define IP_X "0a090003" /* another tenant */
#define A6   "fd000000000000000000000000000002"
#define B6   "fd000000000000000000000000000003"
#define X6   "fd090000000000000000000000000003"
#define LL6  "fe80000000000000000000fffe00000a"
#define GW6  "fe800000000000000000000000000001"
#define ANY6 "00000000000000000000000000000000"

#define UDP_HEAD "03e807d000100000"
#define TCP_HEAD "03e807d0000000010000000050022000000000000"

/* L4 begins at 34 in IPv4 templates, at 54 in IPv6 ones. */
#define UDP4         \
	GW ME "0800" \
	      "4500002400010000401100000a0000020a000003" UDP_HEAD "0102030405060708"

#define TCP4         \
	GW ME "0800" \
	      "4500002800010000400600000a0000020a000003" TCP_HEAD "000"

static size_t put_hex(uint8_t *to, const char *hex)
{
	size_t length = strlen(hex) / 2;

	for (size_t i = 0; i < length; i++) {
		const char digits[] = { hex[2 * i], hex[2 * i + 1], '\0' };
		char *end;

		to[i] = (uint8_t)strtoul(digits, &end, 16);
		assert_true(end == digits + 2);
	}
	return length;
}

static char bpf_root[] = "/tmp/stoker-guard.XXXXXX";
static char bpf_dir[sizeof(bpf_root) + 8];
static bool is_ready;

static int set_up(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("# skipped: BPF and namespaces need root\n");
		return 0;
	}
	assert_int_equal(unshare(CLONE_NEWNS | CLONE_NEWNET), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_non_null(mkdtemp(bpf_root));
	assert_int_equal(mount("bpf", bpf_root, "bpf", 0, NULL), 0);
	snprintf(bpf_dir, sizeof(bpf_dir), "%s/guard", bpf_root);
	is_ready = true;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (is_ready) {
		umount2(bpf_root, MNT_DETACH);
		rmdir(bpf_root);
	}
	return 0;
}

#define NEEDS_ROOT()   \
	if (!is_ready) \
	skip()

#define must(call) assert_success((call), &err, #call)

static void assert_success(int result, const struct error *err, const char *call)
{
	if (result < 0)
		fail_msg("%s: %s", call, err->text);
}

__attribute__((unused)) static struct guard_vm make_vm(uint32_t slot, uint32_t tenant,
						       const char *ip4, const char *ip6)
{
	struct guard_vm vm = { .mtu = 1500, .slot = slot, .tenant = tenant };

	put_hex(vm.mac, ME);
	put_hex((uint8_t *)&vm.ip4[0], ip4);
	put_hex((uint8_t *)vm.ip6[0], LL6);
	put_hex((uint8_t *)vm.ip6[1], ip6);
	return vm;
}

__attribute__((unused)) static struct guard *open_guard(struct guard_options options)
{
	struct guard *guard = NULL;
	struct error err;

	options.bpf_dir = bpf_dir;
	must(guard_open(&options, &guard, &err));
	return guard;
}

#endif
