/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances, a network and an image store that a test of the roster sets by hand and counts;
 * test_roster includes it, and the linker then takes none of the real ones.
 */
#include "instance/instance.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "instance/boot.h"
#include "model/volume.h"

struct instance {
	const struct instance_context *context;
	struct spec *spec;
	uint32_t slot;
	struct watch *stop;
	enum phase phase;
	enum health health;
	bool is_stuck;
	unsigned wakes;
};

static struct instance *made[16]; /* by slot */

static unsigned living, adoptions, replacements, restarts;
static bool is_adoption_clean;

struct instance *instance_new(const struct instance_context *context, const struct spec *spec,
			      uint32_t slot)
{
	struct instance *instance = xcalloc(1, sizeof(*instance));

	instance->context = context;
	instance->spec = spec_copy(spec);
	instance->slot = slot;
	if (slot < 16)
		made[slot] = instance;
	living++;
	return instance;
}

int instance_adopt(const struct instance_context *context, uint32_t slot, struct instance **ret,
		   struct error *err)
{
	char *run_dir = xasprintf("%s/vm/%u", context->settings->run_dir, (unsigned)slot);

	(void)ret;
	adoptions++;
	if (is_adoption_clean)
		assert_int_equal(rmdir(run_dir), 0);
	free(run_dir);
	return error_set(err, "nothing to adopt");
}

struct instance *instance_free(struct instance *instance)
{
	if (!instance)
		return NULL;
	watch_free(instance->stop);
	spec_free(instance->spec);
	free(instance);
	living--;
	return NULL;
}

static void on_stopped(struct watch *watch, unsigned events, void *data)
{
	struct instance *instance = data;

	(void)events;
	instance->stop = watch_free(watch);
	instance->context->released(instance->context->data, instance);
}

/* A VM takes a while to stop. */
void instance_remove(struct instance *instance)
{
	instance->stop = loop_timer(instance->context->loop, 20, on_stopped, instance);
}

static bool is_refused(const struct instance *instance)
{
	return instance->context->refusal(instance->context->data);
}

void instance_start(struct instance *instance)
{
	instance->phase = is_refused(instance) ? PHASE_FAILED : PHASE_RUNNING;
}

void instance_retry(struct instance *instance)
{
	assert_false(is_refused(instance));
	instance_start(instance);
}

void instance_replace(struct instance *instance, const struct spec *spec)
{
	(void)instance;
	(void)spec;
	replacements++;
}

void instance_update(struct instance *instance, const struct spec *spec)
{
	(void)instance;
	(void)spec;
}

void instance_keep(struct instance *instance)
{
	(void)instance;
}

void instance_restart(struct instance *instance)
{
	(void)instance;
	restarts++;
}

int instance_pause(struct instance *instance, struct error *err)
{
	(void)instance;
	return error_set(err, "not here");
}

int instance_resume(struct instance *instance, struct error *err)
{
	return instance_pause(instance, err);
}

void instance_ask_stats(struct instance *instance)
{
	(void)instance;
}

void instance_wake(struct instance *instance)
{
	instance->wakes++;
}

bool instance_is_stuck(const struct instance *instance)
{
	return instance->is_stuck;
}

void instance_refresh_hosts(struct instance *instance)
{
	(void)instance;
}

void instance_observe(const struct instance *instance, struct instance_status *ret)
{
	*ret = (struct instance_status){
		.spec = instance->spec,
		.slot = instance->slot,
		.phase = instance->phase,
		.vmm = "",
		.health = instance->health,
	};
}

const struct spec *instance_spec(const struct instance *instance)
{
	return instance->spec;
}

const char *instance_image_id(const struct instance *instance)
{
	(void)instance;
	return NULL;
}

uint32_t instance_slot(const struct instance *instance)
{
	return instance->slot;
}

int instance_exec(struct instance *instance, const struct exec_request *request,
		  const struct exec_callbacks *callbacks, void *data, struct exec **ret,
		  struct error *err)
{
	(void)instance;
	(void)request;
	(void)callbacks;
	(void)data;
	(void)ret;
	return error_set(err, "no guest");
}

bool instance_holds_volume(const struct instance *instance, const char *id)
{
	return instance->phase == PHASE_RUNNING && spec_has_volume(instance->spec, id);
}

bool instance_holds(const struct instance *instance, const struct address *address)
{
	(void)instance;
	(void)address;
	return false;
}

int net_open(const struct settings *settings, struct net **ret, struct error *err)
{
	(void)settings;
	(void)err;
	*ret = NULL;
	return 0;
}

struct net *net_close(struct net *net)
{
	return net;
}

int net_remove(struct net *net, struct error *err)
{
	(void)net;
	(void)err;
	return 0;
}

int net_sweep(struct net *net, const struct strv *keep, struct error *err)
{
	(void)net;
	(void)keep;
	(void)err;
	return 0;
}

int net_commit(struct net *net, struct error *err)
{
	(void)net;
	(void)err;
	return 0;
}

int net_policy_read(struct net *net, uint32_t slot, struct net_policy *ret, struct error *err)
{
	(void)net;
	(void)slot;
	(void)ret;
	return error_set(err, "no policy here");
}

static net_event_fn *net_told;
static void *net_told_data;

int net_watch(struct net *net, struct loop *loop, net_event_fn *told, void *data, struct error *err)
{
	(void)net;
	(void)loop;
	(void)err;
	net_told = told;
	net_told_data = data;
	return 0;
}

int net_view_read(struct net *net, uint32_t slot, struct net_view *ret, struct error *err)
{
	(void)net;
	(void)slot;
	(void)ret;
	return error_set(err, "it has no tap now");
}

static const struct instance *unguarded;

const char *net_event_name(enum net_event_kind kind)
{
	return kind == NET_EVENT_LOST ? "lost" : "drop";
}

void instance_unguarded(struct instance *instance, const char *why)
{
	assert_string_equal(why, "the tap is gone");
	unguarded = instance;
}

int image_store_open(struct loop *loop, const struct settings *settings, struct image_store **ret,
		     struct error *err)
{
	(void)loop;
	(void)settings;
	(void)err;
	*ret = NULL;
	return 0;
}

struct image_store *image_store_close(struct image_store *store)
{
	return store;
}

void image_store_set_users(struct image_store *store, image_users_fn *fn, void *data)
{
	(void)store;
	(void)fn;
	(void)data;
}
