/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as Docker's config.json or containers' auth.json, and as a credential helper's answer.
 * What is taken goes through the pipe and comes out of it as it was, and breaks no header.
 * `make fuzz`, then: build-fuzz/fuzz_credential -max_len=4096 CORPUS
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/credential.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(const struct credential *credential)
{
	struct credential again;
	char *header, *text;

	if (!credential->user)
		return;
	header = credential_header(credential);
	text = credential_format(credential);
	if (strpbrk(header, "\r\n") || strlen(text) > CREDENTIAL_TEXT_MAX ||
	    credential_parse(text, strlen(text), &again, NULL) < 0 ||
	    strcmp(again.user, credential->user) != 0 ||
	    strcmp(again.secret, credential->secret) != 0 ||
	    again.is_identity_token != credential->is_identity_token)
		abort();
	credential_reset(&again);
	free(header);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const char *const registries[] = { "docker.io", "r.io", "localhost:5000" };
	struct credential credential;

	for (size_t i = 0; i < 3; i++) {
		struct credential_entry entry;

		if (credential_find((const char *)bytes, length, registries[i], "a/b", &entry,
				    NULL) < 0)
			continue;
		if (entry.helper && strchr(entry.helper, '/'))
			abort();
		check(&entry.credential);
		credential_entry_reset(&entry);
	}
	if (credential_parse((const char *)bytes, length, &credential, NULL) == 0) {
		check(&credential);
		credential_reset(&credential);
	}
	return 0;
}
