/* SPDX-License-Identifier: Apache-2.0 */
/* Typed access on top of jansson; callers are the control socket, state records and image files. */
#include "base/json.h"

#include <string.h>

int json_parse(const char *bytes, size_t length, const char *name, json_t **ret, struct error *err)
{
	json_error_t where;
	json_t *value = json_loadb(bytes, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);

	if (!value)
		return error_set(err, "%s:%d:%d: not valid JSON: %s", name, where.line,
				 where.column, where.text);
	*ret = value;
	return 0;
}

static const json_t *member(const json_t *object, const char *key, struct error *err)
{
	const json_t *value = json_object_get(object, key);

	if (!value)
		error_set(err, "'%s' is missing", key);
	return value;
}

int json_get_string(const json_t *object, const char *key, const char **ret, struct error *err)
{
	const json_t *value = member(object, key, err);

	if (!value)
		return -1;
	if (!json_is_string(value))
		return error_set(err, "'%s' is not a string", key);
	*ret = json_string_value(value);
	return 0;
}

int json_get_u64(const json_t *object, const char *key, uint64_t *ret, struct error *err)
{
	const json_t *value = member(object, key, err);

	if (!value)
		return -1;
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return error_set(err, "'%s' is not a whole number of 0 or more", key);
	*ret = (uint64_t)json_integer_value(value);
	return 0;
}

int json_get_bool(const json_t *object, const char *key, bool *ret, struct error *err)
{
	const json_t *value = member(object, key, err);

	if (!value)
		return -1;
	if (!json_is_boolean(value))
		return error_set(err, "'%s' is not true or false", key);
	*ret = json_is_true(value);
	return 0;
}

int json_get_strv(const json_t *object, const char *key, struct strv *ret, struct error *err)
{
	_cleanup_strv_ struct strv list = { 0 };
	const json_t *value = member(object, key, err);
	json_t *item;
	size_t i;

	if (!value)
		return -1;
	if (!json_is_array(value))
		return error_set(err, "'%s' is not a list", key);
	json_array_foreach (value, i, item) {
		if (!json_is_string(item))
			return error_set(err, "'%s' holds something else than strings", key);
		strv_add(&list, json_string_value(item));
	}
	strv_reset(ret);
	*ret = list;
	list = (struct strv){ 0 };
	return 0;
}

const char *json_string_or(const json_t *object, const char *key, const char *fallback)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : fallback;
}

uint64_t json_u64_or(const json_t *object, const char *key, uint64_t fallback)
{
	uint64_t number;

	return json_get_u64(object, key, &number, NULL) == 0 ? number : fallback;
}

bool json_bool_or(const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

json_t *json_from_strv(const struct strv *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(list->items[i]));
	return array;
}

char *json_line(const json_t *value)
{
	return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}
