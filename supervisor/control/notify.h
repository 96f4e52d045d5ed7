/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon tells its service manager: sd_notify(3), by the datagram protocol documented
 * there. Without NOTIFY_SOCKET in the environment every call succeeds and sends nothing, so that
 * callers need not know who started the daemon. With it, a message that cannot be delivered within
 * a second is an error, for the caller to log: the daemon runs on.
 */
#ifndef STOKER_CONTROL_NOTIFY_H
#define STOKER_CONTROL_NOTIFY_H

#include "base/error.h"

/* READY=1: started, or done with a reload. `status` is one line for `systemctl status`. */
int notify_ready(const char *status, struct error *err);

/* RELOADING=1 with the MONOTONIC_USEC that Type=notify-reload asks for; notify_ready ends it. */
int notify_reloading(struct error *err);

/* STATUS= alone. */
int notify_status(const char *status, struct error *err);

/* STOPPING=1: on the way out. */
int notify_stopping(struct error *err);

#endif
