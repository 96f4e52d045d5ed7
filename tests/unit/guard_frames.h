/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames as templates with patches, and what the guard makes of each. test_guard.c runs them;
 * tests/bpf/guard_fuzz.c compares them with the model and mutates them. Offsets stand in
 * test_guard_cases.h. The includer has included guard_host.h's own needs (cmocka) before.
 */
#ifndef STOKER_TESTS_GUARD_FRAMES_H
#define STOKER_TESTS_GUARD_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "guard_host.h"

#define PING4                                            \
	GW ME "0800"                                     \
	      "4500001c00010000400100000a0000020a000003" \
	      "0800000000010001"
#define ARP                                              \
	ALL ME "0806"                                    \
	       "0001080006040001" ME IP_A "000000000000" \
	       "a9fe0101"
#define HEAD6        \
	GW ME "86dd" \
	      "60000000"
#define UDP6  HEAD6 "00101140" A6 B6 UDP_HEAD "0102030405060708"
#define TCP6  HEAD6 "00140640" A6 B6 TCP_HEAD "000"
#define PING6 HEAD6 "00083a40" A6 B6 "8000000000010001"
#define NS    HEAD6 "00203aff" LL6 GW6 "8700000000000000" GW6 "0101" ME
#define DAD                                                \
	"3333ff000002" ME "86dd60000000"                   \
	"00183aff" ANY6 "ff0200000000000000000001ff000002" \
	"8700000000000000" A6
#define NA                                                \
	"333300000001" ME "86dd60000000"                  \
	"00203aff" LL6 "ff020000000000000000000000000001" \
	"8800000020000000" A6 "0201" ME
#define RS                                                \
	"333300000002" ME "86dd60000000"                  \
	"00103aff" LL6 "ff020000000000000000000000000002" \
	"8500000000000000"                                \
	"0101" ME
#define MLD2                                              \
	"333300000016" ME "86dd60000000"                  \
	"00240001" LL6 "ff020000000000000000000000000016" \
	"3a00050200000100"                                \
	"8f00000000000001"                                \
	"04000000"                                        \
	"ff0200000000000000000001ff000002"
/* Extension headers of 8 bytes, naming what follows. */
#define HOP_UDP	 HEAD6 "00180040" A6 B6 "1100010400000000" UDP_HEAD "0102030405060708"
#define DST_UDP	 HEAD6 "00183c40" A6 B6 "1100010400000000" UDP_HEAD "0102030405060708"
#define FRAG_UDP HEAD6 "00182c40" A6 B6 "1100000100000001" UDP_HEAD "0102030405060708"
#define DST4               \
	"3c00010400000000" \
	"3c00010400000000" \
	"3c00010400000000"
#define DST_RA                                            \
	"333300000001" ME "86dd60000000"                  \
	"00183cff" LL6 "ff020000000000000000000000000001" \
	"3a00010400000000"                                \
	"86000000400000000000000000000000"
#define FRAG_RA                                           \
	"333300000001" ME "86dd60000000"                  \
	"00182cff" LL6 "ff020000000000000000000000000001" \
	"3a00000000000001"                                \
	"86000000400000000000000000000000"

struct patch {
	size_t offset;
	const char *hex;
};

struct frame_case {
	const char *name;
	const char *frame; /* hex */
	struct patch patches[3];
	size_t length; /* 0: the template's; longer is padded with zeros, shorter cut */
	uint32_t gso_size;
	enum guard_reason reason;
};

static const struct frame_case guest_cases[] = {
#include "test_guard_cases.h"
};

static const struct frame_case host_cases[] = {
	{ "from the same tenant", UDP4, { { 26, IP_B IP_A } }, .reason = GUARD_DELIVERED },
	{ "from another tenant", UDP4, { { 26, IP_X IP_A } }, .reason = GUARD_CROSS_TENANT_IN },
	{ "from the world", UDP4, { { 26, "c0000201" IP_A } }, .reason = GUARD_DELIVERED },
	{ "IPv6 from the same tenant", UDP6, { { 22, B6 A6 } }, .reason = GUARD_DELIVERED },
	{ "IPv6 from another tenant", UDP6, { { 22, X6 A6 } }, .reason = GUARD_CROSS_TENANT_IN },
	{ "IPv6 from the world", UDP6, { { 22, "20010db8" } }, .reason = GUARD_DELIVERED },
	{ "ARP", ARP, .reason = GUARD_DELIVERED },
	{ "another protocol", UDP4, { { 12, "88cc" } }, .reason = GUARD_ETHERTYPE },
};

enum { COUNT_OF_GUEST = sizeof(guest_cases) / sizeof(guest_cases[0]) };
enum { COUNT_OF_HOST = sizeof(host_cases) / sizeof(host_cases[0]) };

static size_t build(const struct frame_case *each, uint8_t frame[FRAME_MAX])
{
	size_t length;

	memset(frame, 0, FRAME_MAX);
	length = put_hex(frame, each->frame);
	for (size_t i = 0; i < 3 && each->patches[i].hex; i++)
		put_hex(frame + each->patches[i].offset, each->patches[i].hex);
	return each->length ? each->length : length;
}

#endif
