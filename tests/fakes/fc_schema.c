/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk over the tables of fc_table.c. An object is judged member by member in the order of the
 * text, then for what is missing, as serde does; then comes the id of the path, then whether the
 * call is in time, then the ranges, which Firecracker's configuration code judges.
 */
#include "tests/fakes/fc_schema.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/strbuf.h"
#include "tests/fakes/fc_table.h"

/* --- values -------------------------------------------------------------------------------- */

static int fault_body(struct error *err, const char *what)
{
	return error_set(
		err, "An error occurred when deserializing the json body of a request: %s.", what);
}

/* "a boolean", "one of `a`, `b`, `c`": as serde lists what it knows. */
static void list_names(struct strbuf *out, const char *const *names)
{
	size_t count = 0;

	while (names[count])
		count++;
	if (count > 2)
		strbuf_puts(out, "one of ");
	for (size_t i = 0; i < count; i++)
		strbuf_printf(out, "%s`%s`", i == 0 ? "" : count == 2 ? " or " : ", ", names[i]);
}

/* How serde calls what it found. */
static void describe(struct strbuf *out, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		strbuf_printf(out, "string \"%s\"", json_string_value(value));
		break;
	case JSON_INTEGER:
		strbuf_printf(out, "integer `%lld`", (long long)json_integer_value(value));
		break;
	case JSON_REAL:
		strbuf_printf(out, "floating point `%g`", json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		strbuf_printf(out, "boolean `%s`", json_is_true(value) ? "true" : "false");
		break;
	case JSON_NULL:
		strbuf_puts(out, "null");
		break;
	case JSON_OBJECT:
		strbuf_puts(out, "map");
		break;
	case JSON_ARRAY:
		strbuf_puts(out, "sequence");
		break;
	}
}

static int fault_type(struct error *err, const json_t *value, const char *kind,
		      const char *expected)
{
	_cleanup_strbuf_ struct strbuf what = { 0 };

	strbuf_printf(&what, "invalid %s: ", kind);
	describe(&what, value);
	strbuf_printf(&what, ", expected %s", expected);
	return fault_body(err, strbuf_text(&what));
}

static int check_integer(const json_t *value, enum fc_type type, struct error *err)
{
	static const struct {
		const char *name;
		json_int_t max; /* a u64 beyond is no integer to the JSON library */
	} types[] = {
		[FC_U8] = { "u8", UINT8_MAX },	     [FC_U16] = { "u16", UINT16_MAX },
		[FC_U32] = { "u32", UINT32_MAX },    [FC_U64] = { "u64", INT64_MAX },
		[FC_USIZE] = { "usize", INT64_MAX },
	};

	if (!json_is_integer(value))
		return fault_type(err, value, "type", types[type].name);
	if (json_integer_value(value) < 0 || json_integer_value(value) > types[type].max)
		return fault_type(err, value, "value", types[type].name);
	return 0;
}

static int check_enum(const json_t *value, const char *const *values, struct error *err)
{
	_cleanup_strbuf_ struct strbuf what = { 0 };

	/* An enum may be a map of one member there, which none of these is. */
	if (!json_is_string(value))
		return fault_body(err, "expected value");
	for (size_t i = 0; values[i]; i++)
		if (!strcmp(values[i], json_string_value(value)))
			return 0;
	strbuf_printf(&what, "unknown variant `%s`, expected ", json_string_value(value));
	list_names(&what, values);
	return fault_body(err, strbuf_text(&what));
}

static int check_level(const json_t *value, struct error *err)
{
	static const char *const levels[] = { "off",  "trace",	 "debug", "info",
					      "warn", "warning", "error" };

	if (!json_is_string(value))
		return fault_type(err, value, "type", "a string");
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++)
		if (!strcasecmp(levels[i], json_string_value(value)))
			return 0;
	return fault_body(err, "Invalid LevelFilter");
}

static int check_mac(const json_t *value, struct error *err)
{
	const char *text = json_string_value(value);

	if (!text)
		return fault_type(err, value, "type", "a string");
	for (size_t i = 0; i < 17; i++)
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return fault_body(err, "The provided MAC address is invalid.");
	return text[17] ? fault_body(err, "The provided MAC address is invalid.") : 0;
}

