/* SPDX-License-Identifier: Apache-2.0 */
/* Called by the dispatcher in instance.c only, in the order that transition.c says. */
#include "instance/actions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/signals.h"
#include "instance/boot.h"
#include "instance/internal.h"

enum {
	ADDRESS_RETRY_MS = 50,	  /* while another instance still holds our address */
	CHANNEL_RETURN_MS = 5000, /* a lost channel may come back for so long */
	STOP_MARGIN_MS = 10000,	  /* after the grace period: sync, unmount, power off */
	HELLO_RETURN_MS = 30000,  /* an adopted guest answers within that, however busy the host */
};

enum event act_none(struct instance *instance)
{
	(void)instance;
	return EVENT_NONE;
}

/* Each start passes here twice: before it holds anything, and before anything runs. Nothing is
 * recorded, so that the next daemon judges anew. */
static bool is_refused(struct instance *instance)
{
	const char *why = instance->context->refusal(instance->context->data);

	if (!why)
		return false;
	instance_blame(instance, REASON_HOST_UNFIT, why);
	return true;
}

/* --- the image ------------------------------------------------------------------------------- */

static void on_checked(void *data, const struct image *image, const struct error *err, bool retry)
{
	struct instance *instance = data;

	instance->image_request = NULL;
	if (image) {
		instance_event(instance, EVENT_IMAGE_READY);
		return;
	}
	instance_drop_image(instance);
	instance_blame(instance, REASON_IMAGE_ERROR, err->text);
	instance_event(instance, retry ? EVENT_IMAGE_DELAYED : EVENT_IMAGE_REFUSED);
}

/* Where images are checked: by the guest, if its kernel can; else here, before each start. What is
 * wrong with a kernel, the start will say. */
static enum event take_image(struct instance *instance)
{
	const struct instance_context *context = instance->context;
	struct boot_files files;
	struct error err;

	if (!context->settings->verity ||
	    boot_find(context->boot, instance->spec->kernel, &files, &err) < 0 || files.has_verity)
		return EVENT_IMAGE_READY;
	instance->image_request = image_request_check(context->images, instance->image, on_checked,
						      instance);
	return EVENT_NONE;
}

static void on_image(void *data, const struct image *image, const struct error *err, bool retry)
{
	struct instance *instance = data;

	instance->image_request = NULL;
	if (image) {
		/* Waiting for an image says nothing about how the VM behaves. */
		if (instance->reason == REASON_IMAGE_ERROR)
			instance->backoff = (struct backoff){ 0 };
		instance_drop_image(instance);
		instance->image = image_copy(image);
		instance_event(instance, take_image(instance));
		return;
	}
	instance_blame(instance, REASON_IMAGE_ERROR, err->text);
	instance_event(instance, retry ? EVENT_IMAGE_DELAYED : EVENT_IMAGE_REFUSED);
}

static void cancel_image(struct instance *instance)
{
	if (instance->image_request)
		image_request_cancel(instance->image_request);
	instance->image_request = NULL;
}

static void take_next_spec(struct instance *instance)
{
	if (!instance->next)
		return;
	if (strcmp(instance->next->image, instance->spec->image) != 0)
		instance_drop_image(instance);
	spec_free(instance->spec);
	instance->spec = take_ptr(instance->next);
}

enum event act_fetch(struct instance *instance)
{
	instance_disarm(instance);
	if (is_refused(instance))
		return EVENT_HOST_REFUSED;
	/* One that an earlier daemon started may have an image without a hash tree. */
	if (instance->image && instance->context->settings->verity &&
	    !image_has_verity(instance->context->images, instance->image))
		instance_drop_image(instance);
	/* A restart runs what the first start found, unless it is to ask each time. */
	if (instance->image && instance->spec->pull_policy != PULL_ALWAYS)
		return take_image(instance);
	instance->image_request = image_request(instance->context->images, instance->spec->image,
						(enum pull_policy)instance->spec->pull_policy,
						on_image, instance);
	return EVENT_NONE;
}

