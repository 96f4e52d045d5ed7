/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry says when it wants to know who asks: challenges (RFC 9110, 11.6.1; RFC 6750, 3)
 * and token answers (distribution's token specification). Called by registry.c and token.c. */
#ifndef STOKER_IMAGE_AUTH_H
#define STOKER_IMAGE_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct auth_challenge {
	bool is_bearer; /* else Basic, and nothing below is given */
	char *realm;	/* all owned; NULL when not given */
	char *service;
	char *scope;
};

/* Finds a challenge that can be met in one WWW-Authenticate header, which may hold several: Bearer
 * with a realm, else Basic. -1: neither. */
int auth_challenge_parse(const char *header, struct auth_challenge *ret, struct error *err);
void auth_challenge_reset(struct auth_challenge *challenge);

/* The realm as a URL. NULL with err set when it is none, or is not to be trusted: http is allowed
 * only if the registry itself may be spoken to without TLS (`insecure`). The caller frees it. */
char *auth_realm_url(const struct auth_challenge *challenge, bool insecure, struct error *err);

/* "service=...&scope=...": what is asked of the realm; a missing scope, to pull from the
 * repository, is made up. The caller frees it. */
char *auth_token_query(const struct auth_challenge *challenge, const char *repository);

/* May the registry's credential go to that host? To the registry's own and to its neighbours: names
 * below one domain, which is longer than a public one (CVE-2020-15157). Ports do not count. */
bool auth_realm_is_near(const char *registry, const char *realm_host);

/* The token out of the answer, checked to be fit for a header, and for how long it is good; 60 s
 * when it does not say. The caller frees it. */
char *auth_token_parse(const char *bytes, size_t length, uint64_t *ret_lifetime_ms,
		       struct error *err);

#endif
