/* SPDX-License-Identifier: Apache-2.0 */
/* How one changed field of a spec is shown to an operator. */
#ifndef STOKER_PLAN_CHANGE_H
#define STOKER_PLAN_CHANGE_H

#include "base/strbuf.h"
#include "model/spec.h"

/* The manifest's key that sets the field: "entrypoint" for has_entrypoint as well. */
const char *change_key(const struct spec_field *field);

/* Appends "memory: 128MiB -> 256MiB". Of the environment only names are shown: values may be
 * secrets, and plans end up in logs. */
void change_print(const char *key, const struct spec *from, const struct spec *to,
		  struct strbuf *out);

#endif
