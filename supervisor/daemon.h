/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stokerd as a running thing: owns the loop, the settings, the fleet, the roster and the control
 * socket, and turns signals into verbs. SIGHUP reloads; SIGTERM and SIGINT leave, and leave the VMs
 * running for the next start to adopt.
 */
#ifndef STOKER_DAEMON_H
#define STOKER_DAEMON_H

#include "base/error.h"
#include "model/settings.h"

/* Runs until it is told to leave. -1: it could not start. */
int daemon_run(const struct settings *settings, struct error *err);

/* Prints what a start or reload would do; changes nothing. Returns main's exit code. */
int daemon_dry_run(const struct settings *settings);

#endif
