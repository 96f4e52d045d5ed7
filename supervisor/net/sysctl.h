/* SPDX-License-Identifier: Apache-2.0 */
/* Switches of one interface, or of all, under /proc/sys/net of the caller's network namespace. */
#ifndef STOKER_NET_SYSCTL_H
#define STOKER_NET_SYSCTL_H

#include <stdbool.h>

#include "base/error.h"

/* net.FAMILY.conf.NAME.KEY = value; family "ipv4" or "ipv6". */
int sysctl_set(const char *family, const char *name, const char *key, const char *value,
	       struct error *err);

bool sysctl_exists(const char *family, const char *name, const char *key);

#endif
