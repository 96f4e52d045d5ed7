/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "model/frame.h"

#define GW "0253746b00fe"
#define ME "02000000000a"
#define A6 "fd000000000000000000000000000002"
#define LL "fe80000000000000000000000000000a"

#define MACS "02:00:00:00:00:0a > 02:53:74:6b:00:fe "

static const char *const frames[][2] = {
	{ "", "0 bytes of an Ethernet header" },
	{ GW ME "08", "13 bytes of an Ethernet header" },
	{ GW ME "0800", MACS "IPv4" },
	{ GW ME "08004500002400010000401100000a0000020a00000303e807d000100000",
	  MACS "IPv4 10.0.0.2:1000 > 10.0.0.3:2000 UDP" },
	{ GW ME "08004500002400010000400600000a0000020a00000303e807",
	  MACS "IPv4 10.0.0.2 > 10.0.0.3 TCP" },
	{ GW ME "08004500002400010000400100000a0000020a0000030501",
	  MACS "IPv4 10.0.0.2 > 10.0.0.3 ICMP type 5 code 1" },
	{ GW ME "08004500002400010001401100000a0000020a00000303e807d000100000",
	  MACS "IPv4 10.0.0.2 > 10.0.0.3 UDP fragment at 8" },
	{ GW ME "08004600002400010000401100000a0000020a0000039404000003e807d0",
	  MACS "IPv4 10.0.0.2:1000 > 10.0.0.3:2000 UDP with options" },
	{ GW ME "08004f00002400010000401100000a0000020a00000303e807d000100000",
	  MACS "IPv4 10.0.0.2 > 10.0.0.3 UDP with options" },
	{ GW ME "08004500002400010000406300000a0000020a000003",
	  MACS "IPv4 10.0.0.2 > 10.0.0.3 protocol 99" },
	{ GW ME "86dd6000000000140640" A6 LL "03e807d0",
	  MACS "IPv6 [fd00::2]:1000 > [fe80::a]:2000 TCP" },
	{ GW ME "86dd6000000000143aff" LL A6 "8600",
	  MACS "IPv6 fe80::a > fd00::2 ICMPv6 type 134 code 0" },
	{ GW ME "86dd6000000000142cff" LL A6, MACS "IPv6 fe80::a > fd00::2 fragment" },
	{ GW ME "86dd60", MACS "IPv6" },
	{ "ffffffffffff" ME "08060001080006040001" ME "0a000003000000000000a9fe0101",
	  "02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff ARP op 1, 10.0.0.3 at 02:00:00:00:00:0a about "
	  "169.254.1.1" },
	{ GW ME "08060001080008040001" ME "0a000003000000000000a9fe0101", MACS "ARP" },
	{ GW ME "08060001", MACS "ARP" },
	{ GW ME "0026424203", MACS "LLC" },
	{ GW ME "88cc", MACS "ethertype 0x88cc" },
};

/* In memory of their own length, so that a sanitizer sees what is read beyond. */
static void test_frames(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
		size_t length = strlen(frames[i][0]) / 2;
		_cleanup_strbuf_ struct strbuf text = { 0 };
		uint8_t *frame = malloc(length ? length : 1);

		assert_non_null(frame);
		for (size_t j = 0; j < length; j++) {
			const char digits[] = { frames[i][0][2 * j], frames[i][0][2 * j + 1], 0 };

			frame[j] = (uint8_t)strtoul(digits, NULL, 16);
		}
		frame_describe(frame, length, &text);
		assert_string_equal(strbuf_text(&text), frames[i][1]);
		free(frame);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
