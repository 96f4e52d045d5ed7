/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/transition.h"

#include "instance/actions.h"

static const struct transition table[PHASE_COUNT][EVENT_COUNT] = {
	[PHASE_ABSENT] = {
		[EVENT_START] = { PHASE_FETCHING, act_fetch },
		[EVENT_CYCLE] = { PHASE_FETCHING, act_cycle },
		[EVENT_REMOVE] = { PHASE_ABSENT, act_release },
	},
	[PHASE_FETCHING] = {
		[EVENT_HOST_REFUSED] = { PHASE_FAILED, act_none },
		[EVENT_IMAGE_READY] = { PHASE_PREPARING, act_prepare },
		[EVENT_IMAGE_DELAYED] = { PHASE_BACKOFF, act_delay },
		[EVENT_IMAGE_REFUSED] = { PHASE_FAILED, act_rest },
		[EVENT_CYCLE] = { PHASE_FETCHING, act_fetch_anew },
		[EVENT_REMOVE] = { PHASE_ABSENT, act_release },
	},
	[PHASE_PREPARING] = {
		[EVENT_HOST_REFUSED] = { PHASE_FAILED, act_none },
		[EVENT_STARTED] = { PHASE_BOOTING, act_await_boot },
		[EVENT_START_FAILED] = { PHASE_BACKOFF, act_delay },
		[EVENT_TIMEOUT] = { PHASE_PREPARING, act_prepare },
		[EVENT_CYCLE] = { PHASE_FETCHING, act_cycle },
		[EVENT_REMOVE] = { PHASE_ABSENT, act_release },
	},
	[PHASE_BOOTING] = {
		[EVENT_GUEST_READY] = { PHASE_RUNNING, act_announce },
		[EVENT_TIMEOUT] = { PHASE_BOOTING, act_kill_unbooted },
		[EVENT_CYCLE] = { PHASE_STOPPING, act_stop },
		[EVENT_REMOVE] = { PHASE_STOPPING, act_stop },
		[EVENT_GONE_AGAIN] = { PHASE_BACKOFF, act_delay },
		[EVENT_GONE_FINAL] = { PHASE_STOPPED, act_rest },
		[EVENT_GONE_FAILED] = { PHASE_FAILED, act_rest },
	},
	[PHASE_RUNNING] = {
		[EVENT_CHANNEL_LOST] = { PHASE_RUNNING, act_await_channel },
		[EVENT_GUEST_READY] = { PHASE_RUNNING, act_channel_back },
		[EVENT_TIMEOUT] = { PHASE_RUNNING, act_kill_unheard },
		[EVENT_UNHEALTHY] = { PHASE_STOPPING, act_stop_unhealthy },
		[EVENT_PAUSE] = { PHASE_PAUSED, act_pause },
		[EVENT_CYCLE] = { PHASE_STOPPING, act_stop },
		[EVENT_REMOVE] = { PHASE_STOPPING, act_stop },
		[EVENT_GONE_AGAIN] = { PHASE_BACKOFF, act_delay },
		[EVENT_GONE_FINAL] = { PHASE_STOPPED, act_rest },
		[EVENT_GONE_FAILED] = { PHASE_FAILED, act_rest },
	},
	[PHASE_PAUSED] = {
		[EVENT_CHANNEL_LOST] = { PHASE_PAUSED, act_none },
		[EVENT_GUEST_READY] = { PHASE_PAUSED, act_none },
		[EVENT_RESUME] = { PHASE_RUNNING, act_resume },
		[EVENT_CYCLE] = { PHASE_STOPPING, act_stop_paused },
		[EVENT_REMOVE] = { PHASE_STOPPING, act_stop_paused },
		[EVENT_GONE_AGAIN] = { PHASE_BACKOFF, act_delay },
		[EVENT_GONE_FINAL] = { PHASE_STOPPED, act_rest },
		[EVENT_GONE_FAILED] = { PHASE_FAILED, act_rest },
	},
	[PHASE_STOPPING] = {
		[EVENT_GUEST_READY] = { PHASE_STOPPING, act_stop_heard },
		[EVENT_TIMEOUT] = { PHASE_STOPPING, act_kill_late },
		[EVENT_CYCLE] = { PHASE_STOPPING, act_stop_for_operator },
		[EVENT_REMOVE] = { PHASE_STOPPING, act_stop_for_operator },
		[EVENT_GONE_AGAIN] = { PHASE_BACKOFF, act_delay },
		[EVENT_GONE_FINAL] = { PHASE_STOPPED, act_rest },
		[EVENT_GONE_FAILED] = { PHASE_FAILED, act_rest },
		[EVENT_GONE_CYCLE] = { PHASE_FETCHING, act_cycle },
		[EVENT_GONE_REMOVE] = { PHASE_ABSENT, act_release },
	},
	[PHASE_STOPPED] = {
		[EVENT_START] = { PHASE_FETCHING, act_cycle },
		[EVENT_CYCLE] = { PHASE_FETCHING, act_cycle },
		[EVENT_REMOVE] = { PHASE_ABSENT, act_release },
	},
	[PHASE_BACKOFF] = {
		[EVENT_TIMEOUT] = { PHASE_FETCHING, act_fetch },
		[EVENT_CYCLE] = { PHASE_FETCHING, act_cycle },
		[EVENT_REMOVE] = { PHASE_ABSENT, act_release },
	},
	[PHASE_FAILED] = {
		[EVENT_START] = { PHASE_FETCHING, act_cycle },
		[EVENT_CYCLE] = { PHASE_FETCHING, act_cycle },
		[EVENT_REMOVE] = { PHASE_ABSENT, act_release },
	},
};

const struct transition *transition_find(enum phase phase, enum event event)
{
	const struct transition *transition = &table[phase][event];

	return transition->act ? transition : NULL;
}

const char *event_name(enum event event)
{
	static const char *const names[EVENT_COUNT] = {
		[EVENT_NONE] = "none",
		[EVENT_START] = "start",
		[EVENT_HOST_REFUSED] = "host-refused",
		[EVENT_IMAGE_READY] = "image-ready",
		[EVENT_IMAGE_DELAYED] = "image-delayed",
		[EVENT_IMAGE_REFUSED] = "image-refused",
		[EVENT_STARTED] = "started",
		[EVENT_START_FAILED] = "start-failed",
		[EVENT_GUEST_READY] = "guest-ready",
		[EVENT_CHANNEL_LOST] = "channel-lost",
		[EVENT_TIMEOUT] = "timeout",
		[EVENT_UNHEALTHY] = "unhealthy",
		[EVENT_PAUSE] = "pause",
		[EVENT_RESUME] = "resume",
		[EVENT_CYCLE] = "cycle",
		[EVENT_REMOVE] = "remove",
		[EVENT_GONE_AGAIN] = "gone-again",
		[EVENT_GONE_FINAL] = "gone-final",
		[EVENT_GONE_FAILED] = "gone-failed",
		[EVENT_GONE_CYCLE] = "gone-cycle",
		[EVENT_GONE_REMOVE] = "gone-remove",
	};

	return event < EVENT_COUNT ? names[event] : "?";
}
