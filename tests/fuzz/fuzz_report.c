/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a record of an image worker that was taken over: what report_check lets through must
 * be safe to use as the daemon uses it.
 * `make fuzz`, then: build-fuzz/fuzz_report -max_len=528 CORPUS
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/oci.h"
#include "image/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct report report = { .magic = REPORT_MAGIC };
	bool has_digest;

	/* The magic is given: to find it would be all that the fuzzer does. */
	if (length > sizeof(report) - sizeof(report.magic))
		length = sizeof(report) - sizeof(report.magic);
	memcpy((char *)&report + sizeof(report.magic), bytes, length);
	if (report_check(&report, NULL) < 0)
		return 0;
	has_digest = report.kind == REPORT_MANIFEST || report.kind == REPORT_CONFIG ||
		     report.kind == REPORT_LAYER;
	if (strnlen(report.text, REPORT_TEXT_MAX) == REPORT_TEXT_MAX ||
	    (has_digest && !oci_digest_valid(report.text)) ||
	    (report.kind == REPORT_PROGRESS && report.stage > REPORT_BUILD) ||
	    (report.kind == REPORT_LAYER && report.layer_type > LAYER_ZSTD) ||
	    (report.kind == REPORT_MANIFEST && report.count > REPORT_LAYERS_MAX))
		abort();
	return 0;
}
