/* SPDX-License-Identifier: Apache-2.0 */
/* How the workload ended: more than its first process's status says. */
#ifndef STOKER_GUEST_INIT_ENDING_H
#define STOKER_GUEST_INIT_ENDING_H

#include <stdbool.h>
#include <stddef.h>

#include "guest-init/protocol.h"

enum { VICTIM_MAX = 64 };

/* Fills the kind, the code and the message. `status` is the first process's, as waitpid(2) has it.
 * `is_stopped`: it was asked to end, so that what it left and what was killed tell nothing. Called
 * before anything that is left is killed; may wait a tenth of a second for that to end by itself.
 */
void ending_tell(int status, bool is_stopped, struct frame_exit *ret);

/* Whether the record of /dev/kmsg, as kmsg_format() has it, is the kernel's own word that it killed
 * a process for want of memory. `victim`: "NAME (pid N)", which may be cut; NAME is the guest's
 * text. */
bool ending_is_oom(const char *record, size_t length, char victim[VICTIM_MAX]);

#endif
