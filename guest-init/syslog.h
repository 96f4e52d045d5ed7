/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The syslogd of the guest: datagrams from /dev/log in the forms of RFC 3164 (what libc sends) and
 * RFC 5424, and records of /dev/kmsg, as lines for the log.
 */
#ifndef STOKER_GUEST_INIT_SYSLOG_H
#define STOKER_GUEST_INIT_SYSLOG_H

#include <stddef.h>

enum { SYSLOG_LINE_MAX = 8192 };

/* Binds /dev/log. Returns the descriptor, -1 with errno. */
int syslog_open(void);

/* "facility.severity tag[pid]: [data] text\n" from one datagram. Any bytes will do: what is in
 * neither form counts as user.notice. Returns the length. */
size_t syslog_format(const char *message, size_t length, char line[SYSLOG_LINE_MAX]);

/* The records after this moment. Returns the descriptor, -1 with errno. */
int kmsg_open(void);

/* "severity: text\n" from one record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg). */
size_t kmsg_format(const char *record, size_t length, char line[SYSLOG_LINE_MAX]);

#endif
