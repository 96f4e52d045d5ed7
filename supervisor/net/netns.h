/* SPDX-License-Identifier: Apache-2.0 */
/* Doing something in another network namespace, and coming back for certain. For net.c. */
#ifndef STOKER_NET_NETNS_H
#define STOKER_NET_NETNS_H

#include "base/error.h"

/* Enters it with the calling thread. *ret_home: the namespace to go back to; the caller's. */
int netns_enter(int netns_fd, int *ret_home, struct error *err);

/* Closes `home`. A daemon that cannot come back must not go on: it would configure another
 * namespace's links. So there is no error; the process ends. */
void netns_return(int home);

#endif
