/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image's disk under dm-verity: what is read from it is what its hash tree says, or an I/O
 * error and a message of the kernel's. mounts.c puts it there, main.c looks out for the message.
 */
#ifndef STOKER_GUEST_INIT_VERITY_H
#define STOKER_GUEST_INIT_VERITY_H

#include <stdbool.h>
#include <stddef.h>

#include "guest-init/failure.h"

/* `table` is CONFIG_VERITY's text. Replaces the disk's path by that of the checked one. */
int verity_open(const char *table, char device[64], struct failure *why);

/* Whether a record of /dev/kmsg is the kernel's word of damage; a process's cannot be. */
bool verity_is_damage(const char *record, size_t length, struct failure *why);

/* Looks for one among all that the kernel still remembers. */
bool verity_find_damage(struct failure *why);

#endif