enum event act_fetch_anew(struct instance *instance)
{
	cancel_image(instance);
	instance_drop_image(instance);
	take_next_spec(instance);
	return act_fetch(instance);
}

/* --- starting -------------------------------------------------------------------------------- */

/* Nothing is armed: the roster wakes it when another one has changed. */
static bool has_to_wait(struct instance *instance)
{
	const struct instance_context *context = instance->context;
	bool did_wait = instance->wait != WAIT_NOT;
	char text[sizeof(instance->message)] = "";

	instance->wait = context->wait(context->data, instance->spec, text);
	if (did_wait || instance->wait != WAIT_NOT)
		memcpy(instance->message, text, sizeof(text));
	return instance->wait != WAIT_NOT;
}

enum event act_prepare(struct instance *instance)
{
	const struct instance_context *context = instance->context;
	struct error err = { 0 };
	const char *holder, *what;

	instance_disarm(instance);
	if (is_refused(instance))
		return EVENT_HOST_REFUSED;
	if (has_to_wait(instance))
		return EVENT_NONE;
	holder = context->holder(context->data, instance, instance->spec, &what);
	if (holder) {
		snprintf(instance->message, sizeof(instance->message),
			 "waits until %s has released its %s", holder, what);
		instance_arm(instance, ADDRESS_RETRY_MS);
		return EVENT_NONE;
	}
	if (instance_prepare(instance, &err) < 0) {
		instance_blame(instance, REASON_START_ERROR, err.text);
		return EVENT_START_FAILED;
	}
	return EVENT_STARTED;
}

/* A VM that is paused says nothing. */
static void watch_guest(struct instance *instance, bool is_on)
{
	uint64_t silence_ms = is_on ? instance->context->settings->guest_timeout_ms : 0;

	if (instance->channel)
		channel_watch(instance->channel, silence_ms);
}

enum event act_await_boot(struct instance *instance)
{
	instance->started_ms = loop_now_ms();
	instance_arm(instance, instance->context->settings->boot_timeout_ms);
	return EVENT_NONE;
}

enum event act_announce(struct instance *instance)
{
	instance_disarm(instance);
	instance->running_ms = loop_now_ms();
	if (!instance->was_adopted)
		instance->boot_ms = instance->running_ms - instance->started_ms;
	instance->message[0] = '\0';
	watch_guest(instance, true);
	instance_refresh_hosts(instance);
	return EVENT_NONE;
}

/* --- the channel ----------------------------------------------------------------------------- */

enum event act_await_channel(struct instance *instance)
{
	instance_arm(instance, CHANNEL_RETURN_MS);
	return EVENT_NONE;
}

enum event act_channel_back(struct instance *instance)
{
	instance_disarm(instance);
	/* Not a refusal that came meanwhile. */
	if (instance->tells_of_channel)
		instance->message[0] = '\0';
	instance->tells_of_channel = false;
	watch_guest(instance, true);
	instance_refresh_hosts(instance);
	return EVENT_NONE;
}

/* --- pausing --------------------------------------------------------------------------------- */

/* The record first: a daemon that starts meanwhile must not wait for a hello that cannot come. */
enum event act_pause(struct instance *instance)
{
	instance_disarm(instance);
	record_rewrite(instance);
	watch_guest(instance, false);
	instance->driver->pause(instance->vmm);
	return EVENT_NONE;
}

enum event act_resume(struct instance *instance)
{
	instance->driver->resume(instance->vmm);
	watch_guest(instance, true);
	record_rewrite(instance);
	instance->message[0] = '\0';
	if (!instance->running_ms) /* of an earlier daemon, when it was paused */
		instance->running_ms = loop_now_ms();
	if (!instance->channel)
		instance_arm(instance, CHANNEL_RETURN_MS);
	else if (!instance->has_hello)
		instance_arm(instance, HELLO_RETURN_MS);
	if (instance->channel)
		channel_tell_time_lost(instance->channel);
	instance_refresh_hosts(instance);
	return EVENT_NONE;
}

