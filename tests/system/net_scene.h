/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scene of net_driver.c, a host in namespaces of its own: taps of VMs of two tenants, frames
 * between them, and what became of those. The chapters of the test follow; what fails outside a
 * test ends the program.
 */
#ifndef STOKER_TESTS_NET_SCENE_H
#define STOKER_TESTS_NET_SCENE_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/net.h"
#include "tests/system/driver.h"

/* <net/if.h> and <linux/if.h> exclude each other. */
unsigned if_nametoindex(const char *name);

enum { FRAME_MAX = 4096, VM_COUNT = 4, WAIT_MS = 20000, SECOND_NS = 1000000000 };

struct vm {
	struct net_tap tap;
	const char *ip4, *ip6;
	int fd;
};

struct packet {
	struct virtio_net_hdr_v1 header;
	uint8_t frame[FRAME_MAX];
	size_t length;
};

extern struct vm vms[VM_COUNT];
/* Of one tenant; x is another's. c is made by each test that wants it. */
extern struct vm *const vm_a, *const vm_b, *const vm_x, *const vm_c;
extern struct settings settings;
extern char bpf_root[], bpf_dir[64];

/* Moves into namespaces of its own, whose only link is loopback. */
void set_up(void);

/* --- frames --- */

/* Writes the bytes and returns how many; no terminator. */
size_t put_hex(uint8_t *to, const char *hex);
/* The internet checksum (RFC 1071) of an even number of bytes, begun with `sum`. */
uint16_t sum16(const uint8_t *bytes, size_t length, uint32_t sum);
void put16(uint8_t *to, unsigned value);
/* A UDP packet of 16 bytes of payload, which starts with `marker`; `family` is 4 or 6. */
struct packet udp(const struct vm *from, const char *to, int family, uint64_t marker);
/* The same over IPv4, from another MAC than the VM's. */
struct packet spoofed_by(const struct vm *from, const struct vm *to);
const char *address_of(const struct vm *vm, int family);
bool send_packet(int fd, const struct packet *packet);
/* A number that no frame has carried yet. */
uint64_t next_marker(void);
/* Reads what the VM has received until the host's own datagram to it arrives. Was `wanted` there?
 * Everything sent before is processed by then: a tap's write runs to the end of the path. */
bool has_received(const struct vm *vm, const void *wanted, size_t wanted_length);
bool arrives(const struct vm *from, const struct vm *to, int family);
bool is_spoofed_seen(const struct vm *from, const struct vm *victim);

/* --- the guard and its host --- */

uint64_t counter(struct net *net, const struct vm *vm, const char *name);
/* The sum of the counters of drops. */
uint64_t drops(struct net *net, const struct vm *vm);
void take_guard_away(const char *tap);
/* Of taps for VMs to come. */
unsigned count_stock(void);
/* What the VMM of a VM holds; nonblocking, with virtio headers. */
int open_queue(const char *name);
uint64_t clock_ns(void);

/* --- the chapters --- */

void test_hostile(struct net *net, const struct vm *victim); /* net_hostile.c */
/* How many of the hostile frames the host would have passed on by itself; not those that would
 * fill the victim's queue. */
unsigned count_arrivals(const struct vm *victim);
void test_lawful(struct net *net);  /* net_lawful.c: and what is answered, allowed, limited */
void test_keeping(struct net *net); /* net_keeping.c: what looks after taps */

#endif
