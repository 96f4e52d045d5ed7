/* SPDX-License-Identifier: Apache-2.0 */
/* Structured data of RFC 5424, section 6.3. Private to forward/. */
#ifndef STOKER_FORWARD_STRUCTURED_H
#define STOKER_FORWARD_STRUCTURED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"

/* Ours, in the name space that RFC 5612 keeps for documentation. */
#define STRUCTURED_ID "stoker@32473"

/* Whether a guest's elements are such that a server may be told them: well-formed to the letter,
 * each with an id of its own that has an "@" in it (those without one speak of the sender, which is
 * the host: RFC 5424, section 7), and none that poses as ours. The bytes are UTF-8 without control
 * characters. */
bool structured_is_fit(const char *bytes, size_t length);

/* Adds ` name="value"`, escaped; nothing when the value is empty. */
void structured_add(struct strbuf *out, const char *name, const char *value, size_t length);

#endif