/* --- ending ---------------------------------------------------------------------------------- */

static enum event kill_vmm(struct instance *instance, enum reason why)
{
	instance->doom = why;
	instance->driver->kill(instance->vmm);
	return EVENT_NONE;
}

enum event act_kill_unbooted(struct instance *instance)
{
	snprintf(instance->message, sizeof(instance->message),
		 "no word from the guest within %llu s (its console is in the log)",
		 (unsigned long long)instance->context->settings->boot_timeout_ms / 1000);
	return kill_vmm(instance, REASON_BOOT_TIMEOUT);
}

enum event act_kill_unheard(struct instance *instance)
{
	return kill_vmm(instance, REASON_LOST_CHANNEL);
}

enum event act_kill_late(struct instance *instance)
{
	return kill_vmm(instance,
			instance->doom == REASON_UNHEALTHY ? REASON_UNHEALTHY : REASON_OPERATOR);
}

enum event act_stop(struct instance *instance)
{
	const char *name = instance->spec->stop_signal;
	uint64_t grace_ms = instance->spec->stop_grace_ms;

	/* One that was adopted most likely has a workload, and is only to say hello again. */
	if (!instance->running_ms && instance->was_adopted) {
		instance_arm(instance, HELLO_RETURN_MS);
		return EVENT_NONE;
	}
	/* A guest that has not said hello has no workload to stop gracefully. */
	if (!instance->running_ms || !instance->channel)
		return kill_vmm(instance, REASON_OPERATOR);
	channel_stop(instance->channel, name && *name ? signal_number(name) : 0, grace_ms);
	instance_arm(instance, grace_ms + STOP_MARGIN_MS);
	return EVENT_NONE;
}

enum event act_stop_paused(struct instance *instance)
{
	instance->driver->resume(instance->vmm);
	watch_guest(instance, true);
	record_rewrite(instance);
	return act_stop(instance);
}

enum event act_stop_unhealthy(struct instance *instance)
{
	enum event next;

	snprintf(instance->message, sizeof(instance->message), "%u checks failed, the last: %.200s",
		 instance->health.failures, instance->health.message);
	instance->tells_of_channel = false;
	next = act_stop(instance);
	instance->doom = REASON_UNHEALTHY;
	return next;
}

enum event act_stop_for_operator(struct instance *instance)
{
	instance->doom = REASON_OPERATOR;
	return EVENT_NONE;
}

enum event act_stop_heard(struct instance *instance)
{
	if (instance->running_ms) /* it knows already: its channel was lost and came back */
		return EVENT_NONE;
	instance->running_ms = loop_now_ms();
	return act_stop(instance);
}

enum event act_delay(struct instance *instance)
{
	uint64_t delay_ms = backoff_next_ms(&instance->backoff, instance->context->settings);

	instance_clear_run(instance);
	if (instance->reason != REASON_IMAGE_ERROR)
		instance->restarts++;
	instance_arm(instance, delay_ms);
	return EVENT_NONE;
}

enum event act_rest(struct instance *instance)
{
	struct error err;

	instance_clear_run(instance);
	/* One that never had an image is worth another try by the next daemon. */
	if (instance->image && instance_keep_rest(instance, &err) < 0)
		log_warning("%s: runs again when the daemon is restarted: %s", instance->spec->name,
			    err.text);
	return EVENT_NONE;
}

enum event act_cycle(struct instance *instance)
{
	instance_clear_run(instance);
	instance->backoff = (struct backoff){ 0 };
	take_next_spec(instance);
	return act_fetch(instance);
}

enum event act_release(struct instance *instance)
{
	cancel_image(instance);
	instance_clear_run(instance);
	instance->context->released(instance->context->data, instance);
	return EVENT_NONE;
}
