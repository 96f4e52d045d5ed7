/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker-archive: what `docker save` and `podman save` write ("Combined Image JSON + Filesystem
 * Changeset Format" of Docker's image specification v1.2): manifest.json names the configuration
 * and the layers by file, without digests. A layer that is not compressed must have the digest that
 * the configuration gives as its diffID; one that is compressed gets the digest that it has.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "image/archive.h"
#include "image/blob.h"
#include "image/sha256.h"

struct docker_archive {
	struct archive_member *layers; /* owned */
	size_t count;
};

static int docker_archive_open(struct fetch *fetch, struct error *err)
{
	fetch->state = xcalloc(1, sizeof(struct docker_archive));
	return archive_check(fetch, err);
}

static void docker_archive_close(struct fetch *fetch)
{
	struct docker_archive *state = fetch->state;

	for (size_t i = 0; i < state->count; i++)
		archive_member_reset(&state->layers[i]);
	free(state->layers);
	free(state);
}

/* Does one of the entry's names mean the same as the one asked for? */
static bool has_name(const json_t *entry, const char *wanted)
{
	const json_t *tags = json_object_get(entry, "RepoTags");

	for (size_t i = 0; i < json_array_size(tags); i++) {
		const char *tag = json_string_value(json_array_get(tags, i));
		struct reference reference;
		char *name;
		bool equal;

		if (!tag || reference_parse(tag, &reference, NULL) < 0)
			continue;
		name = reference_format(&reference);
		equal = strcmp(name, wanted) == 0;
		free(name);
		reference_reset(&reference);
		if (equal)
			return true;
	}
	return false;
}

static const json_t *choose_entry(const struct fetch *fetch, const json_t *root, struct error *err)
{
	const char *wanted = fetch->reference.tag;
	size_t count = json_array_size(root);

	if (!json_is_array(root) || count == 0) {
		error_set(err, "not a list with entries");
		return NULL;
	}
	for (size_t i = 0; wanted && i < count; i++)
		if (has_name(json_array_get(root, i), wanted))
			return json_array_get(root, i);
	if (!wanted && count == 1)
		return json_array_get(root, 0);
	if (wanted)
		error_set(err, "no image named '%s'", wanted);
	else
		error_set(err, "%zu images (append :NAME:TAG to name one)", count);
	return NULL;
}

static int parse_entry(const json_t *entry, struct docker_archive *state, const char **ret_config,
		       struct error *err)
{
	const json_t *layers = json_object_get(entry, "Layers");
	size_t count = json_array_size(layers);

	if (json_get_string(entry, "Config", ret_config, err) < 0)
		return -1;
	if (!json_is_array(layers) || count == 0)
		return error_set(err, "'Layers' is not a list with entries");
	if (count > REPORT_LAYERS_MAX)
		return error_set(err, "%zu layers, more than %d", count, REPORT_LAYERS_MAX);
	state->layers = xcalloc(count, sizeof(*state->layers));
	state->count = count;
	for (size_t i = 0; i < count; i++) {
		const char *name = json_string_value(json_array_get(layers, i));

		if (!name)
			return error_set(err, "'Layers' holds something else than strings");
		state->layers[i].name = xstrdup(name);
		state->layers[i].is_tar_left = true;
	}
	return 0;
}

static int copy_config(struct fetch *fetch, const char *name, struct oci_descriptor *ret,
		       struct error *err)
{
	_cleanup_strbuf_ struct strbuf config = { 0 };

	if (archive_read_member(fetch, name, OCI_CONFIG_MAX, &config, err) < 0)
		return -1;
	sha256_digest(strbuf_text(&config), config.length, ret->digest);
	ret->size = config.length;
	return blob_store(fetch->cache, ret, config.data, config.length, err);
}

static int find_layers(struct fetch *fetch, const struct oci_descriptor *config, struct error *err)
{
	struct docker_archive *state = fetch->state;
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	_cleanup_free_ char(*diff_ids)[OCI_DIGEST_SIZE] = xcalloc(state->count, sizeof(*diff_ids));

	if (blob_read(fetch->cache, config, OCI_CONFIG_MAX, &bytes, err) < 0 ||
	    oci_config_check(strbuf_text(&bytes), bytes.length, state->count, &fetch->platform,
			     diff_ids, err) < 0 ||
	    archive_copy_members(fetch, state->layers, state->count, err) < 0)
		return -1;
	for (size_t i = 0; i < state->count; i++)
		if (state->layers[i].blob.layer_type == LAYER_TAR)
			memcpy(state->layers[i].blob.digest, diff_ids[i], OCI_DIGEST_SIZE);
	return 0;
}

static int docker_archive_resolve(struct fetch *fetch, struct oci_document *ret,
				  char ret_digest[OCI_DIGEST_SIZE], struct error *err)
{
	struct docker_archive *state = fetch->state;
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	_cleanup_json_ json_t *root = NULL;
	const json_t *entry;
	const char *config;

	if (archive_read_member(fetch, "manifest.json", OCI_MANIFEST_MAX, &bytes, err) < 0 ||
	    json_parse(strbuf_text(&bytes), bytes.length, "manifest.json", &root, err) < 0)
		return -1;
	entry = choose_entry(fetch, root, err);
	if (!entry || parse_entry(entry, state, &config, err) < 0)
		return error_wrap(err, "%s: manifest.json", fetch->reference.path);
	sha256_digest(bytes.data, bytes.length, ret_digest);
	*ret = (struct oci_document){ 0 };
	if (copy_config(fetch, config, &ret->config, err) < 0 ||
	    find_layers(fetch, &ret->config, err) < 0)
		return -1;
	ret->layers = xcalloc(state->count, sizeof(*ret->layers));
	ret->layer_count = state->count;
	for (size_t i = 0; i < state->count; i++)
		ret->layers[i] = state->layers[i].blob;
	return 0;
}

static const char *layer_name(const struct docker_archive *state, const char *digest)
{
	for (size_t i = 0; i < state->count; i++)
		if (strcmp(state->layers[i].blob.digest, digest) == 0)
			return state->layers[i].name;
	return NULL;
}

/* What find_layers left in the archive. */
static int docker_archive_blobs(struct fetch *fetch, const struct oci_descriptor *const *wants,
				size_t count, struct error *err)
{
	const struct docker_archive *state = fetch->state;
	struct archive_member *members = xcalloc(count, sizeof(*members));
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++) {
		const char *name = layer_name(state, wants[i]->digest);

		if (!name)
			result = error_set(err, "blob %s vanished from the cache",
					   wants[i]->digest);
		members[i].name = xstrdup(name);
		members[i].blob = *wants[i];
	}
	if (result == 0)
		result = archive_copy_members(fetch, members, count, err);
	for (size_t i = 0; i < count; i++)
		archive_member_reset(&members[i]);
	free(members);
	return result;
}

const struct origin origin_docker_archive = {
	.open = docker_archive_open,
	.close = docker_archive_close,
	.resolve = docker_archive_resolve,
	.blobs = docker_archive_blobs,
};
