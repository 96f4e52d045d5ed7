/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4 and IPv6 addresses and prefixes as values, in network byte order. */
#ifndef STOKER_MODEL_ADDRESS_H
#define STOKER_MODEL_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

enum { ADDRESS_TEXT_MAX = 64 };

struct address {
	uint8_t family;	   /* 4 or 6; 0 = none */
	uint8_t bytes[16]; /* the first 4 for IPv4 */
};

struct prefix {
	struct address address; /* host bits are zero */
	uint8_t length;		/* 0..32 or 0..128 */
};

struct endpoint {
	struct address address;
	uint16_t port; /* never 0 */
};

/* Strict: no leading zeros, no zone, no surrounding blanks; an IPv4-mapped IPv6 address is refused.
 * Returns 0, or -1 when the text is not an address. */
int address_parse(const char *text, struct address *ret);

/* "10.0.0.0/24". -1: not a prefix; -2: host bits are set (*ret is then the prefix that was meant).
 */
int prefix_parse(const char *text, struct prefix *ret);

/* "127.0.0.1:9469" or "[::1]:9469"; -1: neither. */
int endpoint_parse(const char *text, struct endpoint *ret);

const char *address_format(const struct address *address, char text[ADDRESS_TEXT_MAX]);
const char *prefix_format(const struct prefix *prefix, char text[ADDRESS_TEXT_MAX]);

int address_compare(const struct address *a, const struct address *b); /* family, then bytes */
bool prefix_contains(const struct prefix *prefix, const struct address *address);
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);

/* The address `offset` places above the prefix's first; false when it lies outside. */
bool prefix_nth(const struct prefix *prefix, uint64_t offset, struct address *ret);

#endif