static int check_object(const struct fc_session *session, const struct fc_object *object,
			const json_t *value, struct error *err);

static int check_value(const struct fc_session *session, const struct fc_field *field,
		       const json_t *value, struct error *err)
{
	if (json_is_null(value) && field->presence == FC_OPTIONAL &&
	    session->release >= field->required_until)
		return 0;
	switch (field->type) {
	case FC_STRING:
		return json_is_string(value) ? 0 : fault_type(err, value, "type", "a string");
	case FC_PATH:
		return json_is_string(value) ? 0 : fault_type(err, value, "type", "path string");
	case FC_BOOL:
		return json_is_boolean(value) ? 0 : fault_type(err, value, "type", "a boolean");
	case FC_U8:
	case FC_U16:
	case FC_U32:
	case FC_U64:
	case FC_USIZE:
		return check_integer(value, field->type, err);
	case FC_ENUM:
		return check_enum(value, field->values, err);
	case FC_LEVEL:
		return check_level(value, err);
	case FC_MAC:
		return check_mac(value, err);
	case FC_OBJECT:
		return check_object(session, field->object, value, err);
	}
	return error_set(err, "the table has a type that nobody checks");
}

/* --- objects ------------------------------------------------------------------------------- */

static int fault_unknown(const struct fc_session *session, const struct fc_object *object,
			 const char *key, struct error *err)
{
	_cleanup_strbuf_ struct strbuf what = { 0 };
	const char *known[16];
	size_t count = 0;

	for (const struct fc_field *field = object->fields; field->name; field++)
		if (session->release >= field->since)
			known[count++] = field->name;
	known[count] = NULL;
	strbuf_printf(&what, "unknown field `%s`, expected ", key);
	list_names(&what, known);
	return fault_body(err, strbuf_text(&what));
}

static int check_object(const struct fc_session *session, const struct fc_object *object,
			const json_t *value, struct error *err)
{
	_cleanup_strbuf_ struct strbuf what = { 0 };
	const struct fc_field *field;
	json_t *member;
	const char *key;

	if (!json_is_object(value)) {
		strbuf_printf(&what, "struct %s", object->name);
		return fault_type(err, value, "type", strbuf_text(&what));
	}
	json_object_foreach ((json_t *)value, key, member) {
		for (field = object->fields; field->name; field++)
			if (!strcmp(field->name, key) && session->release >= field->since)
				break;
		if (!field->name && object->ignores_unknown && !session->strict)
			continue;
		if (!field->name)
			return fault_unknown(session, object, key, err);
		if (check_value(session, field, member, err) < 0)
			return -1;
	}
	for (field = object->fields; field->name; field++) {
		if (json_object_get(value, field->name) ||
		    (field->presence != FC_REQUIRED && session->release >= field->required_until))
			continue;
		strbuf_printf(&what, "missing field `%s`", field->name);
		return fault_body(err, strbuf_text(&what));
	}
	return 0;
}

/* --- ranges -------------------------------------------------------------------------------- */

static int check_machine(const json_t *body, struct error *err)
{
	uint64_t vcpus = json_u64_or(body, "vcpu_count", 0);
	uint64_t memory = json_u64_or(body, "mem_size_mib", 0);
	const char *pages = json_string_or(body, "huge_pages", "None");

	if (!vcpus || vcpus > FC_VCPUS_MAX ||
	    (json_bool_or(body, "smt", false) && vcpus > 1 && vcpus % 2))
		return error_set(err,
				 "Machine config error: The number of vCPUs must be greater than "
				 "0, less than %d and must be 1 or an even number if SMT is "
				 "enabled.",
				 FC_VCPUS_MAX);
	if (!memory || (!strcmp(pages, "2M") && memory % 2))
		return error_set(err, "Machine config error: The memory size (MiB) is either 0, or "
				      "not a multiple of the configured page size.");
	return 0;
}

static int check_range(const struct fc_session *session, enum fc_call call, const json_t *body,
		       struct error *err)
{
	uint64_t mtu = json_u64_or(body, "mtu", 1500);

