/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a registry stores: index, manifest, configuration. What is taken must keep the
 * promises of oci.h, because digests become paths.
 * `make fuzz`, then: build-fuzz/fuzz_oci -max_len=8192 CORPUS
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check_descriptor(const struct oci_descriptor *descriptor)
{
	if (!oci_digest_valid(descriptor->digest) ||
	    strnlen(descriptor->media_type, OCI_MEDIA_TYPE_SIZE) == OCI_MEDIA_TYPE_SIZE)
		abort();
}

static void try_document(const char *text, size_t length, const struct oci_platform *platform)
{
	struct oci_document document;
	struct oci_descriptor chosen;

	if (oci_document_parse(text, length, NULL, &document, NULL) < 0)
		return;
	if (document.is_index
		    ? document.entry_count == 0
		    : document.layer_count == 0 || document.layer_count > REPORT_LAYERS_MAX)
		abort();
	if (document.is_index && oci_index_choose(&document, platform, NULL, &chosen, NULL) == 0)
		check_descriptor(&chosen);
	if (!document.is_index)
		check_descriptor(&document.config);
	for (size_t i = 0; i < document.layer_count; i++) {
		check_descriptor(&document.layers[i]);
		if (strlen(oci_layer_url(&document, document.layers[i].digest)) >= OCI_URL_MAX)
			abort();
	}
	oci_document_reset(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char diff_ids[2][OCI_DIGEST_SIZE];
	struct oci_platform platform;

	oci_platform_parse("linux/amd64", &platform, NULL);
	try_document((const char *)bytes, length, &platform);
	if (oci_config_check((const char *)bytes, length, 2, &platform, diff_ids, NULL) == 0 &&
	    (!oci_digest_valid(diff_ids[0]) || !oci_digest_valid(diff_ids[1])))
		abort();
	return 0;
}
