/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon holds against this host: the checks that [host] require of stoker.ini names, at
 * its start and at each reload, and settings that are not for production. daemon.c shows the
 * warnings in status, and keeps VMs from starting where there is a refusal.
 */
#ifndef STOKER_POSTURE_H
#define STOKER_POSTURE_H

#include "base/strv.h"
#include "model/settings.h"

struct posture {
	struct strv warnings; /* for status; each a line with its remedy */
	char *refusal;	      /* owned: why no VM may start; NULL: VMs may */
};

/* Examines the host, and logs what it finds. `posture` was examined before, or is zero. */
void posture_examine(struct posture *posture, const struct settings *settings);
void posture_reset(struct posture *posture);

#endif
