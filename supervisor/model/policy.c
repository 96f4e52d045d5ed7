/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of policies and published ports: config/ reads a manifest's with it and writes a spec's,
 * net/ reads the spec's.
 */
#include "model/policy.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

enum { PORT_MAX = 65535 };

static const struct {
	const char *name;
	uint8_t protocol;
} protocols[] = {
	{ "tcp", IPPROTO_TCP },
	{ "udp", IPPROTO_UDP },
	{ "icmp", IPPROTO_ICMP },
};

enum { PROTOCOLS = sizeof(protocols) / sizeof(protocols[0]) };

static const char *protocol_name(uint8_t protocol)
{
	for (size_t i = 0; i < PROTOCOLS; i++)
		if (protocols[i].protocol == protocol)
			return protocols[i].name;
	return "?";
}

/* 0 when `text` of `length` bytes is no protocol's name. */
static uint8_t find_protocol(const char *text, size_t length)
{
	for (size_t i = 0; i < PROTOCOLS; i++)
		if (strlen(protocols[i].name) == length &&
		    memcmp(protocols[i].name, text, length) == 0)
			return protocols[i].protocol;
	return 0;
}

/* One to five digits without a leading zero, 1 to 65535; moves *at behind them. */
static bool take_port(const char **at, uint16_t *ret)
{
	unsigned value = 0, digits = 0;

	for (; **at >= '0' && **at <= '9' && digits < 6; (*at)++, digits++)
		value = 10 * value + (unsigned)(**at - '0');
	if (digits == 0 || (*at)[-(int)digits] == '0' || value > PORT_MAX)
		return false;
	*ret = (uint16_t)value;
	return true;
}

/* "80" or "8000-8010", up to the end or one of `ends`; moves *at behind it. */
static bool take_range(const char **at, const char *ends, uint16_t *ret_first, uint16_t *ret_last)
{
	if (!take_port(at, ret_first))
		return false;
	*ret_last = *ret_first;
	if (**at == '-') {
		(*at)++;
		if (!take_port(at, ret_last) || *ret_last < *ret_first)
			return false;
	}
	return !**at || strchr(ends, **at);
}

int port_match_parse(const char *text, struct port_match *ret, struct error *err)
{
	size_t length = strcspn(text, "/");
	const char *at = text + length;
	struct port_match match = { .protocol = find_protocol(text, length) };

	if (!match.protocol)
		return error_set(err,
				 "'%s' is not a protocol and ports (tcp/443, tcp/8000-8999, "
				 "udp/53, tcp, udp or icmp)",
				 text);
	if (match.protocol == IPPROTO_ICMP) {
		if (*at)
			return error_set(err, "'%s': ICMP has no ports (write icmp)", text);
	} else if (!*at) {
		match.last = PORT_MAX;
	} else {
		at++;
		if (!take_range(&at, "", &match.first, &match.last))
			return error_set(err,
					 "'%s': '%s' is not a port or a range of ports (1 to "
					 "65535, the smaller first)",
					 text, text + length + 1);
	}
	*ret = match;
	return 0;
}

static void print_range(unsigned first, unsigned last, struct strbuf *out)
{
	strbuf_printf(out, "%u", first);
	if (last != first)
		strbuf_printf(out, "-%u", last);
}

void policy_rule_print(const struct policy_rule *rule, struct strbuf *out)
{
	char text[ADDRESS_TEXT_MAX];

	strbuf_printf(out, "%s %s", rule->is_allow ? "allow" : "deny",
		      prefix_format(&rule->peer, text));
	for (uint32_t i = 0; i < rule->port_count; i++) {
		const struct port_match *match = &rule->ports[i];

		strbuf_printf(out, " %s", protocol_name(match->protocol));
		if (match->first) {
			strbuf_putc(out, '/');
			print_range(match->first, match->last, out);
		}
	}
}

