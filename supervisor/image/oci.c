/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index, manifest and configuration: called by fetch.c with bytes whose digest is verified but
 * whose author is a stranger. Formats: OCI image-spec 1.1 (image-index.md, manifest.md, config.md,
 * descriptor.md), distribution's manifest-v2-2.md.
 */
#include "image/oci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/alloc.h"
#include "base/json.h"

static const uint64_t layer_bytes_max = 32ULL << 30;

static const char *const index_types[] = {
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
};

static const char *const manifest_types[] = {
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
};

static const char *const config_types[] = {
	"application/vnd.oci.image.config.v1+json",
	"application/vnd.docker.container.image.v1+json",
};

/* Foreign ("nondistributable") layers are asked of the registry like others; where they may be
 * found besides is remembered. */
static const struct {
	const char *media_type;
	enum layer_type type;
} layer_types[] = {
	{ "application/vnd.oci.image.layer.v1.tar", LAYER_TAR },
	{ "application/vnd.oci.image.layer.v1.tar+gzip", LAYER_GZIP },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", LAYER_ZSTD },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", LAYER_TAR },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", LAYER_GZIP },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", LAYER_ZSTD },
	{ "application/vnd.docker.image.rootfs.diff.tar", LAYER_TAR },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", LAYER_GZIP },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", LAYER_ZSTD },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar", LAYER_TAR },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", LAYER_GZIP },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_one_of(const char *text, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, list[i]) == 0)
			return true;
	return false;
}

bool oci_digest_valid(const char *text)
{
	return strncmp(text, "sha256:", 7) == 0 && strlen(text) == 7 + 64 &&
	       strspn(text + 7, "0123456789abcdef") == 64;
}

/* Registered by image-spec (descriptor.md, "Registered algorithms") and optional there; what a
 * store names its files by is one algorithm. */
static bool is_sha512(const char *text)
{
	return strncmp(text, "sha512:", 7) == 0;
}

#define REMEDY "(push the image again with sha256 digests)"

/* Copies only what fits and is harmless in a message. */
static int copy_text(char *to, size_t size, const char *text)
{
	if (strlen(text) >= size)
		return -1;
	for (const char *c = text; *c; c++)
		if (*c <= 0x20 || *c > 0x7e)
			return -1;
	memcpy(to, text, strlen(text) + 1);
	return 0;
}

/* --- platforms ------------------------------------------------------------------------------- */

int oci_platform_parse(const char *text, struct oci_platform *ret, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(text);
	struct oci_platform platform = { 0 };
	char *rest = copy;
	const char *os = strsep(&rest, "/"), *architecture = strsep(&rest, "/");
	const char *variant = strsep(&rest, "/");

	if (!architecture || rest || !*os || !*architecture ||
	    copy_text(platform.os, sizeof(platform.os), os) < 0 ||
	    copy_text(platform.architecture, sizeof(platform.architecture), architecture) < 0 ||
	    copy_text(platform.variant, sizeof(platform.variant), variant ? variant : "") < 0)
		return error_set(err, "'%.80s' is not a platform (write linux/amd64)", text);
	*ret = platform;
	return 0;
}

void oci_platform_host(struct oci_platform *ret)
{
	static const struct {
		const char *machine, *architecture;
	} names[] = {
		{ "x86_64", "amd64" },
		{ "aarch64", "arm64" },
		{ "riscv64", "riscv64" },
	};
	struct utsname host;

	*ret = (struct oci_platform){ .os = "linux" };
	uname(&host);
	snprintf(ret->architecture, sizeof(ret->architecture), "%.15s", host.machine);
	for (size_t i = 0; i < COUNT(names); i++)
		if (strcmp(host.machine, names[i].machine) == 0)
			snprintf(ret->architecture, sizeof(ret->architecture), "%s",
				 names[i].architecture);
}

/* The baseline of an architecture may be spelled out: v8 of arm64, v1 of amd64. */
static const char *baseline(const struct oci_platform *platform)
{
	if (platform->variant[0])
		return platform->variant;
	if (strcmp(platform->architecture, "arm64") == 0)
		return "v8";
	if (strcmp(platform->architecture, "amd64") == 0)
		return "v1";
	return "";
}

static bool platform_matches(const struct oci_platform *a, const struct oci_platform *b)
{
	return strcmp(a->os, b->os) == 0 && strcmp(a->architecture, b->architecture) == 0 &&
	       strcmp(baseline(a), baseline(b)) == 0;
}

static const char *platform_name(const struct oci_platform *platform, char text[64])
{
	snprintf(text, 64, "%s/%s%s%s", platform->os, platform->architecture,
		 platform->variant[0] ? "/" : "", platform->variant);
	return text;
}

