/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who pulls: Docker's config.json and containers-auth.json(5), and what a credential helper answers
 * (github.com/docker/docker-credential-helpers). The daemon reads the operator's file and hands one
 * credential at a time to a fetcher, in the helpers' format; the fetcher reads that (hosts.c).
 */
#ifndef STOKER_IMAGE_CREDENTIAL_H
#define STOKER_IMAGE_CREDENTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { CREDENTIAL_TEXT_MAX = 48 * 1024 }; /* of one as text: fits into a pipe unread */

struct credential {
	char *user;   /* owned; NULL: there is none */
	char *secret; /* owned: a password, or an identity token */
	bool is_identity_token;
};

void credential_reset(struct credential *credential);

/* What the file says of one repository. */
struct credential_entry {
	struct credential credential; /* user NULL: none */
	char *helper;	/* owned; NAME of docker-credential-NAME, which is to be asked; or NULL */
	char *server;	/* owned; what it is to be asked for */
	bool is_needed; /* the file knows the repository, and the helper has what it lacks */
};

/* Looks the repository up: by the keys "host/a/b", "host/a", "host", letter for letter; Docker Hub
 * is "https://index.docker.io/v1/" too. A helper of that host alone comes before the general
 * one; what the file itself holds is given too. Finding nothing is no error. */
int credential_find(const char *bytes, size_t length, const char *registry, const char *repository,
		    struct credential_entry *ret, struct error *err);
void credential_entry_reset(struct credential_entry *entry);

/* {"Username":...,"Secret":...}; an identity token's user is "<token>". The caller frees it. */
char *credential_format(const struct credential *credential);

/* The answer of a helper, or what credential_format wrote. "credentials not found" is an answer
 * without a user. */
int credential_parse(const char *bytes, size_t length, struct credential *ret, struct error *err);

/* "Authorization: Basic ...": RFC 7617. The caller frees it. */
char *credential_header(const struct credential *credential);

#endif
