/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents that strangers wrote: image indexes, manifests and configurations, OCI image-spec 1.1
 * and Docker's "Image Manifest V 2, Schema 2". Parsed with bounds, and refused when two readers
 * could take them for different things (CVE-2021-41190).
 */
#ifndef STOKER_IMAGE_OCI_H
#define STOKER_IMAGE_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strv.h"
#include "image/report.h"

enum {
	OCI_DIGEST_SIZE = 72, /* "sha256:", 64 digits, NUL */
	OCI_MEDIA_TYPE_SIZE = 128,
	OCI_REF_NAME_SIZE = 256,
	OCI_URL_MAX = 2048,
	OCI_MANIFEST_MAX = 4 << 20,
	OCI_CONFIG_MAX = 8 << 20,
	OCI_INDEX_ENTRIES_MAX = 4096,
	OCI_NESTING_MAX = 2, /* an index in an index; no deeper */
};

/* What a manifest is asked for with, in HTTP's Accept. */
#define OCI_ACCEPT                                                    \
	"application/vnd.oci.image.index.v1+json, "                   \
	"application/vnd.oci.image.manifest.v1+json, "                \
	"application/vnd.docker.distribution.manifest.list.v2+json, " \
	"application/vnd.docker.distribution.manifest.v2+json"

struct oci_platform {
	char os[16];
	char architecture[16]; /* GOARCH */
	char variant[16];      /* "" = the baseline */
};

struct oci_descriptor {
	char media_type[OCI_MEDIA_TYPE_SIZE];
	char digest[OCI_DIGEST_SIZE];
	uint64_t size;
	enum layer_type layer_type; /* of a layer */
};

struct oci_index_entry {
	struct oci_descriptor descriptor;
	bool has_platform;
	struct oci_platform platform;
	char ref_name[OCI_REF_NAME_SIZE]; /* org.opencontainers.image.ref.name, or "" */
};

/* An index has entries; a manifest has a config and layers, bottom first. */
struct oci_document {
	bool is_index;
	struct oci_index_entry *entries; /* owned */
	size_t entry_count;
	struct oci_descriptor config;
	struct oci_descriptor *layers; /* owned */
	size_t layer_count;	       /* 1 to REPORT_LAYERS_MAX */
	struct strv layer_urls; /* one per layer: where else a foreign one may be found, or "" */
};

/* "sha256:" and 64 lower-case hexadecimal digits: nothing else becomes part of a URL or path. */
bool oci_digest_valid(const char *text);

/* "linux/amd64" or "linux/arm64/v8". */
int oci_platform_parse(const char *text, struct oci_platform *ret, struct error *err);
void oci_platform_host(struct oci_platform *ret);

/* `declared` is the media type by which the document came: Content-Type (parameters are ignored)
 * or its descriptor's; NULL when nothing told. */
int oci_document_parse(const char *bytes, size_t length, const char *declared,
		       struct oci_document *ret, struct error *err);
void oci_document_reset(struct oci_document *document);

/* Where else a layer of the manifest may be found; "": nowhere. Nothing was checked but its length
 * and that it is printable. */
const char *oci_layer_url(const struct oci_document *manifest, const char *digest);

/* The entry for the platform; with `ref_name`, among those of that name only. */
int oci_index_choose(const struct oci_document *index, const struct oci_platform *platform,
		     const char *ref_name, struct oci_descriptor *ret, struct error *err);

/* Fits the configuration to its manifest: platform, number of layers. The diffIDs ("sha256:...",
 * one per layer) are given when ret_diff_ids is not NULL. */
int oci_config_check(const char *bytes, size_t length, size_t layer_count,
		     const struct oci_platform *platform, char (*ret_diff_ids)[OCI_DIGEST_SIZE],
		     struct error *err);

#endif
