/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one dispatcher, and the callbacks that decode what image/, vmm/ and guest/ say into events.
 */
#include "instance/internal.h"
#include "model/volume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

void instance_event(struct instance *instance, enum event event)
{
	enum phase before = instance->phase;

	while (event != EVENT_NONE) {
		const struct transition *transition = transition_find(instance->phase, event);

		if (!transition) {
			log_debug("%s: event %s means nothing in phase %s", instance->spec->name,
				  event_name(event), phase_name(instance->phase));
			break;
		}
		instance->phase = transition->next;
		event = transition->act(instance);
	}
	/* A phase that is passed through without waiting is nobody's news. */
	if (instance->phase != before)
		instance->context->changed(instance->context->data, instance);
}

void instance_blame(struct instance *instance, enum reason reason, const char *text)
{
	instance->reason = reason;
	instance->exit_code = instance->exit_signal = 0;
	snprintf(instance->message, sizeof(instance->message), "%.255s", text);
}

static void on_timer(struct watch *watch, unsigned events, void *data)
{
	struct instance *instance = data;

	(void)events;
	instance->timer = watch_free(watch);
	instance_event(instance, EVENT_TIMEOUT);
}

void instance_arm(struct instance *instance, uint64_t after_ms)
{
	instance_disarm(instance);
	instance->wake_ms = loop_now_ms() + after_ms;
	instance->timer = loop_timer(instance->context->loop, after_ms, on_timer, instance);
}

void instance_disarm(struct instance *instance)
{
	instance->timer = watch_free(instance->timer);
	instance->wake_ms = 0;
}

/* --- the guest ------------------------------------------------------------------------------- */

/* A guest that is not there now is told by its hello. */
static void define_check(const struct instance *instance)
{
	if (instance->channel && channel_is_greeted(instance->channel))
		channel_check(instance->channel, instance->spec);
}

static void on_hello(void *data, const struct channel_hello *hello)
{
	struct instance *instance = data;

	instance_drop_callers(instance);
	boot_times_set(&instance->boot, hello->init_us, hello->boot_us);
	instance->has_hello = true;
	define_check(instance);
	instance_event(instance, EVENT_GUEST_READY);
}

static void on_log(void *data, enum channel_stream stream, const void *bytes, size_t length)
{
	static const char *const words[] = {
		[CHANNEL_STDOUT] = "stdout", [CHANNEL_STDERR] = "stderr",
		[CHANNEL_KERNEL] = "kernel", [CHANNEL_SYSLOG] = "syslog",
		[CHANNEL_INIT] = "init",
	};
	struct instance *instance = data;

	if (instance->log)
		logfile_write(instance->log, words[stream], bytes, length);
}

/* That one is starting is no news: it has just begun to run. */
static void judge_health(struct instance *instance, enum health before)
{
	enum health now = instance_health(instance);

	if (now != before && (now == HEALTH_HEALTHY || now == HEALTH_UNHEALTHY))
		instance->context->changed(instance->context->data, instance);
	if (now == HEALTH_UNHEALTHY && instance->spec->unhealthy_stops)
		instance_event(instance, EVENT_UNHEALTHY);
}

static void on_health(void *data, const struct channel_health *health)
{
	struct instance *instance = data;
	enum health before = instance_health(instance);

	instance->health = *health;
	instance->has_health = true;
	judge_health(instance, before);
}

static void on_stats(void *data, const struct guest_stats *stats)
{
	struct instance *instance = data;

	instance->stats = *stats;
}

static void on_report(void *data, const struct channel_exit *report)
{
	struct instance *instance = data;

	instance->has_report = true;
	instance->report = *report;
}

static void finish(struct instance *instance);

static void on_lost(void *data, const struct error *why)
{
	struct instance *instance = data;

	instance->peer.log_seen = channel_log_seen(instance->channel);
	instance->channel = channel_free(instance->channel);
	if (instance_take_caller(instance))
		return;
	if (instance->has_gone) {
		finish(instance);
		return;
	}
	/* We know better why when we have just killed it. */
	if (instance->doom == REASON_NONE) {
		snprintf(instance->message, sizeof(instance->message), "%.255s", why->text);
		instance->tells_of_channel = true;
	}
	instance_event(instance, EVENT_CHANNEL_LOST);
}

