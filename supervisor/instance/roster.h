/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All instances. The roster carries out plans and says what is; nothing else starts or stops a VM.
 */
#ifndef STOKER_INSTANCE_ROSTER_H
#define STOKER_INSTANCE_ROSTER_H

#include <stddef.h>

#include "base/error.h"
#include "forward/forward.h"
#include "guest/exec.h"
#include "image/image.h"
#include "loop/loop.h"
#include "model/fleet.h"
#include "model/settings.h"
#include "model/status.h"
#include "net/net.h"
#include "plan/plan.h"

struct roster;

/* What the guard of an instance's tap tells. */
typedef void roster_guard_fn(void *data, const char *name, const struct net_event *event);

/* What happened to an instance, for the log and for `stokerctl events`. */
typedef void roster_fn(void *data, const struct instance_status *status);

/* Opens the image store and the network and adopts what an earlier daemon left running. */
int roster_open(struct loop *loop, const struct settings *settings, roster_fn *changed, void *data,
		struct roster **ret, struct error *err);

/* Lets go of everything; VMs go on running and are adopted by the next roster. */
struct roster *roster_close(struct roster *roster);

/* Until it is told NULL, no VM is started, restarted or replaced, and `why`, which is copied, is
 * what operators read. VMs that run go on; the others are started by the first roster_apply after
 * it. */
void roster_hold(struct roster *roster, const char *why);

/* Starts to make the fleet real as `plan` says. The fleet must outlive the next call. */
void roster_apply(struct roster *roster, const struct fleet *fleet, const struct plan *plan);

/* How many instances there are, whatever their phase. */
size_t roster_count(const struct roster *roster);

/* A view of all instances; its pointers hold until control returns to the loop. */
void roster_observe(const struct roster *roster, struct fleet_status *ret);

/* Stops (gracefully) and starts again. Unknown names are an error, and so is a hold. */
int roster_restart(struct roster *roster, const char *name, struct error *err);

/* Stops a VM's processors, and lets them go on. Unknown names and phases without a running guest
 * are errors. */
int roster_pause(struct roster *roster, const char *name, struct error *err);
/* So that its status tells soon how the guest is doing; nothing, where nobody can answer. */
void roster_ask_stats(struct roster *roster, const char *name);
int roster_resume(struct roster *roster, const char *name, struct error *err);

/* A session in the guest of an instance; see guest/exec.h. */
int roster_exec(struct roster *roster, const char *name, const struct exec_request *request,
		const struct exec_callbacks *callbacks, void *data, struct exec **ret,
		struct error *err);

/* Whether a fleet was applied since it was opened. */
bool roster_has_fleet(const struct roster *roster);

/* The name of an instance that uses or is to use this volume (model/volume.h); NULL: none. */
const char *roster_volume_user(const struct roster *roster, const char *id);

/* Path of the current log file of an instance; the caller frees it. */
int roster_log_path(const struct roster *roster, const char *name, char **ret, struct error *err);

/* From now on tells what guards tell, and looks after them; a VM whose tap is lost is killed. */
int roster_watch_guards(struct roster *roster, roster_guard_fn *told, void *data,
			struct error *err);

/* What the guard of an instance's tap does and has done. */
int roster_guard(const struct roster *roster, const char *name, struct net_view *ret,
		 struct error *err);

/* The policy of an instance as it is in force; net_policy_reset frees it. */
int roster_policy(const struct roster *roster, const char *name, struct net_policy *ret,
		  struct error *err);

/* The images that instances share; of the roster, which tells it who uses them. */
struct image_store *roster_images(const struct roster *roster);

/* Where lines of their logs go besides the files; NULL: nowhere. */
struct forward *roster_forward(const struct roster *roster);

/* True when no instance is on its way anywhere: everything runs, is stopped, or has failed. */
bool roster_is_settled(const struct roster *roster);

#endif
