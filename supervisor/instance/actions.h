/* SPDX-License-Identifier: Apache-2.0 */
/* What transitions do. Each is a few lines; the long work is in prepare and in the folders left. */
#ifndef STOKER_INSTANCE_ACTIONS_H
#define STOKER_INSTANCE_ACTIONS_H

#include "instance/transition.h"

action_fn act_none;
action_fn act_fetch;	     /* asks for the image, or uses the one it has */
action_fn act_fetch_anew;    /* the same after dropping the request under way */
action_fn act_prepare;	     /* disk, initramfs, tap, VMM */
action_fn act_await_boot;    /* starts the clock for the guest's hello */
action_fn act_announce;	     /* the guest runs */
action_fn act_await_channel; /* gives the channel a moment to come back */
action_fn act_channel_back;
action_fn act_pause;
action_fn act_resume;
action_fn act_kill_unbooted;
action_fn act_kill_unheard;
action_fn act_kill_late;	 /* the grace period is over */
action_fn act_stop;		 /* asks the guest to stop; starts the grace period */
action_fn act_stop_paused;	 /* the same, after letting it go on */
action_fn act_stop_unhealthy;	 /* the same; why is kept */
action_fn act_stop_for_operator; /* it stops for another reason already: this one counts */
action_fn act_stop_heard;	 /* asks an adopted guest that was to be stopped before its hello */
action_fn act_delay;		 /* frees what a run holds; starts the restart delay */
action_fn act_rest;		 /* frees what a run holds */
action_fn act_cycle;		 /* frees what a run holds, takes the next spec, fetches */
action_fn act_release;		 /* frees everything; the roster forgets the instance */

#endif
