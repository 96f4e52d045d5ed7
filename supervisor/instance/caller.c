/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Over vsock any process of a guest can connect where stoker-init does. While the channel has not
 * proved itself by its hello, further connections wait here, for the first that has the VM's key to
 * become the channel. Called by instance.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "instance/internal.h"

enum { CALLERS_MAX = 8 };

struct caller {
	struct instance *instance; /* borrowed */
	struct channel *channel;   /* owned */
	struct caller *next;	   /* that came before it */
};

static struct channel *forget(struct caller *caller)
{
	struct caller **at = &caller->instance->callers;
	struct channel *channel = caller->channel;

	while (*at != caller)
		at = &(*at)->next;
	*at = caller->next;
	free(caller);
	return channel;
}

static void on_hello(void *data, const struct channel_hello *hello)
{
	struct caller *caller = data;
	struct instance *instance = caller->instance;
	struct channel *before = instance->channel;

	instance->channel = forget(caller);
	channel_hand_over(instance->channel, &instance_channel_callbacks, instance, before);
	instance_channel_callbacks.hello(instance, hello);
}

/* What comes before a hello is no callback's. */
static void on_log(void *data, enum channel_stream stream, const void *bytes, size_t length)
{
	(void)data;
	(void)stream;
	(void)bytes;
	(void)length;
}

static void on_exited(void *data, const struct channel_exit *report)
{
	(void)data;
	(void)report;
}

static void on_lost(void *data, const struct error *why)
{
	struct caller *caller = data;
	struct instance *instance = caller->instance;

	if (!instance->has_warned)
		log_warning("%s: a process of the guest's called in its place: %s",
			    instance->spec->name, why->text);
	instance->has_warned = true;
	channel_free(forget(caller));
}

static const struct channel_callbacks callbacks = {
	.hello = on_hello,
	.log = on_log,
	.exited = on_exited,
	.lost = on_lost,
};

void instance_add_caller(struct instance *instance, int fd)
{
	struct caller *caller = xcalloc(1, sizeof(*caller)), *oldest = instance->callers;
	size_t count = 0;

	for (struct caller *at = instance->callers; at; at = at->next, count++)
		oldest = at;
	if (count == CALLERS_MAX)
		channel_free(forget(oldest));
	caller->instance = instance;
	caller->channel = channel_new(instance->context->loop, fd, &instance->peer, &callbacks,
				      caller);
	caller->next = instance->callers;
	instance->callers = caller;
}

bool instance_take_caller(struct instance *instance)
{
	if (!instance->callers)
		return false;
	instance->channel = forget(instance->callers);
	channel_hand_over(instance->channel, &instance_channel_callbacks, instance, NULL);
	return true;
}

void instance_drop_callers(struct instance *instance)
{
	while (instance->callers)
		channel_free(forget(instance->callers));
}
