/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an `image:` key names: a registry's repository (the grammar of the OCI distribution
 * specification and of Docker's reference package), or an archive or layout on this host.
 * It lies in model/ because manifests are checked by it and images are fetched by it.
 */
#ifndef STOKER_MODEL_REFERENCE_H
#define STOKER_MODEL_REFERENCE_H

#include "base/error.h"

enum reference_kind {
	REFERENCE_REGISTRY,
	REFERENCE_OCI,		  /* oci:DIR[:TAG] */
	REFERENCE_OCI_ARCHIVE,	  /* oci-archive:FILE[:TAG] */
	REFERENCE_DOCKER_ARCHIVE, /* docker-archive:FILE[:NAME:TAG] */
};

/* Strings are owned; those that do not apply are NULL. */
struct reference {
	enum reference_kind kind;
	char *host;	  /* "registry-1.docker.io", "localhost:5000": to connect to */
	char *registry;	  /* as written in allow-lists: "docker.io", "localhost:5000" */
	char *repository; /* "library/nginx" */
	char *tag;	  /* "latest" when neither tag nor digest was given */
	char *digest;	  /* "sha256:<64 hex>"; when both are there, the digest decides */
	char *path;	  /* of a layout or archive; absolute */
};

int reference_parse(const char *text, struct reference *ret, struct error *err);
void reference_reset(struct reference *reference);

/* "docker.io/library/nginx:latest": the same for all spellings of one image. Caller frees. */
char *reference_format(const struct reference *reference);

#endif
