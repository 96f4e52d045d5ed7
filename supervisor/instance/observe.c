/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be seen of an instance, for the roster. Nothing here changes it. */
#include <stdio.h>

#include "instance/internal.h"
#include "instance/logfile.h"

enum health instance_health(const struct instance *instance)
{
	if (instance->phase != PHASE_RUNNING || !instance->spec->healthcheck.count ||
	    !instance->has_health)
		return HEALTH_NONE;
	return health_judge(instance->health.has_succeeded, instance->health.failures,
			    instance->spec->health_retries);
}

void instance_observe(const struct instance *instance, struct instance_status *ret)
{
	uint64_t now = loop_now_ms();
	struct instance_status status = {
		.spec = instance_spec(instance),
		.phase = instance->phase,
		.reason = instance->reason,
		.exit_code = instance->exit_code,
		.exit_signal = instance->exit_signal,
		.health = instance_health(instance),
		.health_message = instance->health.message,
		.slot = instance->slot,
		.restarts = instance->restarts,
		.boot_ms = instance->boot_ms,
		.boot = instance->boot,
		.stats = instance->stats,
		.vmm = "",
		.vmm_why = "",
	};

	snprintf(status.message, sizeof(status.message), "%s", instance->message);
	spec_mac(status.spec->name, status.mac);
	if (instance->vmm) {
		status.pid = instance->driver->pid(instance->vmm);
		status.vmm = instance->driver->describe(instance->vmm);
		status.vmm_why = instance->vmm_why;
	}
	if (instance->has_tap)
		instance_tap_name(instance->slot, status.tap);
	if (instance->running_ms)
		status.running_ms = now - instance->running_ms;
	if (instance->phase == PHASE_BACKOFF && instance->wake_ms > now)
		status.next_start_ms = instance->wake_ms - now;
	if (instance->image_request)
		image_request_progress(instance->image_request, &status.progress);
	if (instance->log)
		status.log_dropped_bytes = logfile_dropped_bytes(instance->log);
	*ret = status;
}
