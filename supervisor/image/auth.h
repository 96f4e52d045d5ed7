/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry says when it wants a token: challenges (RFC 9110, 11.6.1; RFC 6750, 3) and token
 * answers (distribution's token specification). Called by registry.c. */
#ifndef STOKER_IMAGE_AUTH_H
#define STOKER_IMAGE_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct auth_challenge {
	char *realm; /* all owned; NULL when not given */
	char *service;
	char *scope;
};

/* Finds the Bearer challenge in one WWW-Authenticate header, which may hold several challenges.
 * -1: none in it, or one without a realm. */
int auth_challenge_parse(const char *header, struct auth_challenge *ret, struct error *err);
void auth_challenge_reset(struct auth_challenge *challenge);

/* The URL to ask for a token to pull from the repository. A missing scope is made up. NULL with
 * err set when the realm is no URL, or is not to be trusted: http is allowed only if the registry
 * itself is (`insecure`). The caller frees it. */
char *auth_token_url(const struct auth_challenge *challenge, const char *repository, bool insecure,
		     struct error *err);

/* The token out of the answer, checked to be fit for a header. The caller frees it. */
char *auth_token_parse(const char *bytes, size_t length, struct error *err);

#endif
