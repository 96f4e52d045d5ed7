/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's name and the names it knows: /etc/hostname, /etc/hosts, /etc/resolv.conf. */
#ifndef STOKER_GUEST_INIT_NAMES_H
#define STOKER_GUEST_INIT_NAMES_H

#include "guest-init/config.h"
#include "guest-init/failure.h"

/* Sets the host name and writes the three files into the image's root (resolv.conf only when the
 * configuration names a server). */
int names_write(int root, const struct config *config, struct failure *why);

/* Writes stoker's block of /etc/hosts anew, with config->peers; the other lines stay. */
int names_write_hosts(int root, const struct config *config, struct failure *why);

/* The new text of a hosts file: stoker's block, then what `old` has outside of such a block. The
 * caller frees it. */
char *names_hosts_text(const char *old, const struct config *config);

#endif
