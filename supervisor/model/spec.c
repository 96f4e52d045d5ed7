/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything here walks spec_fields: copying, comparing and the record of a running VM cannot
 * forget a field that the table has.
 */
#include "model/spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define ROW(key, type, class, member)                           \
	{                                                       \
		key, type, class, offsetof(struct spec, member) \
	}

const struct spec_field spec_fields[] = {
	ROW("name", FIELD_STRING, FIELD_IDENTITY, name),
	ROW("tenant", FIELD_STRING, FIELD_IDENTITY, tenant),
	ROW("vm", FIELD_STRING, FIELD_IDENTITY, vm),
	ROW("replica", FIELD_U32, FIELD_IDENTITY, replica),
	ROW("place", FIELD_STRING, FIELD_IDENTITY, place),
	ROW("image", FIELD_STRING, FIELD_REPLACE, image),
	ROW("pull_policy", FIELD_U32, FIELD_LIVE, pull_policy),
	ROW("cpus", FIELD_U32, FIELD_REPLACE, cpus),
	ROW("memory", FIELD_U64, FIELD_REPLACE, memory_bytes),
	ROW("disk", FIELD_U64, FIELD_REPLACE, disk_bytes),
	ROW("rate_disk_bandwidth", FIELD_U64, FIELD_LIVE, rate_disk_bandwidth),
	ROW("rate_disk_iops", FIELD_U32, FIELD_LIVE, rate_disk_iops),
	ROW("rate_network_bandwidth", FIELD_U64, FIELD_LIVE, rate_network_bandwidth),
	ROW("rate_network_packets", FIELD_U32, FIELD_LIVE, rate_network_packets),
	ROW("egress", FIELD_STRV, FIELD_LIVE, egress),
	ROW("ingress", FIELD_STRV, FIELD_LIVE, ingress),
	ROW("ports", FIELD_STRV, FIELD_LIVE, ports),
	ROW("balloon", FIELD_U64, FIELD_LIVE, balloon_bytes),
	ROW("addresses", FIELD_ADDRESSES, FIELD_REPLACE, addresses),
	ROW("has_entrypoint", FIELD_BOOL, FIELD_REPLACE, has_entrypoint),
	ROW("entrypoint", FIELD_STRV, FIELD_REPLACE, entrypoint),
	ROW("has_command", FIELD_BOOL, FIELD_REPLACE, has_command),
	ROW("command", FIELD_STRV, FIELD_REPLACE, command),
	ROW("environment", FIELD_STRV, FIELD_REPLACE, environment),
	ROW("user", FIELD_STRING, FIELD_REPLACE, user),
	ROW("working_dir", FIELD_STRING, FIELD_REPLACE, working_dir),
	ROW("hostname", FIELD_STRING, FIELD_REPLACE, hostname),
	ROW("dns", FIELD_STRV, FIELD_REPLACE, dns),
	ROW("extra_hosts", FIELD_STRV, FIELD_REPLACE, extra_hosts),
	ROW("labels", FIELD_STRV, FIELD_LIVE, labels),
	ROW("read_only", FIELD_BOOL, FIELD_REPLACE, read_only),
	ROW("tmpfs", FIELD_STRV, FIELD_REPLACE, tmpfs),
	ROW("volumes", FIELD_STRV, FIELD_REPLACE, volumes),
	ROW("files", FIELD_STRV, FIELD_REPLACE, files),
	ROW("secrets", FIELD_STRV, FIELD_REPLACE, secrets),
	ROW("ulimits", FIELD_STRV, FIELD_REPLACE, ulimits),
	ROW("sysctls", FIELD_STRV, FIELD_REPLACE, sysctls),
	ROW("restart", FIELD_U32, FIELD_LIVE, restart),
	ROW("restart_limit", FIELD_U32, FIELD_LIVE, restart_limit),
	ROW("healthcheck", FIELD_STRV, FIELD_LIVE, healthcheck),
	ROW("healthcheck_interval", FIELD_U64, FIELD_LIVE, health_interval_ms),
	ROW("healthcheck_timeout", FIELD_U64, FIELD_LIVE, health_timeout_ms),
	ROW("healthcheck_retries", FIELD_U32, FIELD_LIVE, health_retries),
	ROW("healthcheck_start_period", FIELD_U64, FIELD_LIVE, health_start_period_ms),
	ROW("healthcheck_unhealthy_stops", FIELD_BOOL, FIELD_LIVE, unhealthy_stops),
	ROW("depends_on", FIELD_STRV, FIELD_LIVE, depends_on),
	ROW("stop_signal", FIELD_STRING, FIELD_LIVE, stop_signal),
	ROW("stop_grace_period", FIELD_U64, FIELD_LIVE, stop_grace_ms),
	ROW("vmm", FIELD_STRING, FIELD_REPLACE, vmm),
	ROW("kernel", FIELD_STRING, FIELD_REPLACE, kernel),
};

