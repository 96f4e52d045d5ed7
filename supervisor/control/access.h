/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may ask for what: root for everything; the host's group "stoker" for what only reads; the
 * groups that a tenant names as its operators for that tenant's status, logs, guard and sessions.
 */
#ifndef STOKER_CONTROL_ACCESS_H
#define STOKER_CONTROL_ACCESS_H

#include <stdbool.h>

#include "base/error.h"
#include "control/client.h"

/* Whether it may connect at all. */
int access_admit(const struct control *control, const struct peer *peer, struct error *err);

int access_check(const struct client *client, const struct request *request, struct error *err);

/* Whether it may see that there is such a tenant. */
bool access_sees(const struct client *client, const char *tenant);

#endif