const struct channel_callbacks instance_channel_callbacks = {
	.hello = on_hello,
	.log = on_log,
	.exited = on_report,
	.lost = on_lost,
	.health = on_health,
	.stats = on_stats,
};

/* --- the VMM --------------------------------------------------------------------------------- */

static void on_channel(void *data, int fd)
{
	struct instance *instance = data;

	/* stoker-init comes again only when its connection is gone. */
	if (!instance->channel)
		instance->channel = channel_new(instance->context->loop, fd, &instance->peer,
						&instance_channel_callbacks, instance);
	else if (channel_is_greeted(instance->channel))
		close(fd);
	else
		instance_add_caller(instance, fd);
}

static void blame_report(struct instance *instance)
{
	const struct channel_exit *report = &instance->report;
	char message[256];

	switch (report->kind) {
	case CHANNEL_EXITED:
		instance_blame(instance, REASON_EXITED, "");
		instance->exit_code = report->code;
		break;
	case CHANNEL_SIGNALLED:
		instance_blame(instance, REASON_SIGNALLED, "");
		instance->exit_signal = report->code;
		break;
	case CHANNEL_OOM:
		snprintf(message, sizeof(message), "out of memory in the guest%s%s",
			 *report->message ? ", its kernel killed " : "", report->message);
		instance_blame(instance, REASON_GUEST_OOM, message);
		break;
	case CHANNEL_INIT_ERROR:
		instance_blame(instance, REASON_START_ERROR, report->message);
		break;
	case CHANNEL_DAEMONISED:
		snprintf(message, sizeof(message), "%s: it is to run in the foreground",
			 report->message);
		instance_blame(instance, REASON_DAEMONISED, message);
		break;
	}
}

/* Then the restart policy is not asked. */
static bool is_stopped_by_operator(const struct instance *instance)
{
	return instance->phase == PHASE_STOPPING && instance->doom != REASON_UNHEALTHY;
}

/* What ended the run: our own hand first, then the guest's report, then what the VMM left. */
static void blame_end(struct instance *instance)
{
	const struct vmm_exit *exit = &instance->gone;

	instance->exit_code = instance->exit_signal = 0;
	if (is_stopped_by_operator(instance)) {
		instance_blame(instance, REASON_OPERATOR, "");
	} else if (instance->doom != REASON_NONE) {
		instance->reason = instance->doom;
	} else if (instance->has_report) {
		blame_report(instance);
	} else {
		instance_blame(instance, exit->reason, exit->detail);
		instance->exit_signal = exit->exit_signal;
	}
}

static enum event end_event(struct instance *instance)
{
	const struct settings *settings = instance->context->settings;
	uint64_t ran_ms = instance->running_ms ? loop_now_ms() - instance->running_ms : 0;

	if (is_stopped_by_operator(instance))
		return instance->leaving ? EVENT_GONE_REMOVE : EVENT_GONE_CYCLE;
	backoff_ended(&instance->backoff, ran_ms, settings);
	switch (restart_verdict(instance->spec, instance->reason, instance->exit_code,
				instance->backoff.failures)) {
	case VERDICT_AGAIN:
		return EVENT_GONE_AGAIN;
	case VERDICT_FAILED:
		return EVENT_GONE_FAILED;
	case VERDICT_REST:
		break;
	}
	return EVENT_GONE_FINAL;
}

static void finish(struct instance *instance)
{
	blame_end(instance);
	if (!instance->has_report && instance->phase != PHASE_STOPPING)
		instance_keep_console(instance);
	instance_event(instance, end_event(instance));
}

static void on_gone(void *data, const struct vmm_exit *exit)
{
	struct instance *instance = data;

	instance->has_gone = true;
	instance->gone = *exit;
	/* The guest's last words may still be in the channel's socket. Its other end is closed, so
	 * the channel reads them and then ends: on_lost comes for certain. */
	if (!instance->channel)
		finish(instance);
}

