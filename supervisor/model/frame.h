/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning of an Ethernet frame as one line of text. What a guest wrote is read here, so every
 * byte is looked for before it is believed; tests/fuzz/fuzz_frame.c. */
#ifndef STOKER_MODEL_FRAME_H
#define STOKER_MODEL_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

/* "02:00:00:00:00:0b > 02:53:74:6b:00:fe IPv4 10.0.0.3:1000 > 10.0.0.2:2000 UDP"; what the bytes do
 * not say is left out. Printable ASCII only. */
void frame_describe(const uint8_t *frame, size_t bytes, struct strbuf *out);

#endif
