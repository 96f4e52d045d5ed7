/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A roster whose instances a test sets by hand; a test program includes it, and the linker then
 * takes none of the real one.
 */
#include "instance/roster.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strv.h"

struct roster {
	struct instance_status instances[2000];
	size_t count;
	bool is_settled, has_fleet;
	char *log_path; /* of every instance */
	struct image_store *images;
	struct channel *channel; /* of every instance; NULL: none */
	char told[64];		 /* "restart acme/web": what it was told to do last */
	const char *mute;	 /* the guest that does not tell its stats */
};

static const struct instance_status *fake_find(const struct roster *roster, const char *name)
{
	for (size_t i = 0; i < roster->count; i++)
		if (strcmp(roster->instances[i].spec->name, name) == 0)
			return &roster->instances[i];
	return NULL;
}

static int fake_check(const struct roster *roster, const char *name, struct error *err)
{
	return fake_find(roster, name) ? 0 : error_set(err, "there is no instance '%s'", name);
}

void roster_observe(const struct roster *roster, struct fleet_status *ret)
{
	ret->count = roster->count;
	ret->instances = xmemdup(roster->instances, roster->count * sizeof(*ret->instances));
}

static int fake_tell(struct roster *roster, const char *verb, const char *name, struct error *err)
{
	if (fake_check(roster, name, err) < 0)
		return -1;
	snprintf(roster->told, sizeof(roster->told), "%s %s", verb, name);
	return 0;
}

int roster_restart(struct roster *roster, const char *name, struct error *err)
{
	return fake_tell(roster, "restart", name, err);
}

int roster_exec(struct roster *roster, const char *name, const struct exec_request *request,
		const struct exec_callbacks *callbacks, void *data, struct exec **ret,
		struct error *err)
{
	return roster->channel && fake_check(roster, name, err) == 0
		       ? exec_start(roster->channel, request, callbacks, data, ret, err)
		       : -1;
}

int roster_pause(struct roster *roster, const char *name, struct error *err)
{
	return fake_tell(roster, "pause", name, err);
}

int roster_resume(struct roster *roster, const char *name, struct error *err)
{
	return fake_tell(roster, "resume", name, err);
}

void roster_ask_stats(struct roster *roster, const char *name)
{
	for (size_t i = 0; i < roster->count; i++)
		if (strcmp(roster->instances[i].spec->name, name) == 0 &&
		    (!roster->mute || strcmp(roster->mute, name) != 0))
			roster->instances[i].stats = (struct guest_stats){
				.heard_ms = loop_now_ms(), .tasks = 7, .pressure_io = STATS_MISSING
			};
}

int roster_log_path(const struct roster *roster, const char *name, char **ret, struct error *err)
{
	if (fake_check(roster, name, err) < 0)
		return -1;
	*ret = xstrdup(roster->log_path);
	return 0;
}

int roster_guard(const struct roster *roster, const char *name, struct net_view *ret,
		 struct error *err)
{
	static const struct net_event drop = { .kind = NET_EVENT_DROP,
					       .time_ms = 1700000000000,
					       .message = "",
					       .reason = "source-mac",
					       .frame_bytes = 60,
					       .head_bytes = 3,
					       .head = { 0x02, 0x53, 0xff } };

	if (fake_check(roster, name, err) < 0)
		return -1;
	*ret = (struct net_view){
		.counters = { .items = { { "accept", 41, false, 3 }, { "source-mac", 7, true, 0 } },
			      .count = 2,
			      .accepted_bytes = 4242,
			      .delivered_bytes = 17,
			      .shielded = 9,
			      .attachment = "tcx" },
		.mac = { 6, 1, 2, 3, 4, 0xff },
		.tenant_id = 9,
		.has_shield = true,
		.mtu = 1500,
		.rate_bits = 100000000,
		.events = { &drop },
		.event_count = 1,
	};
	address_parse("10.20.0.10", &ret->addresses.items[0]);
	ret->addresses.count = 1;
	return 0;
}

int roster_policy(const struct roster *roster, const char *name, struct net_policy *ret,
		  struct error *err)
{
	if (fake_check(roster, name, err) < 0)
		return -1;
	*ret = (struct net_policy){ 0 };
	strv_add(&ret->egress, "counter drop");
	strv_add(&ret->ports, "8080:80/tcp");
	return 0;
}

struct image_store *roster_images(const struct roster *roster)
{
	return roster->images;
}

bool roster_has_fleet(const struct roster *roster)
{
	return roster->has_fleet;
}

/* One volume is in use. */
const char *roster_volume_user(const struct roster *roster, const char *id)
{
	(void)roster;
	return strcmp(id, "acme/used") ? NULL : "acme/web";
}

bool roster_is_settled(const struct roster *roster)
{
	return roster->is_settled;
}
