/* SPDX-License-Identifier: Apache-2.0 */
/* Words and JSON for what the roster observed; control/ and ctl/ print from here. */
#include "model/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *phase_name(enum phase phase)
{
	static const char *const names[PHASE_COUNT] = {
		[PHASE_ABSENT] = "absent",	 [PHASE_FETCHING] = "fetching",
		[PHASE_PREPARING] = "preparing", [PHASE_BOOTING] = "booting",
		[PHASE_RUNNING] = "running",	 [PHASE_PAUSED] = "paused",
		[PHASE_STOPPING] = "stopping",	 [PHASE_STOPPED] = "stopped",
		[PHASE_BACKOFF] = "backoff",	 [PHASE_FAILED] = "failed",
	};

	return phase < PHASE_COUNT ? names[phase] : "?";
}

const char *reason_name(enum reason reason)
{
	static const char *const names[REASON_COUNT] = {
		[REASON_NONE] = "none",
		[REASON_EXITED] = "exited",
		[REASON_SIGNALLED] = "signalled",
		[REASON_GUEST_OOM] = "guest-oom",
		[REASON_DAEMONISED] = "daemonised",
		[REASON_PANIC] = "panic",
		[REASON_INIT_KILLED] = "init-killed",
		[REASON_GUEST_ENDED] = "guest-ended",
		[REASON_VMM_CRASHED] = "vmm-crashed",
		[REASON_VMM_KILLED] = "vmm-killed",
		[REASON_BOOT_TIMEOUT] = "boot-timeout",
		[REASON_LOST_CHANNEL] = "lost-channel",
		[REASON_UNHEALTHY] = "unhealthy",
		[REASON_LOST_TAP] = "lost-tap",
		[REASON_START_ERROR] = "start-error",
		[REASON_IMAGE_ERROR] = "image-error",
		[REASON_OPERATOR] = "operator",
		[REASON_HOST_UNFIT] = "host-unfit",
	};

	return reason < REASON_COUNT ? names[reason] : "?";
}

void boot_times_set(struct boot_times *ret, uint64_t init_us, uint64_t boot_us)
{
	*ret = (struct boot_times){ 0 };
	if (!boot_us || init_us > boot_us)
		return;
	ret->is_known = true;
	ret->kernel_ms = init_us / 1000;
	ret->init_ms = (boot_us - init_us) / 1000;
	ret->workload_ms = boot_us / 1000;
}

void fleet_status_reset(struct fleet_status *status)
{
	free(status->instances);
	*status = (struct fleet_status){ 0 };
}

const struct instance_status *fleet_status_find(const struct fleet_status *status, const char *name)
{
	for (size_t i = 0; i < status->count; i++)
		if (strcmp(status->instances[i].spec->name, name) == 0)
			return &status->instances[i];
	return NULL;
}

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static json_t *addresses(const struct spec *spec)
{
	json_t *array = json_array();
	char text[ADDRESS_TEXT_MAX];

	for (uint32_t i = 0; i < spec->addresses.count; i++)
		json_array_append_new(array,
				      json_string(address_format(&spec->addresses.items[i], text)));
	return array;
}

static json_t *boot_times(const struct boot_times *boot)
{
	json_t *object;

	if (!boot->is_known)
		return json_null();
	object = json_object();
	set(object, "kernel_ms", json_integer((json_int_t)boot->kernel_ms));
	set(object, "init_ms", json_integer((json_int_t)boot->init_ms));
	set(object, "workload_ms", json_integer((json_int_t)boot->workload_ms));
	return object;
}

static void set_ending(json_t *object, const struct instance_status *status)
{
	set(object, "reason", json_string(reason_name(status->reason)));
	if (status->reason == REASON_EXITED)
		set(object, "exit_code", json_integer(status->exit_code));
	if (status->exit_signal)
		set(object, "exit_signal", json_integer(status->exit_signal));
	set(object, "message", json_string(status->message));
}

json_t *instance_status_to_json(const struct instance_status *status)
{
	json_t *object = json_object();
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", status->mac[0], status->mac[1],
		 status->mac[2], status->mac[3], status->mac[4], status->mac[5]);
	set(object, "name", json_string(status->spec->name));
	set(object, "phase", json_string(phase_name(status->phase)));
	set_ending(object, status);
	if (status->health != HEALTH_NONE) {
		set(object, "health", json_string(health_name(status->health)));
		set(object, "health_message", json_string(status->health_message));
	}
	set(object, "image", json_string(status->spec->image));
	set(object, "vmm", json_string(status->vmm ? status->vmm : ""));
	set(object, "vmm_why", json_string(status->vmm_why ? status->vmm_why : ""));
	set(object, "pid", json_integer(status->pid));
	set(object, "restarts", json_integer(status->restarts));
	set(object, "running_ms", json_integer((json_int_t)status->running_ms));
	set(object, "next_start_ms", json_integer((json_int_t)status->next_start_ms));
	set(object, "boot_ms", json_integer((json_int_t)status->boot_ms));
	set(object, "boot", boot_times(&status->boot));
	set(object, "slot", json_integer(status->slot));
	set(object, "tap", json_string(status->tap));
	set(object, "mac", json_string(mac));
	set(object, "addresses", addresses(status->spec));
	set(object, "cpus", json_integer(status->spec->cpus));
	set(object, "memory_bytes", json_integer((json_int_t)status->spec->memory_bytes));
	set(object, "labels", json_from_strv(&status->spec->labels));
	image_progress_to_json(&status->progress, object);
	set(object, "log_dropped_bytes", json_integer((json_int_t)status->log_dropped_bytes));
	return object;
}