const size_t spec_field_count = sizeof(spec_fields) / sizeof(*spec_fields);

static const void *at(const struct spec *spec, const struct spec_field *field)
{
	return (const char *)spec + field->offset;
}

static void *at_mutable(struct spec *spec, const struct spec_field *field)
{
	return (char *)spec + field->offset;
}

struct spec *spec_new(void)
{
	return xcalloc(1, sizeof(struct spec));
}

struct spec *spec_free(struct spec *spec)
{
	if (!spec)
		return NULL;
	for (size_t i = 0; i < spec_field_count; i++) {
		if (spec_fields[i].type == FIELD_STRING)
			free(*(char **)at_mutable(spec, &spec_fields[i]));
		else if (spec_fields[i].type == FIELD_STRV)
			strv_reset(at_mutable(spec, &spec_fields[i]));
	}
	free(spec);
	return NULL;
}

static size_t plain_size(enum field_type type)
{
	switch (type) {
	case FIELD_U32:
		return sizeof(uint32_t);
	case FIELD_U64:
		return sizeof(uint64_t);
	case FIELD_BOOL:
		return sizeof(bool);
	case FIELD_ADDRESSES:
		return sizeof(struct address_list);
	case FIELD_STRING:
	case FIELD_STRV:
		break;
	}
	return 0;
}

struct spec *spec_copy(const struct spec *spec)
{
	struct spec *copy = spec_new();

	for (size_t i = 0; i < spec_field_count; i++) {
		const struct spec_field *field = &spec_fields[i];
		const void *from = at(spec, field);
		void *to = at_mutable(copy, field);

		if (field->type == FIELD_STRING)
			*(char **)to = xstrdup(*(char *const *)from);
		else if (field->type == FIELD_STRV)
			strv_copy(to, from);
		else
			memcpy(to, from, plain_size(field->type));
	}
	return copy;
}

int spec_order(const struct spec *a, const struct spec *b)
{
	int order = strcmp(a->tenant, b->tenant);

	if (order == 0)
		order = strcmp(a->vm, b->vm);
	if (order == 0)
		order = (a->replica > b->replica) - (a->replica < b->replica);
	return order;
}

