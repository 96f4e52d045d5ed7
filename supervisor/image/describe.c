/* SPDX-License-Identifier: Apache-2.0 */
/* Images for people: the JSON of `image list` and `image inspect`. What an image says of itself is
 * passed on in bounds, and with nothing in it that could steer a terminal. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "guest-init/protocol.h"
#include "image/catalog.h"
#include "image/notes.h"
#include "image/store.h"

enum { TEXT_MAX = 512 << 10, FACTS_MAX = 64 << 10 };

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static json_t *date(int64_t seconds)
{
	time_t when = (time_t)seconds;
	char text[32] = "";
	struct tm utc;

	if (gmtime_r(&when, &utc))
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	return json_string(text);
}

json_t *catalog_to_json(const struct catalog_image *image)
{
	json_t *object = json_object();

	set(object, "id", json_string(image->id));
	set(object, "references", json_from_strv(&image->references));
	set(object, "digests", json_from_strv(&image->manifests));
	set(object, "size", json_integer((json_int_t)image->size));
	set(object, "created", notes_text(image->created, strlen(image->created)));
	set(object, "pulled", date(image->pulled_s));
	set(object, "used", date(image->used_s));
	set(object, "used_by", json_from_strv(&image->users));
	return object;
}

/* --- entries -----------------------------------------------------------------------------------
 */

static const struct member {
	uint32_t tag;
	const char *key;
	bool is_list;
} members[] = {
	{ NOTE_CREATED, "created", false },
	{ NOTE_PLATFORM, "platform", false },
	{ NOTE_AUTHOR, "author", false },
	{ CONFIG_ENTRYPOINT, "entrypoint", true },
	{ CONFIG_COMMAND, "command", true },
	{ CONFIG_ENVIRONMENT, "environment", true },
	{ CONFIG_USER, "user", false },
	{ CONFIG_WORKING_DIR, "working_dir", false },
	{ CONFIG_STOP_SIGNAL, "stop_signal", false },
	{ CONFIG_VERITY, "verity", false },
	{ NOTE_PORT, "ports", true },
	{ NOTE_VOLUME, "volumes", true },
	{ NOTE_LABEL, "labels", true },
	{ NOTE_HISTORY, "history", true },
};

struct description {
	json_t *object; /* borrowed */
	size_t bytes;	/* of texts so far */
};

static void on_entry(void *data, uint32_t tag, const char *text, size_t length)
{
	struct description *description = data;

	description->bytes += length;
	if (tag == NOTE_CUT || description->bytes > TEXT_MAX) {
		set(description->object, "is_cut", json_true());
		return;
	}
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (members[i].tag != tag)
			continue;
		if (members[i].is_list)
			json_array_append_new(json_object_get(description->object, members[i].key),
					      notes_text(text, length));
		else
			set(description->object, members[i].key, notes_text(text, length));
	}
}

/* --- facts -------------------------------------------------------------------------------------
 */

static json_t *read_facts(const struct store *store, const char *id)
{
	_cleanup_free_ char *path = xasprintf("%s/%s.json", store->squashfs, id);
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	json_t *root = NULL;

	if (fs_read(path, FACTS_MAX, &bytes, NULL) == 0)
		json_parse(strbuf_text(&bytes), bytes.length, path, &root, NULL);
	return root;
}

void catalog_config(const struct store *store, const char *id, char ret[OCI_DIGEST_SIZE])
{
	_cleanup_json_ json_t *facts = read_facts(store, id);
	const char *config = json_string_or(facts, "config", "");

	ret[0] = '\0';
	if (oci_digest_valid(config))
		memcpy(ret, config, OCI_DIGEST_SIZE);
}

void catalog_layers(const struct store *store, const char *id, struct strv *ret)
{
	_cleanup_json_ json_t *facts = read_facts(store, id);
	const json_t *layer;
	size_t i;

	json_array_foreach (json_object_get(facts, "layers"), i, layer) {
		const char *digest = json_string_or(layer, "digest", "");

		if (oci_digest_valid(digest))
			strv_add(ret, digest);
	}
}

json_t *catalog_describe(const struct store *store, const struct catalog_image *image)
{
	_cleanup_free_ char *record = xasprintf("%s/%s.record", store->squashfs, image->id);
	_cleanup_free_ char *notes = xasprintf("%s/%s.notes", store->squashfs, image->id);
	_cleanup_json_ json_t *facts = read_facts(store, image->id);
	struct description description = { .object = catalog_to_json(image) };
	json_t *value;
	const char *key;

	json_object_foreach (facts, key, value)
		json_object_set(description.object, key, value);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (members[i].is_list)
			set(description.object, members[i].key, json_array());
	notes_read(record, on_entry, &description, NULL);
	notes_read(notes, on_entry, &description, NULL);
	return description.object;
}
