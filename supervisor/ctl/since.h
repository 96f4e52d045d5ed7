/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STOKER_CTL_SINCE_H
#define STOKER_CTL_SINCE_H

#include <stdint.h>

#include "base/error.h"

/*
 * A moment as journalctl(1) takes it: "2026-11-26 06:30:00", where the seconds, the time or the
 * date may be left out, a "T" may stand for the blank, and a fraction, "Z", "UTC" or "+01:00" may
 * follow (else it is local time); "now", "today", "yesterday"; "@1700000000"; and a while ago:
 * "10m",
 * "-1h30m", "2 days ago". `now_ms` and *ret_ms are milliseconds since 1970.
 */
int since_parse(const char *text, uint64_t now_ms, uint64_t *ret_ms, struct error *err);

#endif
