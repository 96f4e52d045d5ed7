/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon keeps of root's powers. */
#ifndef STOKER_PRIVILEGE_H
#define STOKER_PRIVILEGE_H

#include "base/error.h"

/* Drops every capability that has no reason to be there, from all sets and for all children.
 * Not being root at all is an error. */
int privilege_drop(struct error *err);

#endif