static bool string_equal(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool addresses_equal(const struct address_list *a, const struct address_list *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (address_compare(&a->items[i], &b->items[i]) != 0)
			return false;
	return true;
}

bool spec_field_equal(const struct spec_field *field, const struct spec *a, const struct spec *b)
{
	switch (field->type) {
	case FIELD_STRING:
		return string_equal(*(char *const *)at(a, field), *(char *const *)at(b, field));
	case FIELD_STRV:
		return strv_equal(at(a, field), at(b, field));
	case FIELD_ADDRESSES:
		return addresses_equal(at(a, field), at(b, field));
	case FIELD_U32:
	case FIELD_U64:
	case FIELD_BOOL:
		break;
	}
	return memcmp(at(a, field), at(b, field), plain_size(field->type)) == 0;
}

static json_t *addresses_to_json(const struct address_list *list)
{
	json_t *array = json_array();
	char text[ADDRESS_TEXT_MAX];

	for (uint32_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(address_format(&list->items[i], text)));
	return array;
}

static json_t *field_to_json(const struct spec_field *field, const void *value)
{
	const char *text;

	switch (field->type) {
	case FIELD_STRING:
		text = *(char *const *)value;
		return json_string(text ? text : "");
	case FIELD_STRV:
		return json_from_strv(value);
	case FIELD_U32:
		return json_integer(*(const uint32_t *)value);
	case FIELD_U64:
		return json_integer((json_int_t) * (const uint64_t *)value);
	case FIELD_BOOL:
		return json_boolean(*(const bool *)value);
	case FIELD_ADDRESSES:
		return addresses_to_json(value);
	}
	return json_null();
}

json_t *spec_to_json(const struct spec *spec)
{
	json_t *object = json_object();

	for (size_t i = 0; i < spec_field_count; i++)
		json_object_set_new(object, spec_fields[i].name,
				    field_to_json(&spec_fields[i], at(spec, &spec_fields[i])));
	return object;
}

static int addresses_from_json(const json_t *object, const char *key, struct address_list *ret,
			       struct error *err)
{
	_cleanup_strv_ struct strv texts = { 0 };
	struct address_list list = { 0 };

	if (json_get_strv(object, key, &texts, err) < 0)
		return -1;
	if (texts.count > 2 * SPEC_ADDRESSES_MAX)
		return error_set(err, "'%s' holds too many addresses", key);
	STRV_EACH (text, &texts)
		if (address_parse(text, &list.items[list.count++]) < 0)
			return error_set(err, "'%s' holds '%s', which is no address", key, text);
	*ret = list;
	return 0;
}

static int field_from_json(const struct spec_field *field, const json_t *object, void *value,
			   struct error *err)
{
	const char *text;
	uint64_t number;

	switch (field->type) {
	case FIELD_STRING:
		if (json_get_string(object, field->name, &text, err) < 0)
			return -1;
		*(char **)value = xstrdup(text);
		return 0;
	case FIELD_STRV:
		return json_get_strv(object, field->name, value, err);
	case FIELD_U32:
		if (json_get_u64(object, field->name, &number, err) < 0)
			return -1;
		if (number > UINT32_MAX)
			return error_set(err, "'%s' is too large", field->name);
		*(uint32_t *)value = (uint32_t)number;
		return 0;
	case FIELD_U64:
		return json_get_u64(object, field->name, value, err);
	case FIELD_BOOL:
		return json_get_bool(object, field->name, value, err);
	case FIELD_ADDRESSES:
		return addresses_from_json(object, field->name, value, err);
	}
	return error_set(err, "'%s' has an unknown type", field->name);
}

int spec_from_json(const json_t *value, struct spec **ret, struct error *err)
{
	_cleanup_spec_ struct spec *spec = spec_new();

	for (size_t i = 0; i < spec_field_count; i++) {
		const struct spec_field *field = &spec_fields[i];

		void *place = at_mutable(spec, field);

		if (field->class == FIELD_IDENTITY || json_object_get(value, field->name)) {
			if (field_from_json(field, value, place, err) < 0)
				return error_wrap(err, "spec");
		} else if (field->type == FIELD_STRING) {
			*(char **)place = xstrdup("");
		}
	}
	*ret = take_ptr(spec);
	return 0;
}

void spec_mac(const char *name, uint8_t ret_mac[6])
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a, 64 bits */

	for (const char *c = name; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x100000001b3;
	/* 0x06: unicast, locally administered, and never NET_GATEWAY_MAC, which begins with 0x02.
	 */
	ret_mac[0] = 0x06;
	for (int i = 1; i < 6; i++)
		ret_mac[i] = (uint8_t)(hash >> (8 * i));
}
