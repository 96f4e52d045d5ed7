/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this host's /dev/kvm can really run a guest: being there proves nothing. */
#ifndef STOKER_HOST_PROBE_H
#define STOKER_HOST_PROBE_H

#include "model/settings.h"

enum kvm_state {
	KVM_HARDWARE, /* runs guest code natively: use it */
	KVM_EMULATED, /* runs it, but so slowly that TCG is the better choice */
	KVM_UNUSABLE, /* opens, but a guest makes no progress */
	KVM_ABSENT,   /* no /dev/kvm, or not for us */
};

/* Runs a tiny guest with a 200 ms watchdog, once per host boot: the verdict is kept in
 * RUN_DIR/kvm-state beside the boot id. Never fails: doubt is KVM_UNUSABLE. */
enum kvm_state kvm_probe(const struct settings *settings);

const char *kvm_state_name(enum kvm_state state); /* "hardware" ... */

#endif
