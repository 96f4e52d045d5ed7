/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes by which devices are told apart, whatever the order in which they were found. */
#ifndef STOKER_GUEST_INIT_SYSFS_H
#define STOKER_GUEST_INIT_SYSFS_H

#include <stdbool.h>

/* Whether the attribute's text, without its newline, is `wanted` (at most 62 bytes). A missing one
 * is not. */
bool sysfs_text_is(const char *path, const char *wanted);

#endif
