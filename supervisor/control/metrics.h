/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters for Prometheus by HTTP, as [metrics] of stoker.ini(5) says: GET /metrics, on
 * RUN_DIR/metrics.sock or on an address. Clients are few and bounded, and a slow one holds up
 * nobody.
 */
#ifndef STOKER_CONTROL_METRICS_H
#define STOKER_CONTROL_METRICS_H

#include "control/server.h"

#define METRICS_SOCKET "metrics.sock"

struct metrics;

/* Listens; *ret is NULL when the settings want none. What is borrowed must outlive it. */
int metrics_open(struct loop *loop, const struct settings *settings, struct roster *roster,
		 const struct control_handlers *handlers, void *data, struct metrics **ret,
		 struct error *err);
struct metrics *metrics_close(struct metrics *metrics); /* NULL is fine; returns NULL */

#endif