/* --- documents ------------------------------------------------------------------------------- */

static int parse_descriptor(const json_t *value, struct oci_descriptor *ret, struct error *err)
{
	struct oci_descriptor descriptor = { 0 };
	const char *digest, *media_type;

	if (!json_is_object(value))
		return error_set(err, "not an object");
	if (json_get_string(value, "mediaType", &media_type, err) < 0 ||
	    json_get_string(value, "digest", &digest, err) < 0 ||
	    json_get_u64(value, "size", &descriptor.size, err) < 0)
		return -1;
	if (is_sha512(digest))
		return error_set(err, "'%.20s...' is a digest of SHA-512, not of SHA-256 " REMEDY,
				 digest);
	if (!oci_digest_valid(digest))
		return error_set(err, "'%.80s' is not a digest of the form sha256:HEX", digest);
	memcpy(descriptor.digest, digest, strlen(digest) + 1);
	if (copy_text(descriptor.media_type, sizeof(descriptor.media_type), media_type) < 0)
		return error_set(err, "'%.80s' is not a media type", media_type);
	*ret = descriptor;
	return 0;
}

static int parse_entry(const json_t *value, struct oci_index_entry *ret, struct error *err)
{
	const json_t *platform = json_object_get(value, "platform");
	const json_t *annotations = json_object_get(value, "annotations");
	const char *name = json_string_or(annotations, "org.opencontainers.image.ref.name", "");
	struct oci_index_entry entry = { 0 };

	if (parse_descriptor(value, &entry.descriptor, err) < 0)
		return -1;
	if (json_is_object(platform)) {
		entry.has_platform = true;
		/* What does not fit matches nothing. */
		if (copy_text(entry.platform.os, sizeof(entry.platform.os),
			      json_string_or(platform, "os", "")) < 0 ||
		    copy_text(entry.platform.architecture, sizeof(entry.platform.architecture),
			      json_string_or(platform, "architecture", "")) < 0 ||
		    copy_text(entry.platform.variant, sizeof(entry.platform.variant),
			      json_string_or(platform, "variant", "")) < 0)
			entry.platform = (struct oci_platform){ 0 };
	}
	if (copy_text(entry.ref_name, sizeof(entry.ref_name), name) < 0)
		entry.ref_name[0] = '\0';
	*ret = entry;
	return 0;
}

static int parse_index(const json_t *root, struct oci_document *document, struct error *err)
{
	const json_t *list = json_object_get(root, "manifests");
	size_t count = json_array_size(list);

	document->is_index = true;
	if (!json_is_array(list) || count == 0)
		return error_set(err, "'manifests' is not a list with entries");
	if (count > OCI_INDEX_ENTRIES_MAX)
		return error_set(err, "%zu entries in 'manifests', more than %d", count,
				 OCI_INDEX_ENTRIES_MAX);
	document->entries = xcalloc(count, sizeof(*document->entries));
	for (size_t i = 0; i < count; i++) {
		if (parse_entry(json_array_get(list, i), &document->entries[i], err) < 0)
			return error_wrap(err, "manifests[%zu]", i);
		document->entry_count++;
	}
	return 0;
}

static int parse_layer(const json_t *value, struct oci_descriptor *ret, struct error *err)
{
	if (parse_descriptor(value, ret, err) < 0)
		return -1;
	if (ret->size == 0 || ret->size > layer_bytes_max)
		return error_set(err, "a size of %llu bytes (allowed: 1 byte to 32 GiB)",
				 (unsigned long long)ret->size);
	for (size_t i = 0; i < COUNT(layer_types); i++) {
		if (strcmp(ret->media_type, layer_types[i].media_type) == 0) {
			ret->layer_type = layer_types[i].type;
			return 0;
		}
	}
	return error_set(err, "media type '%s' is not one of a file system layer", ret->media_type);
}

/* The first of a foreign layer's `urls`; "" for all others: whoever wrote the manifest chose it. */
static const char *foreign_url(const json_t *value, const struct oci_descriptor *layer)
{
	const json_t *urls = json_object_get(value, "urls");
	const char *url = json_string_value(json_array_get(urls, 0));
	bool is_foreign = strstr(layer->media_type, ".nondistributable.") ||
			  strstr(layer->media_type, ".foreign.");
	char text[OCI_URL_MAX];

	return is_foreign && url && copy_text(text, sizeof(text), url) == 0 ? url : "";
}

