/* SPDX-License-Identifier: Apache-2.0 */
/* The commands about volumes: list, prune. What they may remove, the roster says. */
#include "base/log.h"
#include "control/client.h"
#include "disk/volume.h"

static json_t *to_json(const struct roster *roster, const struct volume *volume)
{
	const char *user = roster_volume_user(roster, volume->id);

	return json_pack("{s:s, s:I, s:I, s:s}", "volume", volume->id, "size",
			 (json_int_t)volume->size_bytes, "used", (json_int_t)volume->used_bytes,
			 "used_by", user ? user : "");
}

int volume_list_start(struct client *client, struct error *err)
{
	struct volume_list list = { 0 };

	if (volume_list(client->control->settings->state_dir, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < list.count; i++)
		client_send(client, "volume", to_json(client->control->roster, &list.items[i]));
	volume_list_reset(&list);
	return 0;
}

static int prune_all(struct client *client, const struct volume_list *list, struct error *err)
{
	const struct roster *roster = client->control->roster;
	const char *state_dir = client->control->settings->state_dir;

	for (size_t i = 0; i < list->count; i++) {
		const struct volume *volume = &list->items[i];

		if (roster_volume_user(roster, volume->id))
			continue;
		if (!client->job.request.is_dry_run) {
			if (volume_remove(state_dir, volume->id, err) < 0)
				return -1;
			log_info("volume %s removed, as asked for: no VM has it", volume->id);
		}
		client_send(client, "pruned", to_json(roster, volume));
	}
	return 0;
}

int volume_prune_start(struct client *client, struct error *err)
{
	struct volume_list list = { 0 };
	int result;

	/* Without the manifests, nobody can tell what is wanted. */
	if (!roster_has_fleet(client->control->roster))
		return error_set(err, "no manifests are loaded (`stokerctl check` says why)");
	if (volume_list(client->control->settings->state_dir, &list, err) < 0)
		return -1;
	result = prune_all(client, &list, err);
	volume_list_reset(&list);
	return result;
}
