/* SPDX-License-Identifier: Apache-2.0 */
/* What instances and the image store ask of all the others: who holds an address or a volume, whom
 * to wait for, who is called what, which images are needed. */
#include "instance/roster_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "model/volume.h"

static bool holds_volume(const struct instance *other, const struct spec *spec)
{
	bool holds = false;

	STRV_EACH (line, &spec->volumes) {
		struct spec_volume volume;
		char *id;

		if (holds || spec_volume_parse(line, &volume, NULL) < 0)
			continue;
		id = spec_volume_id(spec, &volume);
		holds = instance_holds_volume(other, id);
		free(id);
		spec_volume_reset(&volume);
	}
	return holds;
}

const char *roster_volume_user(const struct roster *roster, const char *id)
{
	for (size_t i = 0; i < roster->count; i++)
		if (instance_holds_volume(roster->instances[i], id) ||
		    spec_has_volume(instance_spec(roster->instances[i]), id))
			return instance_spec(roster->instances[i])->name;
	for (size_t i = 0; roster->fleet && i < roster->fleet->spec_count; i++)
		if (spec_has_volume(roster->fleet->specs[i], id))
			return roster->fleet->specs[i]->name;
	return NULL;
}

const char *roster_tell_holder(void *data, const struct instance *asking, const struct spec *spec,
			       const char **ret_what)
{
	const struct address_list *addresses = &spec->addresses;
	const struct roster *roster = data;

	for (size_t i = 0; i < roster->count; i++) {
		const struct instance *other = roster->instances[i];

		if (other == asking)
			continue;
		*ret_what = "address";
		for (uint32_t j = 0; j < addresses->count; j++)
			if (instance_holds(other, &addresses->items[j]))
				return instance_spec(other)->name;
		*ret_what = "volume";
		if (holds_volume(other, spec))
			return instance_spec(other)->name;
	}
	return NULL;
}

/* --- whom an instance waits for -------------------------------------------------------------- */

static enum instance_wait judge_wait(const struct instance *instance, bool for_health,
				     char text[64])
{
	struct instance_status status;

	if (!instance) {
		snprintf(text, 64, "is not there yet");
		return WAIT_ON_WAY;
	}
	instance_observe(instance, &status);
	snprintf(text, 64, "is %s%s%s", phase_name(status.phase),
		 status.health == HEALTH_NONE ? "" : ", ", health_name(status.health));
	switch (status.phase) {
	case PHASE_RUNNING:
		if (!for_health || status.health == HEALTH_HEALTHY)
			return WAIT_NOT;
		return status.health == HEALTH_UNHEALTHY ? WAIT_STUCK : WAIT_ON_WAY;
	case PHASE_STOPPED:
		return for_health ? WAIT_STUCK : WAIT_NOT;
	case PHASE_PREPARING:
		return instance_is_stuck(instance) ? WAIT_STUCK : WAIT_ON_WAY;
	case PHASE_PAUSED:
	case PHASE_BACKOFF:
	case PHASE_FAILED:
		return WAIT_STUCK;
	case PHASE_ABSENT:
	case PHASE_FETCHING:
	case PHASE_BOOTING:
	case PHASE_STOPPING:
	case PHASE_COUNT:
		break;
	}
	return WAIT_ON_WAY;
}

/* All replicas, as the fleet has them: they may not have been created yet. */
static enum instance_wait wait_for_vm(const struct roster *roster, const char *tenant,
				      const char *vm, const char *condition, char text[256])
{
	const struct fleet *fleet = roster->fleet;
	size_t low = 0, high = fleet->spec_count;
	const struct spec first = { .tenant = (char *)tenant, .vm = (char *)vm };
	enum instance_wait most = WAIT_NOT;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spec_order(fleet->specs[middle], &first) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < fleet->spec_count; low++) {
		const struct spec *spec = fleet->specs[low];
		enum instance_wait wait;
		char state[64];

		if (strcmp(spec->tenant, tenant) != 0 || strcmp(spec->vm, vm) != 0)
			break;
		wait = judge_wait(roster_find_spec(roster, spec), strcmp(condition, "healthy") == 0,
				  state);
		if (wait > most) {
			snprintf(text, 256, "waits until %s is %s: it %s", spec->name, condition,
				 state);
			most = wait;
		}
	}
	return most;
}

/* The worst of all is said. */
enum instance_wait roster_tell_wait(void *data, const struct spec *spec, char text[256])
{
	const struct roster *roster = data;
	enum instance_wait most = WAIT_NOT;

	STRV_EACH (line, &spec->depends_on) {
		const char *condition = strchr(line, '=');
		_cleanup_free_ char *vm = NULL;
		enum instance_wait wait;
		char words[256];

		if (!condition || !roster->fleet)
			continue;
		vm = xstrndup(line, (size_t)(condition - line));
		wait = wait_for_vm(roster, spec->tenant, vm, condition + 1, words);
		if (wait > most) {
			memcpy(text, words, sizeof(words));
			most = wait;
		}
	}
	return most;
}

/* What runs and what is to run; what of the fleet waits for a slot is no instance yet. */
void roster_tell_users(void *data, image_user_fn *tell, void *tell_data)
{
	const struct roster *roster = data;

	for (size_t i = 0; i < roster->count; i++) {
		const struct spec *spec = instance_spec(roster->instances[i]);

		tell(tell_data, spec->name, instance_image_id(roster->instances[i]), spec->image);
	}
	for (size_t i = 0; roster->fleet && i < roster->fleet->spec_count; i++)
		tell(tell_data, roster->fleet->specs[i]->name, NULL,
		     roster->fleet->specs[i]->image);
}

char *roster_tell_hosts(void *data, const char *tenant)
{
	const struct roster *roster = data;
	struct strbuf lines = { 0 };
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < roster->count; i++) {
		const struct spec *spec = instance_spec(roster->instances[i]);

		if (strcmp(spec->tenant, tenant) != 0)
			continue;
		for (uint32_t j = 0; j < spec->addresses.count; j++)
			strbuf_printf(&lines, "%s %s\n",
				      address_format(&spec->addresses.items[j], text),
				      spec->hostname);
	}
	return strbuf_take(&lines);
}
