/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stokerd -S: what the host's shutdown needs, as VMs outlive the daemon. Takes over what an earlier
 * daemon left running, stops all of it as if it had been removed from the manifests, and ends.
 */
#ifndef STOKER_SHUTDOWN_H
#define STOKER_SHUTDOWN_H

#include "base/error.h"
#include "model/settings.h"

/* Returns when no VM is left: each one's grace period is the longest that it may take. -1: a daemon
 * runs, or something did not end. */
int shutdown_run(const struct settings *settings, struct error *err);

#endif