int policy_rule_parse(const char *text, struct policy_rule *ret, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(text);
	struct policy_rule rule = { 0 };
	char *left = NULL, *word = strtok_r(copy, " ", &left);

	if (word && strcmp(word, "allow") == 0)
		rule.is_allow = true;
	else if (!word || strcmp(word, "deny") != 0)
		return error_set(err, "'%s' is not a rule", text);
	word = strtok_r(NULL, " ", &left);
	if (!word || prefix_parse(word, &rule.peer) < 0)
		return error_set(err, "'%s' names no network", text);
	while ((word = strtok_r(NULL, " ", &left))) {
		if (rule.port_count == POLICY_PORTS_MAX)
			return error_set(err, "'%s' has too many ports", text);
		if (port_match_parse(word, &rule.ports[rule.port_count++], err) < 0)
			return -1;
	}
	*ret = rule;
	return 0;
}

/* --- published ports -------------------------------------------------------------------------- */

/* The address before the ports, if there is one; moves *at behind its colon. */
static int take_host(const char *text, const char **at, struct address *ret, struct error *err)
{
	const char *end, *first = strchr(text, ':');
	_cleanup_free_ char *host = NULL;

	*at = text;
	if (text[0] == '[') {
		end = strchr(text, ']');
		if (!end || end[1] != ':')
			return error_set(err,
					 "'%s': the address in brackets has no end (write "
					 "[::1]:8080:80)",
					 text);
		host = xstrndup(text + 1, (size_t)(end - text - 1));
		*at = end + 2;
	} else if (first && strchr(first + 1, ':')) {
		host = xstrndup(text, (size_t)(first - text));
		*at = first + 1;
		if (strchr(strchr(*at, ':') + 1, ':'))
			return error_set(err,
					 "'%s' has too many colons (an IPv6 address stands in "
					 "brackets: [::1]:8080:80)",
					 text);
	} else {
		return 0;
	}
	if (address_parse(host, ret) < 0 || (text[0] == '[') != (ret->family == 6))
		return error_set(err, "'%s': '%s' is not an address of the host", text, host);
	return 0;
}

int published_parse(const char *text, struct published *ret, struct error *err)
{
	struct published published = { .protocol = IPPROTO_TCP };
	uint16_t host_last, vm_last;
	const char *at;

	if (take_host(text, &at, &published.host, err) < 0)
		return -1;
	if (!strchr(at, ':'))
		return error_set(err, "'%s' does not name both ports (HOST:VM, such as 8080:80)",
				 text);
	if (!take_range(&at, ":", &published.host_port, &host_last) || *at++ != ':' ||
	    !take_range(&at, "/", &published.vm_port, &vm_last))
		return error_set(err,
				 "'%s' is not a pair of ports (1 to 65535; such as 8080:80 or "
				 "8000-8009:9000-9009)",
				 text);
	if (host_last - published.host_port != vm_last - published.vm_port)
		return error_set(err, "'%s': the two ranges are of different lengths", text);
	if (*at) {
		published.protocol = find_protocol(at + 1, strlen(at + 1));
		if (published.protocol != IPPROTO_TCP && published.protocol != IPPROTO_UDP)
			return error_set(err,
					 "'%s': '%s' is not a protocol with ports (tcp or udp)",
					 text, at + 1);
	}
	if (host_last - published.host_port >= PUBLISH_MAX)
		return error_set(err, "'%s' is too long a range (at most %d ports)", text,
				 PUBLISH_MAX);
	published.count = (uint16_t)(host_last - published.host_port + 1);
	*ret = published;
	return 0;
}

void published_print(const struct published *published, struct strbuf *out)
{
	unsigned more = published->count - 1u;
	char text[ADDRESS_TEXT_MAX];

	if (published->host.family == 6)
		strbuf_printf(out, "[%s]:", address_format(&published->host, text));
	else if (published->host.family == 4)
		strbuf_printf(out, "%s:", address_format(&published->host, text));
	print_range(published->host_port, published->host_port + more, out);
	strbuf_putc(out, ':');
	print_range(published->vm_port, published->vm_port + more, out);
	strbuf_printf(out, "/%s", protocol_name(published->protocol));
}
