/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One VM: its spec, its phase, and what it holds. The roster creates instances and tells them what
 * should be; everything else reaches an instance as an event (transition.h).
 */
#ifndef STOKER_INSTANCE_INSTANCE_H
#define STOKER_INSTANCE_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "forward/forward.h"
#include "guest/exec.h"
#include "image/image.h"
#include "instance/boot.h"
#include "loop/loop.h"
#include "model/settings.h"
#include "model/spec.h"
#include "model/status.h"
#include "net/net.h"

struct instance;

enum instance_wait {
	WAIT_NOT,
	WAIT_ON_WAY, /* it will hardly be long */
	WAIT_STUCK,  /* for one that has failed, is unhealthy, or does not start again by itself */
};

/* What all instances share, and what they ask of the roster. Borrowed by every instance. */
struct instance_context {
	struct loop *loop;
	const struct settings *settings;
	struct net *net;
	struct image_store *images;
	const struct cgroup *cgroup; /* where VMs get their limits of the host */
	struct boot *boot;
	struct forward *forward; /* of lines of their logs; NULL: nowhere */
	/* The phase or its reason changed. */
	void (*changed)(void *data, struct instance *instance);
	/* It holds nothing any more and may be freed, after the current callback. */
	void (*released)(void *data, struct instance *instance);
	/* The name of another instance that still has an address of the spec's on its tap, or a
	 * volume of it in use, and which of both; or NULL. */
	const char *(*holder)(void *data, const struct instance *asking, const struct spec *spec,
			      const char **ret_what);
	/* Whom the spec's VM waits for before it boots, and in words into `text`. */
	enum instance_wait (*wait)(void *data, const struct spec *spec, char text[256]);
	/* Why no VM may be started on this host now; NULL: it may. */
	const char *(*refusal)(void *data);
	/* Lines for /etc/hosts of this tenant's VMs; the caller frees them. */
	char *(*hosts)(void *data, const char *tenant);
	void *data;
};

/* In PHASE_ABSENT. `spec` is copied. The slot is the caller's choice, unique on the host. */
struct instance *instance_new(const struct instance_context *context, const struct spec *spec,
			      uint32_t slot);

/* Takes over what runs in the slot, as its record says, in PHASE_BOOTING (the guest's hello makes
 * it running) or PHASE_PAUSED. Nothing that can be taken over: -1, and everything that the slot
 * held is freed. */
int instance_adopt(const struct instance_context *context, uint32_t slot, struct instance **ret,
		   struct error *err);

/* Lets go; a running VM goes on. NULL is fine; returns NULL. */
struct instance *instance_free(struct instance *instance);

void instance_start(struct instance *instance);
void instance_replace(struct instance *instance, const struct spec *spec); /* stop, start as spec */
void instance_update(struct instance *instance, const struct spec *spec);  /* live fields only */
void instance_keep(struct instance *instance);	/* takes a pending removal back */
void instance_retry(struct instance *instance); /* starts what an unfit host kept from starting */
void instance_remove(struct instance *instance);
void instance_wake(struct instance *instance); /* asks again what it waits for before it boots */
void instance_restart(struct instance *instance);

/* Its processors only; what is paused or runs already stays so. -1 in any other phase. */
int instance_pause(struct instance *instance, struct error *err);
int instance_resume(struct instance *instance, struct error *err);

/* So that its status tells soon how the guest is doing; nothing, where nobody can answer. */
void instance_ask_stats(struct instance *instance);

/* Nothing guards its tap: a VM that runs is killed, and goes on as its restart policy says. */
void instance_unguarded(struct instance *instance, const char *why);

/* A session in its guest. -1 when it does not run, or nobody listens there now. */
int instance_exec(struct instance *instance, const struct exec_request *request,
		  const struct exec_callbacks *callbacks, void *data, struct exec **ret,
		  struct error *err);

void instance_refresh_hosts(struct instance *instance);

void instance_observe(const struct instance *instance, struct instance_status *ret);

const struct spec *instance_spec(const struct instance *instance); /* what it is to be */
const char *instance_image_id(const struct instance *instance);	   /* what it has; NULL: none */
uint32_t instance_slot(const struct instance *instance);

/* Whether it waits for others, who are not on their way. */
bool instance_is_stuck(const struct instance *instance);

/* While its VMM runs; `id` as in model/volume.h. */
bool instance_holds_volume(const struct instance *instance, const char *id);

/* True while its tap carries this address. */
bool instance_holds(const struct instance *instance, const struct address *address);

#endif