	if (call == FC_PUT_MACHINE_CONFIG)
		return check_machine(body, err);
	if (call == FC_PUT_BOOT_SOURCE &&
	    strlen(json_string_or(body, "boot_args", "")) > FC_BOOT_ARGS_MAX)
		return error_set(err, "Boot source error: The kernel command line is invalid: "
				      "Invalid cmdline capacity provided.");
	if (call == FC_PUT_DRIVE &&
	    (!json_string_or(body, "path_on_host", NULL)) == !json_string_or(body, "socket", NULL))
		return error_set(err, "Drive config error: Unable to create the virtio block "
				      "device: Invalid block config.");
	if (call == FC_PUT_NETWORK && mtu < 68)
		return error_set(err,
				 "Network config error: Could not create the network device: MTU "
				 "%" PRIu64 " is out of range [68, 65535]",
				 mtu);
	if (call == FC_PUT_VSOCK && session->strict && json_u64_or(body, "guest_cid", 0) < 3)
		return error_set(err, "guest_cid is at least 3 (not that Firecracker says so)");
	return 0;
}

/* --- requests ------------------------------------------------------------------------------ */

/* Splits "/drives/upper" as Firecracker does: it looks at no more than two components. */
static int split_path(const struct fc_session *session, const char *path, char name[FC_ID_MAX],
		      char id[FC_ID_MAX + 1], struct error *err)
{
	size_t length;

	path += strspn(path, "/");
	length = strcspn(path, "/");
	snprintf(name, FC_ID_MAX, "%.*s", (int)length, path);
	path += length + (path[length] == '/');
	length = strcspn(path, "/");
	if (length > FC_ID_MAX)
		return error_set(err, "an id of more than %d bytes: the table is at its end",
				 FC_ID_MAX);
	snprintf(id, FC_ID_MAX + 1, "%.*s", (int)length, path);
	if (session->strict && path[length])
		return error_set(err, "the path has a component too many");
	return 0;
}

static int check_id(const struct fc_endpoint *endpoint, const char *id, const json_t *body,
		    struct error *err)
{
	const char *said = json_string_or(body, endpoint->id, "");

	if (!strcmp(said, id))
		return 0;
	if (strcmp(endpoint->id, "iface_id") != 0)
		return error_set(err, "The id from the path does not match the id from the body!");
	return error_set(err, "The id from the path [%s] does not match the id from the body [%s]!",
			 id, said);
}

static int check_when(const struct fc_session *session, const struct fc_endpoint *endpoint,
		      struct error *err)
{
	/* Hotplug is for devices on PCI, and stoker gives none of its VMs that bus. */
	if (session->started && endpoint->hotplug_since &&
	    session->release >= endpoint->hotplug_since)
		return error_set(err, "PCI is not enabled");
	if (session->started && !(endpoint->when & FC_AFTER_START))
		return error_set(err, "The requested operation is not supported after starting the "
				      "microVM.");
	if (!session->started && !(endpoint->when & FC_BEFORE_START))
		return error_set(err, "The requested operation is not supported before starting "
				      "the microVM.");
	if (endpoint->once && session->done & 1u << endpoint->call)
		return error_set(err, "%s", endpoint->once);
	return 0;
}

static const struct fc_endpoint *find_endpoint(const struct fc_session *session, const char *method,
					       const char *name)
{
	for (size_t i = 0; i < fc_endpoint_count; i++)
		if (!strcmp(fc_endpoints[i].method, method) &&
		    !strcmp(fc_endpoints[i].name, name) &&
		    session->release >= fc_endpoints[i].since)
			return &fc_endpoints[i];
	return NULL;
}

/* The rows of "actions" follow each other and take the same body. */
static const struct fc_endpoint *choose_action(const struct fc_endpoint *endpoint,
					       const json_t *body)
{
	while (endpoint->action &&
	       strcmp(endpoint->action, json_string_or(body, "action_type", "")) != 0)
		endpoint++;
	return endpoint;
}

