/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a roster, shared by roster.c, which changes it, roster_answers.c, which answers its
 * instances, and roster_names.c, which answers operators. */
#ifndef STOKER_INSTANCE_ROSTER_INTERNAL_H
#define STOKER_INSTANCE_ROSTER_INTERNAL_H

#include "instance/instance.h"
#include "instance/roster.h"

struct roster {
	struct loop *loop; /* borrowed, as is the next */
	const struct settings *settings;
	roster_fn *changed;
	void *data;
	struct net *net; /* owned, as is all below */
	struct image_store *images;
	struct cgroup *cgroup;
	struct boot *boot;
	struct forward *forward;
	struct instance_context context;
	struct instance **instances; /* sorted by spec_order */
	size_t count;
	uint8_t *slots;		    /* slot -> in use */
	const struct fleet *fleet;  /* borrowed; the one that was applied last */
	char *refusal;		    /* why no VM may start; NULL: it may */
	bool lacks_slots;	    /* some of its VMs wait until one is free */
	struct instance **released; /* to be freed once control is back in the loop */
	size_t released_count;
	struct watch *sweeper;
	struct watch *waker;	     /* somebody has changed whom others may wait for */
	roster_guard_fn *guard_told; /* NULL: nobody watches */
	void *guard_data;
};

/* NULL: there is none. */
struct instance *roster_find(const struct roster *roster, const char *name);
struct instance *roster_find_spec(const struct roster *roster, const struct spec *spec);

/* Of struct instance_context; `data` is the roster. */
const char *roster_tell_holder(void *data, const struct instance *asking, const struct spec *spec,
			       const char **ret_what);
enum instance_wait roster_tell_wait(void *data, const struct spec *spec, char text[256]);
char *roster_tell_hosts(void *data, const char *tenant);

/* Of struct image_store's users; likewise. */
void roster_tell_users(void *data, image_user_fn *tell, void *tell_data);

#endif