static void on_refused(void *data, enum vmm_wish wish, const struct error *why)
{
	struct instance *instance = data;

	log_warning("%s: %s", instance->spec->name, why->text);
	if (wish == VMM_WISH_PAUSE) /* it runs, whatever the phase says */
		instance_event(instance, EVENT_RESUME);
	snprintf(instance->message, sizeof(instance->message), "%.255s", why->text);
	instance->tells_of_channel = false;
}

const struct vmm_callbacks instance_vmm_callbacks = {
	.channel = on_channel,
	.gone = on_gone,
	.lend_tap = instance_lend_tap,
	.take_tap = instance_take_tap,
	.refused = on_refused,
};

/* --- life ------------------------------------------------------------------------------------ */

struct instance *instance_new(const struct instance_context *context, const struct spec *spec,
			      uint32_t slot)
{
	struct instance *instance = xcalloc(1, sizeof(*instance));

	instance->context = context;
	instance->slot = slot;
	instance->spec = spec_copy(spec);
	instance->phase = PHASE_ABSENT;
	return instance;
}

void instance_drop_image(struct instance *instance)
{
	if (instance->image)
		image_store_note_use(instance->context->images, instance->image);
	instance->image = image_free(instance->image);
}

const char *instance_image_id(const struct instance *instance)
{
	return instance->image ? instance->image->id : NULL;
}

struct instance *instance_free(struct instance *instance)
{
	if (!instance)
		return NULL;
	instance_disarm(instance);
	if (instance->image_request)
		image_request_cancel(instance->image_request);
	/* So that the next daemon asks for what this one has not logged, and no more. */
	if (instance->vmm && instance->channel && channel_is_greeted(instance->channel))
		record_rewrite(instance);
	instance_drop_callers(instance);
	channel_free(instance->channel);
	if (instance->vmm)
		instance->driver->free(instance->vmm);
	logfile_close(instance->log);
	instance_drop_image(instance);
	spec_free(instance->spec);
	spec_free(instance->next);
	free(instance);
	return NULL;
}

void instance_start(struct instance *instance)
{
	instance_event(instance, EVENT_START);
}

void instance_replace(struct instance *instance, const struct spec *spec)
{
	spec_free(instance->next);
	instance->next = spec_copy(spec);
	instance->leaving = false;
	instance_event(instance, EVENT_CYCLE);
}

static void update_tap(struct instance *instance)
{
	struct error err = { 0 };
	struct net_tap tap;
	char name[16];

	instance_describe_tap(instance, name, &tap);
	if (!instance->has_tap || net_tap_update(instance->context->net, &tap, &err) == 0)
		return;
	log_error("%s: %s", instance->spec->name, err.text);
}

static bool has_same_check(const struct spec *a, const struct spec *b)
{
	return strv_equal(&a->healthcheck, &b->healthcheck) &&
	       a->health_interval_ms == b->health_interval_ms &&
	       a->health_timeout_ms == b->health_timeout_ms &&
	       a->health_start_period_ms == b->health_start_period_ms;
}

/* What was known of a check says nothing about another one; whether it is the same to the guest, it
 * will tell. */
static void update_check(struct instance *instance, bool is_same, enum health before)
{
	if (is_same) {
		judge_health(instance, before);
		return;
	}
	instance->has_health = false;
	define_check(instance);
}

/* Only live fields differ, so the whole spec may be taken over. */
static void take_live(struct instance *instance, struct spec *live)
{
	struct vmm_limits before = instance_limits(instance->spec), now = instance_limits(live);
	enum health health = instance_health(instance);
	bool has_check = has_same_check(instance->spec, live);

	spec_free(instance->spec);
	instance->spec = live;
	update_check(instance, has_check, health);
	update_tap(instance);
	if (!instance->vmm || memcmp(&before, &now, sizeof(now)) == 0)
		return;
	instance->message[0] = '\0'; /* a refusal of the ones before is no news any more */
	instance->driver->limit(instance->vmm, &now);
}