static int parse_manifest(const json_t *root, struct oci_document *document, struct error *err)
{
	const json_t *list = json_object_get(root, "layers");
	size_t count = json_array_size(list);
	uint64_t bytes = 0;

	if (parse_descriptor(json_object_get(root, "config"), &document->config, err) < 0)
		return error_wrap(err, "config");
	if (!is_one_of(document->config.media_type, config_types, COUNT(config_types)))
		return error_set(err, "config: media type '%s' is not one of a container image",
				 document->config.media_type);
	if (document->config.size == 0 || document->config.size > OCI_CONFIG_MAX)
		return error_set(err, "config: a size of %llu bytes (allowed: 1 byte to %d MiB)",
				 (unsigned long long)document->config.size, OCI_CONFIG_MAX >> 20);
	if (!json_is_array(list) || count == 0)
		return error_set(err, "'layers' is not a list with entries");
	if (count > REPORT_LAYERS_MAX)
		return error_set(err, "%zu layers, more than %d", count, REPORT_LAYERS_MAX);
	document->layers = xcalloc(count, sizeof(*document->layers));
	for (size_t i = 0; i < count; i++) {
		if (parse_layer(json_array_get(list, i), &document->layers[i], err) < 0)
			return error_wrap(err, "layers[%zu]", i);
		strv_add(&document->layer_urls,
			 foreign_url(json_array_get(list, i), &document->layers[i]));
		document->layer_count++;
		/* What is announced is what the cache may have to hold. */
		bytes += document->layers[i].size;
		if (bytes > layer_bytes_max)
			return error_set(err, "layers of more than 32 GiB in all");
	}
	return 0;
}

/* Three tell what a document is: its structure, its mediaType, and how it was declared. Whoever
 * has something to say must say the same. */
static int check_type(const json_t *root, bool is_index, const char *declared, struct error *err)
{
	const json_t *own = json_object_get(root, "mediaType");
	const char *media_type = json_string_value(own);
	const char *const *types = is_index ? index_types : manifest_types;
	const char *kind = is_index ? "an index" : "a manifest";

	_Static_assert(COUNT(index_types) == COUNT(manifest_types), "checked with one count");
	if (own && !media_type)
		return error_set(err, "'mediaType' is not a string");
	if (media_type && !is_one_of(media_type, types, COUNT(index_types)))
		return error_set(err, "media type '%.80s' in what is built like %s", media_type,
				 kind);
	if (!declared)
		return 0;
	if (media_type && strcmp(media_type, declared) != 0)
		return error_set(err, "media type '%s', but declared as '%.80s'", media_type,
				 declared);
	if (!is_one_of(declared, types, COUNT(index_types)))
		return error_set(err, "declared as '%.80s', but built like %s", declared, kind);
	return 0;
}

static int parse_root(const json_t *root, const char *declared, struct oci_document *document,
		      struct error *err)
{
	uint64_t version = json_u64_or(root, "schemaVersion", 0);
	bool has_manifests = json_object_get(root, "manifests") != NULL;
	bool has_layers = json_object_get(root, "layers") || json_object_get(root, "config");

	if (!json_is_object(root))
		return error_set(err, "not an object");
	if (version == 1 || json_object_get(root, "fsLayers"))
		return error_set(err, "Docker's schema 1, which cannot be verified (push the image "
				      "again with a newer tool)");
	if (version != 2)
		return error_set(err, "'schemaVersion' is not 2");
	if (has_manifests && has_layers)
		return error_set(err, "index and manifest at once, so it is neither");
	if (!has_manifests && !has_layers)
		return error_set(err, "neither an index nor a manifest");
	if (check_type(root, has_manifests, declared, err) < 0)
		return -1;
	return has_manifests ? parse_index(root, document, err)
			     : parse_manifest(root, document, err);
}

int oci_document_parse(const char *bytes, size_t length, const char *declared,
		       struct oci_document *ret, struct error *err)
{
	_cleanup_free_ char *type = declared ? xstrndup(declared, strcspn(declared, "; \t")) : NULL;
	_cleanup_json_ json_t *root = NULL;
	struct oci_document document = { 0 };

	if (length > OCI_MANIFEST_MAX)
		return error_set(err, "larger than %d MiB", OCI_MANIFEST_MAX >> 20);
	if (json_parse(bytes, length, "manifest", &root, err) < 0)
		return -1;
	if (parse_root(root, type, &document, err) < 0) {
		oci_document_reset(&document);
		return error_wrap(err, "manifest");
	}
	*ret = document;
	return 0;
}

void oci_document_reset(struct oci_document *document)
{
	free(document->entries);
	free(document->layers);
	strv_reset(&document->layer_urls);
	*document = (struct oci_document){ 0 };
}

const char *oci_layer_url(const struct oci_document *manifest, const char *digest)
{
	for (size_t i = 0; i < manifest->layer_urls.count; i++)
		if (strcmp(manifest->layers[i].digest, digest) == 0)
			return manifest->layer_urls.items[i];
	return "";
}

