/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an image's reference. What is taken has one spelling, which means the same, and its
 * parts are fit for URLs and paths.
 * `make fuzz`, then: build-fuzz/fuzz_reference -max_len=512 CORPUS
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "model/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_parts(const struct reference *reference)
{
	if (reference->kind != REFERENCE_REGISTRY) {
		if (reference->path[0] != '/' || strstr(reference->path, "/../"))
			abort();
		return;
	}
	if (!*reference->host || !*reference->registry || !*reference->repository ||
	    strpbrk(reference->host, "/@?#%\\ ") || strpbrk(reference->repository, "@?#%\\: ") ||
	    strstr(reference->repository, "..") || (!reference->tag && !reference->digest) ||
	    (reference->tag && strpbrk(reference->tag, "/@?#%\\: ")) ||
	    (reference->digest && strlen(reference->digest) != strlen("sha256:") + 64))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *text = xstrndup((const char *)bytes, length);
	struct reference first, second;
	char *spelling, *again;

	if (reference_parse(text, &first, NULL) == 0) {
		check_parts(&first);
		spelling = reference_format(&first);
		if (reference_parse(spelling, &second, NULL) < 0)
			abort();
		again = reference_format(&second);
		if (strcmp(spelling, again) != 0)
			abort();
		free(again);
		free(spelling);
		reference_reset(&first);
		reference_reset(&second);
	}
	free(text);
	return 0;
}
