/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line as a target gets it. All that a guest has a say in is made harmless first: what is not
 * UTF-8 becomes U+FFFD, control characters become \xNN, lengths are bounded, and nothing a guest
 * says stands where a reader looks for who said it. Private to forward/.
 */
#ifndef STOKER_FORWARD_MESSAGE_H
#define STOKER_FORWARD_MESSAGE_H

#include "base/strbuf.h"
#include "forward/forward.h"
#include "model/logline.h"

/* What receivers must or should take at least: RFC 5426, section 3.2; RFC 5424, section 6.1. */
enum { MESSAGE_UDP_MAX = 2048, MESSAGE_MAX = 8192 };

struct message {
	const struct forward_line *line; /* borrowed */
	char tenant[64];		 /* of the instance's name; "": it is none, but we speak */
	const char *vm;			 /* of it, with the replica */
	unsigned priority;		 /* facility * 8 + severity, as the host says it */
	struct strbuf clean;		 /* owned; what the rest points into */
	struct logline parts;
};

/* A guest's emergency is none of the host's, which would tell it to every terminal: it becomes an
 * alert. Facilities that speak of the host's own kernel, logins and clock become "user"; what the
 * guest said is kept beside it. */
void message_parse(const struct forward_line *line, struct message *ret);
void message_reset(struct message *message);

/* As syslog(3) writes it to /dev/log; the tag is the instance's name. */
void message_add_rfc3164(const struct message *message, struct strbuf *out);

/* RFC 5424, at most `max` bytes; a text that is cut ends with "...". */
void message_add_rfc5424(const struct message *message, const char *hostname, size_t max,
			 struct strbuf *out);

/* Fields of journald, see https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. */
void message_add_journal(const struct message *message, struct strbuf *out);

/* The host's name as RFC 5424 allows it; "-" when it has none. */
enum { MESSAGE_HOSTNAME_MAX = 255 };
void message_hostname(char ret[MESSAGE_HOSTNAME_MAX + 1]);

#endif
