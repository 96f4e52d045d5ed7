/* SPDX-License-Identifier: Apache-2.0 */
/* Called when the settings are read, and again by forward/, which connects. */
#include "model/target.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/address.h"

static const struct {
	const char *text;
	enum target_kind kind;
} words[] = { { "off", TARGET_OFF }, { "syslog", TARGET_SYSLOG }, { "journald", TARGET_JOURNAL } };

static const struct {
	const char *scheme;
	enum target_kind kind;
} schemes[] = { { "udp://", TARGET_UDP }, { "tcp://", TARGET_TCP }, { "tls://", TARGET_TLS } };

/* Labels of letters, digits and hyphens, joined by dots. */
static bool is_name(const char *text)
{
	size_t label = 0;

	for (const char *c = text; *c; c++) {
		bool is_inner = isalnum((unsigned char)*c) || *c == '-';

		if (*c == '.' ? !label || c[-1] == '-' : !is_inner || (*c == '-' && !label))
			return false;
		label = *c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label && strlen(text) <= TARGET_HOST_MAX && text[strlen(text) - 1] != '-';
}

static bool is_port(const char *text, uint16_t *ret)
{
	size_t length = strspn(text, "0123456789");
	unsigned long number = strtoul(text, NULL, 10);

	if (!length || length > 5 || text[length] || *text == '0' || number > UINT16_MAX)
		return false;
	*ret = (uint16_t)number;
	return true;
}

/* HOST:PORT or [ADDRESS]:PORT. */
static bool take_host(const char *text, struct target *ret)
{
	struct address address;
	const char *colon = strrchr(text, ':');
	bool has_brackets = *text == '[' && colon && colon > text + 1 && colon[-1] == ']';
	size_t length;

	if (!colon || !is_port(colon + 1, &ret->port))
		return false;
	text += has_brackets;
	length = (size_t)(colon - text) - has_brackets;
	if (!length || length > TARGET_HOST_MAX)
		return false;
	snprintf(ret->host, sizeof(ret->host), "%.*s", (int)length, text);
	if (address_parse(ret->host, &address) == 0)
		return has_brackets == (address.family == 6);
	/* What is of digits and dots alone was meant to be an address. */
	return !has_brackets && is_name(ret->host) &&
	       ret->host[strspn(ret->host, "0123456789.")] != '\0';
}

int target_parse(const char *text, struct target *ret, struct error *err)
{
	struct target target = { 0 };
	struct address address;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(words[i].text, text) == 0) {
			*ret = (struct target){ .kind = words[i].kind };
			return 0;
		}
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t length = strlen(schemes[i].scheme);

		if (strncmp(text, schemes[i].scheme, length) != 0)
			continue;
		target.kind = schemes[i].kind;
		if (!take_host(text + length, &target))
			return error_set(err, "'%s' is not %sHOST:PORT (an IPv6 address in [])",
					 text, schemes[i].scheme);
		if (target.kind == TARGET_UDP && address_parse(target.host, &address) < 0)
			return error_set(err,
					 "'%s' is not an address (names are for tcp:// and tls://)",
					 target.host);
		*ret = target;
		return 0;
	}
	return error_set(err,
			 "'%s' is no target (off, syslog, journald, udp://ADDRESS:PORT, "
			 "tcp://HOST:PORT or tls://HOST:PORT)",
			 text);
}
