/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a registry says when it wants to know who asks: WWW-Authenticate, Retry-After
 * and a token server's answer. Nothing that was taken may break a header or a URL.
 * `make fuzz`, then: build-fuzz/fuzz_challenge -max_len=4096 CORPUS
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "image/auth.h"
#include "image/patience.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_printable(const char *text)
{
	for (; *text; text++)
		if (*text <= 0x20 || *text > 0x7e)
			abort();
}

static void try_challenge(const char *text)
{
	struct auth_challenge challenge;
	char *realm, *query;

	if (auth_challenge_parse(text, &challenge, NULL) < 0)
		return;
	if (challenge.is_bearer != (challenge.realm != NULL) ||
	    (!challenge.is_bearer && (challenge.service || challenge.scope)))
		abort();
	query = auth_token_query(&challenge, "a/b");
	check_printable(query);
	realm = challenge.realm ? auth_realm_url(&challenge, false, NULL) : NULL;
	if (realm && strncmp(realm, "https://", 8) != 0)
		abort();
	free(realm);
	free(query);
	auth_challenge_reset(&challenge);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *text = xstrndup((const char *)bytes, length);
	uint64_t lifetime_ms;
	char *token = auth_token_parse((const char *)bytes, length, &lifetime_ms, NULL);

	try_challenge(text);
	auth_realm_is_near(text, "registry.example.com");
	auth_realm_is_near("registry.example.com", text);
	if (patience_asked_ms(text, 1795636800) > 60000)
		abort();
	if (token)
		check_printable(token);
	free(token);
	free(text);
	return 0;
}