void instance_update(struct instance *instance, const struct spec *spec)
{
	struct spec *live = spec_copy(spec);

	if (instance->next) {
		spec_free(instance->next);
		instance->next = live;
	} else {
		take_live(instance, live);
	}
	instance->leaving = false;
	if (instance->vmm || instance->phase == PHASE_STOPPED)
		record_rewrite(instance);
	/* It rests because its policy said so; the new one may not. */
	if (instance->phase == PHASE_STOPPED &&
	    restart_verdict(instance->spec, instance->reason, instance->exit_code, 1) ==
		    VERDICT_AGAIN)
		instance_event(instance, EVENT_START);
}

void instance_unguarded(struct instance *instance, const char *why)
{
	if (!instance->vmm)
		return;
	snprintf(instance->message, sizeof(instance->message), "%.255s", why);
	instance->doom = REASON_LOST_TAP;
	instance->driver->kill(instance->vmm);
}

void instance_keep(struct instance *instance)
{
	instance->leaving = false;
}

void instance_retry(struct instance *instance)
{
	if (instance->phase == PHASE_FAILED && instance->reason == REASON_HOST_UNFIT)
		instance_event(instance, EVENT_START);
}

void instance_wake(struct instance *instance)
{
	if (instance->phase == PHASE_PREPARING && instance->wait != WAIT_NOT)
		instance_event(instance, EVENT_TIMEOUT);
}

bool instance_is_stuck(const struct instance *instance)
{
	return instance->phase == PHASE_PREPARING && instance->wait == WAIT_STUCK;
}

void instance_remove(struct instance *instance)
{
	instance->leaving = true;
	instance_event(instance, EVENT_REMOVE);
}

void instance_restart(struct instance *instance)
{
	instance_event(instance, EVENT_CYCLE);
}

int instance_pause(struct instance *instance, struct error *err)
{
	if (instance->phase == PHASE_PAUSED)
		return 0;
	if (instance->phase != PHASE_RUNNING)
		return error_set(err, "%s is %s (only a running VM can be paused)",
				 instance->spec->name, phase_name(instance->phase));
	instance_event(instance, EVENT_PAUSE);
	return 0;
}

int instance_resume(struct instance *instance, struct error *err)
{
	if (instance->phase == PHASE_RUNNING)
		return 0;
	if (instance->phase != PHASE_PAUSED)
		return error_set(err, "%s is %s (only a paused VM can be resumed)",
				 instance->spec->name, phase_name(instance->phase));
	instance_event(instance, EVENT_RESUME);
	return 0;
}

int instance_exec(struct instance *instance, const struct exec_request *request,
		  const struct exec_callbacks *callbacks, void *data, struct exec **ret,
		  struct error *err)
{
	if (instance->phase != PHASE_RUNNING)
		return error_set(err, "%s is %s (only in a running VM can something be started)",
				 instance->spec->name, phase_name(instance->phase));
	if (!instance->channel || !channel_is_greeted(instance->channel))
		return error_set(err, "%s: its guest does not listen now", instance->spec->name);
	return exec_start(instance->channel, request, callbacks, data, ret, err);
}

void instance_refresh_hosts(struct instance *instance)
{
	const struct instance_context *context = instance->context;
	_cleanup_free_ char *hosts = NULL;

	if (!instance->channel || instance->phase != PHASE_RUNNING)
		return;
	hosts = context->hosts(context->data, instance->spec->tenant);
	channel_hosts(instance->channel, hosts);
}

/* --- looking --------------------------------------------------------------------------------- */

void instance_ask_stats(struct instance *instance)
{
	if (instance->phase == PHASE_RUNNING && instance->channel)
		channel_ask_stats(instance->channel);
}

const struct spec *instance_spec(const struct instance *instance)
{
	return instance->next ? instance->next : instance->spec;
}

uint32_t instance_slot(const struct instance *instance)
{
	return instance->slot;
}

bool instance_holds_volume(const struct instance *instance, const char *id)
{
	return instance->vmm && spec_has_volume(instance->spec, id);
}

bool instance_holds(const struct instance *instance, const struct address *address)
{
	const struct address_list *list = &instance->spec->addresses;

	if (!instance->has_tap)
		return false;
	for (uint32_t i = 0; i < list->count; i++)
		if (address_compare(&list->items[i], address) == 0)
			return true;
	return false;
}
