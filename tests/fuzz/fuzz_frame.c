/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the beginning of a frame, which a guest wrote and an operator's terminal shows. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "model/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };

	frame_describe(bytes, length, &text);
	for (const char *c = strbuf_text(&text); *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			abort();
	return 0;
}
