/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/backoff.h"

void backoff_ended(struct backoff *backoff, uint64_t ran_ms, const struct settings *settings)
{
	if (ran_ms >= settings->restart_reset_ms)
		*backoff = (struct backoff){ 0 };
	backoff->failures++;
}

uint64_t backoff_next_ms(struct backoff *backoff, const struct settings *settings)
{
	uint64_t delay = backoff->delay_ms ? backoff->delay_ms * 2 : settings->restart_min_ms;

	if (delay > settings->restart_max_ms)
		delay = settings->restart_max_ms;
	backoff->delay_ms = delay;
	return delay;
}

enum verdict restart_verdict(const struct spec *spec, enum reason reason, int exit_code,
			     uint32_t failures)
{
	switch ((enum restart_policy)spec->restart) {
	case RESTART_ALWAYS:
		return VERDICT_AGAIN;
	case RESTART_ON_FAILURE:
		if ((reason == REASON_EXITED && exit_code == 0) || reason == REASON_DAEMONISED)
			return VERDICT_REST;
		if (spec->restart_limit && failures > spec->restart_limit)
			return VERDICT_FAILED;
		return VERDICT_AGAIN;
	case RESTART_NO:
		break;
	}
	return VERDICT_REST;
}
