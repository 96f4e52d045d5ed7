/* SPDX-License-Identifier: Apache-2.0 */
/* What a Firecracker answers, which a guest may have taken over. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/fc_api.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char text[FC_FAULT_MAX + 1];

	fc_fault((const char *)bytes, length, text);
	if (strlen(text) > FC_FAULT_MAX)
		abort();
	for (const char *c = text; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			abort();
	return 0;
}
