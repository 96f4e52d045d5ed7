/* SPDX-License-Identifier: Apache-2.0 */
/* Asked by server.c before a client or a request is taken, and by commands.c for each instance. A
 * reload counts at once, as the fleet that holds is asked each time. */
#include "control/access.h"

#include <string.h>

#include "model/fleet.h"

#define READERS "stoker"

enum { ROOT_ONLY, READING, OF_TENANT, OF_ANYBODY };

static const int needed[COMMAND_COUNT] = {
	[COMMAND_STATUS] = OF_ANYBODY, /* of what it sees */
	[COMMAND_STATS] = OF_ANYBODY,	    [COMMAND_PLAN] = READING,
	[COMMAND_RELOAD] = ROOT_ONLY,	    [COMMAND_LOGS] = OF_TENANT,
	[COMMAND_GUARD] = OF_TENANT,	    [COMMAND_EXEC] = OF_TENANT,
	[COMMAND_RESTART] = ROOT_ONLY,	    [COMMAND_PAUSE] = ROOT_ONLY,
	[COMMAND_RESUME] = ROOT_ONLY,	    [COMMAND_EVENTS] = READING,
	[COMMAND_VERSION] = OF_ANYBODY,	    [COMMAND_IMAGE_LIST] = READING,
	[COMMAND_IMAGE_INSPECT] = READING,  [COMMAND_IMAGE_PULL] = ROOT_ONLY,
	[COMMAND_IMAGE_PRUNE] = ROOT_ONLY,  [COMMAND_VOLUME_LIST] = READING,
	[COMMAND_VOLUME_PRUNE] = ROOT_ONLY,
};

static bool operates(const struct peer *peer, const struct tenant *tenant)
{
	STRV_EACH (group, &tenant->operators)
		if (peer_is_in(peer, group))
			return true;
	return false;
}

int access_admit(const struct control *control, const struct peer *peer, struct error *err)
{
	const struct fleet *fleet;

	if (peer->uid == 0 || peer_is_in(peer, READERS))
		return 0;
	fleet = control->handlers->fleet(control->data);
	for (size_t i = 0; fleet && i < fleet->tenant_count; i++)
		if (operates(peer, &fleet->tenants[i]))
			return 0;
	return error_set(err,
			 "user %u may not use stokerd (root may, the group '" READERS "' may look, "
			 "the operators of a tenant may see to that tenant)",
			 (unsigned)peer->uid);
}

static bool operates_named(const struct client *client, const char *name, size_t length)
{
	const struct control *control = client->control;
	const struct fleet *fleet = control->handlers->fleet(control->data);

	for (size_t i = 0; fleet && i < fleet->tenant_count; i++)
		if (strlen(fleet->tenants[i].name) == length &&
		    memcmp(fleet->tenants[i].name, name, length) == 0)
			return operates(&client->peer, &fleet->tenants[i]);
	return false;
}

bool access_sees(const struct client *client, const char *tenant)
{
	return client->peer.uid == 0 || peer_is_in(&client->peer, READERS) ||
	       operates_named(client, tenant, strlen(tenant));
}

int access_check(const struct client *client, const struct request *request, struct error *err)
{
	const struct peer *peer = &client->peer;
	const char *name = request->name;
	int need = needed[request->command];

	if (peer->uid == 0 || (need == OF_ANYBODY && !*name))
		return 0;
	/* Reading includes logs, and starting something is no reading. */
	if (need != ROOT_ONLY && request->command != COMMAND_EXEC && peer_is_in(peer, READERS))
		return 0;
	if ((need == OF_TENANT || need == OF_ANYBODY) &&
	    operates_named(client, name, strcspn(name, "/")))
		return 0;
	return error_set(err, "user %u may not ask for '%s'%s%s (see stokerctl(8), ACCESS)",
			 (unsigned)peer->uid, protocol_command_name(request->command),
			 *name ? " of " : "", name);
}