static int check_presence(const struct fc_endpoint *endpoint, const char *method, const char *name,
			  bool has_body, struct error *err)
{
	if (!strcmp(method, "GET") && has_body)
		return error_set(err, "GET request cannot have a body.");
	if ((!strcmp(method, "PUT") || !strcmp(method, "PATCH")) && !has_body)
		return error_set(err, "Empty %s request.", method);
	if (!endpoint)
		return error_set(err, "Invalid request method and/or path: %s %s.", method, name);
	return 0;
}

/* Where jansson has words of its own, those of serde; other errors of syntax stay as they are. */
static int fault_syntax(const json_error_t *where, struct error *err)
{
	const char *key = strchr(where->text, '"');
	char what[128];

	if (json_error_code(where) == json_error_premature_end_of_input)
		return fault_body(err, "EOF while parsing a value");
	if (json_error_code(where) != json_error_duplicate_key || !key)
		return fault_body(err, where->text);
	snprintf(what, sizeof(what), "duplicate field `%.*s`", (int)strcspn(key + 1, "\""),
		 key + 1);
	return fault_body(err, what);
}

static int load_body(const void *body, size_t length, json_t **ret, struct error *err)
{
	json_error_t where;

	*ret = json_loadb(body, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
	return *ret ? 0 : fault_syntax(&where, err);
}

void fc_request_reset(struct fc_request *request)
{
	json_decref(request->body);
	request->body = NULL;
}

/* An id is judged before the body, the body before the time, the time before the ranges. */
static int check_endpoint(const struct fc_session *session, const struct fc_endpoint *endpoint,
			  const void *bytes, size_t length, struct fc_request *request,
			  struct error *err)
{
	for (const char *c = request->id; endpoint->id && *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '_')
			return error_set(err, "API Resource IDs can only contain alphanumeric "
					      "characters and underscores.");
	if (endpoint->id && !*request->id)
		return error_set(err, "The ID cannot be empty.");
	if (session->strict && !endpoint->id && *request->id)
		return error_set(err, "the path has a component too many");
	if (endpoint->body) {
		if (load_body(bytes, length, &request->body, err) < 0 ||
		    check_object(session, endpoint->body, request->body, err) < 0)
			return -1;
		endpoint = choose_action(endpoint, request->body);
	}
	request->call = endpoint->call;
	if (endpoint->id && check_id(endpoint, request->id, request->body, err) < 0)
		return -1;
	if (check_when(session, endpoint, err) < 0)
		return -1;
	return endpoint->body ? check_range(session, endpoint->call, request->body, err) : 0;
}

int fc_schema_check(const struct fc_session *session, const char *method, const char *path,
		    const void *body, size_t length, struct fc_request *ret, struct error *err)
{
	const struct fc_endpoint *endpoint;
	struct fc_request request = { 0 };
	char name[FC_ID_MAX];

	if (length > FC_BODY_MAX)
		return error_set(err,
				 "Request payload with size %zu is larger than the limit of %d "
				 "allowed by server.",
				 length, FC_BODY_MAX);
	if (split_path(session, path, name, request.id, err) < 0)
		return -1;
	endpoint = find_endpoint(session, method, name);
	if (check_presence(endpoint, method, name, length > 0, err) < 0)
		return -1;
	if (check_endpoint(session, endpoint, body, length, &request, err) < 0) {
		fc_request_reset(&request);
		return -1;
	}
	if (ret)
		*ret = request;
	else
		fc_request_reset(&request);
	return 0;
}

void fc_schema_note(struct fc_session *session, enum fc_call call)
{
	session->done |= 1u << call;
	if (call == FC_START)
		session->started = true;
}

int fc_schema_step(struct fc_session *session, const char *method, const char *path,
		   const char *body, struct error *err)
{
	struct fc_request request;

	if (fc_schema_check(session, method, path, body, body ? strlen(body) : 0, &request, err) <
	    0)
		return -1;
	fc_schema_note(session, request.call);
	fc_request_reset(&request);
	return 0;
}

unsigned fc_release_parse(const char *text)
{
	unsigned major, minor, patch;

	if (sscanf(text + (*text == 'v'), "%3u.%3u.%3u", &major, &minor, &patch) != 3)
		return 0;
	return FC_RELEASE(major, minor);
}