/* --- choosing from an index ------------------------------------------------------------------ */

static bool entry_is_candidate(const struct oci_index_entry *entry, const char *ref_name)
{
	const char *type = entry->descriptor.media_type;

	if (!is_one_of(type, index_types, COUNT(index_types)) &&
	    !is_one_of(type, manifest_types, COUNT(manifest_types)))
		return false;
	/* Attestations are entries for the platform unknown/unknown. */
	if (entry->has_platform && strcmp(entry->platform.os, "unknown") == 0)
		return false;
	return !ref_name || strcmp(entry->ref_name, ref_name) == 0;
}

int oci_index_choose(const struct oci_document *index, const struct oci_platform *platform,
		     const char *ref_name, struct oci_descriptor *ret, struct error *err)
{
	const struct oci_index_entry *only = NULL;
	size_t candidates = 0, unlabelled = 0;
	char name[64];

	for (size_t i = 0; i < index->entry_count; i++) {
		const struct oci_index_entry *entry = &index->entries[i];

		if (!entry_is_candidate(entry, ref_name))
			continue;
		candidates++;
		if (entry->has_platform && platform_matches(&entry->platform, platform)) {
			*ret = entry->descriptor;
			return 0;
		}
		if (!entry->has_platform) {
			unlabelled++;
			only = entry;
		}
	}
	if (candidates == 0 && ref_name)
		return error_set(err, "no image named '%s' in the index", ref_name);
	/* Its configuration will tell the platform. */
	if (unlabelled == 1) {
		*ret = only->descriptor;
		return 0;
	}
	if (unlabelled > 1)
		return error_set(err, "%zu images in the index (append :TAG to name one)",
				 unlabelled);
	return error_set(err, "no image for %s in the index", platform_name(platform, name));
}

/* --- the configuration ----------------------------------------------------------------------- */

static int parse_diff_ids(const json_t *root, size_t layer_count,
			  char (*ret_diff_ids)[OCI_DIGEST_SIZE], struct error *err)
{
	const json_t *rootfs = json_object_get(root, "rootfs");
	const json_t *list = json_object_get(rootfs, "diff_ids");

	if (strcmp(json_string_or(rootfs, "type", ""), "layers") != 0)
		return error_set(err, "'rootfs.type' is not 'layers'");
	if (!json_is_array(list) || json_array_size(list) != layer_count)
		return error_set(err, "%zu 'rootfs.diff_ids' for %zu layers", json_array_size(list),
				 layer_count);
	for (size_t i = 0; i < layer_count; i++) {
		const char *digest = json_string_value(json_array_get(list, i));

		if (digest && is_sha512(digest))
			return error_set(err,
					 "'rootfs.diff_ids[%zu]' is a digest of SHA-512, not of "
					 "SHA-256 " REMEDY,
					 i);
		if (!digest || !oci_digest_valid(digest))
			return error_set(err, "'rootfs.diff_ids[%zu]' is not sha256:HEX", i);
		if (ret_diff_ids)
			memcpy(ret_diff_ids[i], digest, OCI_DIGEST_SIZE);
	}
	return 0;
}

static int check_config(const json_t *root, const struct oci_platform *platform, struct error *err)
{
	struct oci_platform own = { 0 };
	char have[64], want[64];

	if (!json_is_object(root))
		return error_set(err, "not an object");
	if (copy_text(own.os, sizeof(own.os), json_string_or(root, "os", "")) < 0 ||
	    copy_text(own.architecture, sizeof(own.architecture),
		      json_string_or(root, "architecture", "")) < 0 ||
	    copy_text(own.variant, sizeof(own.variant), json_string_or(root, "variant", "")) < 0)
		return error_set(err, "a platform that is none");
	/* A variant here is what the builder had, not what the image needs: not compared. */
	if (strcmp(own.os, platform->os) != 0 ||
	    strcmp(own.architecture, platform->architecture) != 0)
		return error_set(err, "the image is for %s, not for %s", platform_name(&own, have),
				 platform_name(platform, want));
	return 0;
}

int oci_config_check(const char *bytes, size_t length, size_t layer_count,
		     const struct oci_platform *platform, char (*ret_diff_ids)[OCI_DIGEST_SIZE],
		     struct error *err)
{
	_cleanup_json_ json_t *root = NULL;

	if (length > OCI_CONFIG_MAX)
		return error_set(err, "config: larger than %d MiB", OCI_CONFIG_MAX >> 20);
	if (json_parse(bytes, length, "config", &root, err) < 0)
		return -1;
	if (check_config(root, platform, err) < 0 ||
	    parse_diff_ids(root, layer_count, ret_diff_ids, err) < 0)
		return error_wrap(err, "config");
	return 0;
}
