/* SPDX-License-Identifier: Apache-2.0 */
#include "model/health.h"

enum health health_judge(bool has_succeeded, uint32_t failures, uint32_t retries)
{
	if (failures >= retries)
		return HEALTH_UNHEALTHY;
	return has_succeeded ? HEALTH_HEALTHY : HEALTH_STARTING;
}

const char *health_name(enum health health)
{
	static const char *const names[] = {
		[HEALTH_NONE] = "",
		[HEALTH_STARTING] = "starting",
		[HEALTH_HEALTHY] = "healthy",
		[HEALTH_UNHEALTHY] = "unhealthy",
	};

	return names[health];
}
