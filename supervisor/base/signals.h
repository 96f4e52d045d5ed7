/* SPDX-License-Identifier: Apache-2.0 */
/* Signals by name, as manifests and images write them. */
#ifndef STOKER_BASE_SIGNALS_H
#define STOKER_BASE_SIGNALS_H

/* "SIGTERM", "TERM", "sigterm", "SIGRTMIN+3", "RTMAX-2" or "15" -> number; 0 when it is none. */
int signal_number(const char *name);

#endif
