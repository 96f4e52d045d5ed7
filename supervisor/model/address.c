/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as values; used by manifests, the guard's maps, routes and the guest's configuration.
 */
#include "model/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int address_parse(const char *text, struct address *ret)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	struct address address = { 0 };

	/* inet_pton is as strict as promised: no leading zeros in IPv4, no zone in IPv6. */
	if (inet_pton(AF_INET, text, address.bytes) == 1) {
		address.family = 4;
	} else if (inet_pton(AF_INET6, text, address.bytes) == 1) {
		address.family = 6;
		if (memcmp(address.bytes, mapped, sizeof(mapped)) == 0)
			return -1;
	} else {
		return -1;
	}
	*ret = address;
	return 0;
}

static unsigned address_bits(const struct address *address)
{
	return address->family == 4 ? 32 : 128;
}

/* Clears everything beyond the first `length` bits; true when something was set there. */
static bool clear_host_bits(struct address *address, unsigned length)
{
	bool was_set = false;

	for (unsigned i = length; i < address_bits(address); i++) {
		uint8_t bit = 0x80 >> (i % 8);

		was_set |= (address->bytes[i / 8] & bit) != 0;
		address->bytes[i / 8] &= (uint8_t)~bit;
	}
	return was_set;
}

int prefix_parse(const char *text, struct prefix *ret)
{
	const char *slash = strchr(text, '/');
	char address[ADDRESS_TEXT_MAX];
	struct prefix prefix = { 0 };
	unsigned long length;
	char *end;
	bool was_set;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return -1;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (address_parse(address, &prefix.address) < 0)
		return -1;
	/* One to three digits without a leading zero: "08", "+8" and " 8" are not lengths. */
	if (slash[1] < '0' || slash[1] > '9' || (slash[1] == '0' && slash[2]))
		return -1;
	length = strtoul(slash + 1, &end, 10);
	if (*end || length > address_bits(&prefix.address))
		return -1;
	prefix.length = (uint8_t)length;
	was_set = clear_host_bits(&prefix.address, prefix.length);
	*ret = prefix;
	return was_set ? -2 : 0;
}

/* One to five digits without a leading zero. */
static int port_parse(const char *text, uint16_t *ret)
{
	unsigned long port;
	char *end;

	if (text[0] < '1' || text[0] > '9' || strlen(text) > 5)
		return -1;
	port = strtoul(text, &end, 10);
	if (*end || port > UINT16_MAX)
		return -1;
	*ret = (uint16_t)port;
	return 0;
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
	const char *start = text + (*text == '[');
	const char *end = *text == '[' ? strchr(text, ']') : strchr(text, ':');
	struct endpoint endpoint;
	char address[ADDRESS_TEXT_MAX];

	if (!end || (size_t)(end - start) >= sizeof(address))
		return -1;
	memcpy(address, start, (size_t)(end - start));
	address[end - start] = '\0';
	end += *end == ']';
	if (*end != ':' || address_parse(address, &endpoint.address) < 0 ||
	    (endpoint.address.family == 6) != (*text == '[') ||
	    port_parse(end + 1, &endpoint.port) < 0)
		return -1;
	*ret = endpoint;
	return 0;
}

const char *address_format(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	int family = address->family == 4 ? AF_INET : AF_INET6;

	if (address->family == 0 || !inet_ntop(family, address->bytes, text, ADDRESS_TEXT_MAX))
		snprintf(text, ADDRESS_TEXT_MAX, "none");
	return text;
}

const char *prefix_format(const struct prefix *prefix, char text[ADDRESS_TEXT_MAX])
{
	size_t length;

	address_format(&prefix->address, text);
	length = strlen(text);
	snprintf(text + length, ADDRESS_TEXT_MAX - length, "/%u", (unsigned)prefix->length);
	return text;
}

int address_compare(const struct address *a, const struct address *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool prefix_contains(const struct prefix *prefix, const struct address *address)
{
	struct address start = *address;

	if (prefix->address.family != address->family)
		return false;
	clear_host_bits(&start, prefix->length);
	return address_compare(&start, &prefix->address) == 0;
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->length <= b->length ? prefix_contains(a, &b->address)
				      : prefix_contains(b, &a->address);
}

bool prefix_nth(const struct prefix *prefix, uint64_t offset, struct address *ret)
{
	unsigned host_bits = address_bits(&prefix->address) - prefix->length;
	struct address address = prefix->address;
	unsigned last = address_bits(&address) / 8;

	if (host_bits < 64 && offset >> host_bits)
		return false;
	for (unsigned i = 0; i < 8 && i < last; i++)
		address.bytes[last - 1 - i] |= (uint8_t)(offset >> (8 * i));
	*ret = address;
	return true;
}
