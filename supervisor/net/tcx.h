/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCX links (Linux 6.6): a program at the head of a device's ingress or egress that neither
 * `tc qdisc del` nor a change of network namespace takes away. By bpf(2) itself: libbpf 1.1 has no
 * call for them.
 */
#ifndef STOKER_NET_TCX_H
#define STOKER_NET_TCX_H

#include <stdbool.h>

enum tcx_side { TCX_SIDE_INGRESS, TCX_SIDE_EGRESS };

/* A new link's descriptor, or -1 with errno; EINVAL when the kernel has no TCX. */
int tcx_attach(int program_fd, unsigned ifindex, enum tcx_side side);

/* Does this link hold that side of the device, still? */
bool tcx_is_attached(int link_fd, unsigned ifindex, enum tcx_side side);

#endif
