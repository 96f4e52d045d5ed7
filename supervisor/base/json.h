/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded, typed access to JSON. The library is jansson, and this header is where it enters: other
 * files include "base/json.h" instead of <jansson.h>.
 */
#ifndef STOKER_BASE_JSON_H
#define STOKER_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strv.h"

static inline void cleanup_json(json_t **value)
{
	json_decref(*value);
}
#define _cleanup_json_ CLEANUP(cleanup_json)

/* Parses one document; duplicate keys and trailing bytes are errors. `name` is for the message.
 * The caller owns *ret (json_decref). */
int json_parse(const char *bytes, size_t length, const char *name, json_t **ret, struct error *err);

/* Required members of an object: an absent key or a wrong type is an error that names the key.
 * Strings are borrowed from the object. */
int json_get_string(const json_t *object, const char *key, const char **ret, struct error *err);
int json_get_u64(const json_t *object, const char *key, uint64_t *ret, struct error *err);
int json_get_bool(const json_t *object, const char *key, bool *ret, struct error *err);
int json_get_strv(const json_t *object, const char *key, struct strv *ret, struct error *err);

/* Optional members: absent or null gives the fallback. */
const char *json_string_or(const json_t *object, const char *key, const char *fallback);
uint64_t json_u64_or(const json_t *object, const char *key, uint64_t fallback);
bool json_bool_or(const json_t *object, const char *key, bool fallback);

json_t *json_from_strv(const struct strv *list); /* new reference */

/* One line, keys in insertion order; the caller frees it. */
char *json_line(const json_t *value);

#endif
