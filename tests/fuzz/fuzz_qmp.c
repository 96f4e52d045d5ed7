/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP decoder against anything: clang -fsanitize=fuzzer,address,undefined. The first byte says
 * how the rest is cut. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "vmm/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct qmp_reader reader = { .awaited = 1 };
	const char *reply = NULL;
	size_t cut = length ? bytes[0] + 1u : 1;

	for (size_t at = 1; at < length; at += cut) {
		size_t left = length - at;

		if (qmp_reader_feed(&reader, (const char *)bytes + at, left < cut ? left : cut,
				    &reply, NULL))
			break;
	}
	if (reader.line.length > QMP_LINE_MAX || reader.record.reason[QMP_WORD_MAX - 1] ||
	    reader.refusal[QMP_REASON_MAX - 1])
		abort();
	qmp_reader_reset(&reader);
	return 0;
}
