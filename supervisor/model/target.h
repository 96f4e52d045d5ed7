/* SPDX-License-Identifier: Apache-2.0 */
/* Where lines of guests' logs go besides their files: [log] forward of stoker.ini(5). */
#ifndef STOKER_MODEL_TARGET_H
#define STOKER_MODEL_TARGET_H

#include <stdint.h>

#include "base/error.h"

enum target_kind {
	TARGET_OFF,
	TARGET_SYSLOG,	/* the host's /dev/log */
	TARGET_JOURNAL, /* the host's journald, by its own protocol */
	TARGET_UDP,	/* RFC 5426 */
	TARGET_TCP,	/* RFC 6587, octet counting */
	TARGET_TLS,	/* RFC 5425 */
};

enum { TARGET_HOST_MAX = 253 };

struct target {
	enum target_kind kind;
	/* Of the last three: a name or an address without brackets; of UDP an address always, for
	 * nobody resolves names for it. */
	char host[TARGET_HOST_MAX + 1];
	uint16_t port; /* never 0 */
};

/* "off", "syslog", "journald", "udp://ADDRESS:PORT", "tcp://HOST:PORT", "tls://HOST:PORT"; IPv6
 * addresses in brackets. The message says what it is not, and what it could be. */
int target_parse(const char *text, struct target *ret, struct error *err);

#endif
