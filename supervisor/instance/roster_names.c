/* SPDX-License-Identifier: Apache-2.0 */
/* What operators want of one instance, by its name. */
#include "instance/roster_internal.h"

#include "instance/logfile.h"

static struct instance *find_or_say(const struct roster *roster, const char *name,
				    struct error *err)
{
	struct instance *instance = roster_find(roster, name);

	if (!instance)
		error_set(err, "no VM is named '%s' (see stokerctl status)", name);
	return instance;
}

int roster_restart(struct roster *roster, const char *name, struct error *err)
{
	struct instance *instance = find_or_say(roster, name, err);

	if (!instance)
		return -1;
	if (roster->refusal)
		return error_set(err, "%s: not restarted: %s", name, roster->refusal);
	instance_restart(instance);
	return 0;
}

int roster_exec(struct roster *roster, const char *name, const struct exec_request *request,
		const struct exec_callbacks *callbacks, void *data, struct exec **ret,
		struct error *err)
{
	struct instance *instance = find_or_say(roster, name, err);

	return instance ? instance_exec(instance, request, callbacks, data, ret, err) : -1;
}

int roster_pause(struct roster *roster, const char *name, struct error *err)
{
	struct instance *instance = find_or_say(roster, name, err);

	return instance ? instance_pause(instance, err) : -1;
}

int roster_resume(struct roster *roster, const char *name, struct error *err)
{
	struct instance *instance = find_or_say(roster, name, err);

	return instance ? instance_resume(instance, err) : -1;
}

void roster_ask_stats(struct roster *roster, const char *name)
{
	struct instance *instance = roster_find(roster, name);

	if (instance)
		instance_ask_stats(instance);
}

int roster_log_path(const struct roster *roster, const char *name, char **ret, struct error *err)
{
	if (!find_or_say(roster, name, err))
		return -1;
	*ret = logfile_path(roster->settings, name);
	return 0;
}

int roster_guard(const struct roster *roster, const char *name, struct net_view *ret,
		 struct error *err)
{
	const struct instance *instance = find_or_say(roster, name, err);

	if (!instance)
		return -1;
	if (net_view_read(roster->net, instance_slot(instance), ret, err) < 0)
		return error_wrap(err, "%s", name);
	return 0;
}

int roster_policy(const struct roster *roster, const char *name, struct net_policy *ret,
		  struct error *err)
{
	const struct instance *instance = find_or_say(roster, name, err);

	if (!instance)
		return -1;
	return net_policy_read(roster->net, instance_slot(instance), ret, err);
}
