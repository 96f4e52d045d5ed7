/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers for fields of plain types; each turns what a scalar parser says into a problem at the
 * value's place. A field that fails keeps its default: the load fails anyway, and the checks that
 * follow have a value to work with.
 */
#include "config/fields.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/environment.h"
#include "config/scalar.h"

enum { LIST_MAX = 256 }; /* items of one list: far beyond use, within what a guest is told */

const char *field_text(struct report *report, const char *key, const struct node *node)
{
	if (node->kind == NODE_TEXT && !node_is_null(node))
		return node->text;
	report_add(report, node->mark, "'%s' must be text, not %s", key, node_kind_name(node));
	return NULL;
}

void field_refuse(struct report *report, const char *key, const struct node *node,
		  const struct error *err)
{
	report_add(report, node->mark, "%s: %s", key, err->text);
}

static void set_string(void *field, const char *text)
{
	char **string = field;

	free(*string);
	*string = xstrdup(text);
}

FIELD_PARSER(field_node)
{
	(void)report, (void)key;
	*(const struct node **)field = node;
}

FIELD_PARSER(field_u32)
{
	const char *text = field_text(report, key->name, node);
	struct error err;
	uint64_t value;

	if (!text)
		return;
	if (scalar_u64(text, key->min, key->max, &value, &err) < 0)
		field_refuse(report, key->name, node, &err);
	else
		*(uint32_t *)field = (uint32_t)value;
}

FIELD_PARSER(field_bool)
{
	const char *text = field_text(report, key->name, node);
	struct error err;

	if (text && scalar_bool(text, field, &err) < 0)
		field_refuse(report, key->name, node, &err);
}

static void refuse_range(struct report *report, const struct schema_key *key,
			 const struct node *node)
{
	_cleanup_strbuf_ struct strbuf range = { 0 };

	scalar_print_size(key->min, &range);
	strbuf_puts(&range, " to ");
	scalar_print_size(key->max, &range);
	report_add(report, node->mark, "%s: %s is out of range (%s)", key->name, node->text,
		   strbuf_text(&range));
}

static void set_size(struct report *report, const struct schema_key *key, const struct node *node,
		     const char *text, uint64_t *field)
{
	_cleanup_strbuf_ struct strbuf step = { 0 };
	struct error err;
	uint64_t value;

	if (scalar_size(text, &value, &err) < 0) {
		field_refuse(report, key->name, node, &err);
	} else if (value < key->min || value > key->max) {
		refuse_range(report, key, node);
	} else if (key->step && value % key->step) {
		scalar_print_size(key->step, &step);
		report_add(report, node->mark, "%s: %s is not a multiple of %s", key->name, text,
			   strbuf_text(&step));
	} else {
		*field = value;
	}
}

FIELD_PARSER(field_size)
{
	const char *text = field_text(report, key->name, node);

	if (text)
		set_size(report, key, node, text, field);
}

/* Without the "/s" that may stand at the end; the caller frees it. */
static char *without_period(const char *text)
{
	size_t length = strlen(text);
	bool has_period = length > 2 && strcmp(text + length - 2, "/s") == 0;

	return xstrndup(text, has_period ? length - 2 : length);
}

FIELD_PARSER(field_rate)
{
	const char *text = field_text(report, key->name, node);
	_cleanup_free_ char *size = without_period(text ? text : "");

	if (text)
		set_size(report, key, node, size, field);
}

FIELD_PARSER(field_bits)
{
	const char *text = field_text(report, key->name, node);
	_cleanup_free_ char *bits = without_period(text ? text : "");
	_cleanup_strbuf_ struct strbuf range = { 0 };
	struct error err;
	uint64_t value;

	if (!text)
		return;
	if (scalar_bits(bits, &value, &err) < 0) {
		field_refuse(report, key->name, node, &err);
		return;
	}
	if (value >= key->min && value <= key->max) {
		*(uint64_t *)field = value;
		return;
	}
	scalar_print_bits(key->min, &range);
	strbuf_puts(&range, " to ");
	scalar_print_bits(key->max, &range);
	report_add(report, node->mark, "%s: %s is out of range (%s)", key->name, text,
		   strbuf_text(&range));
}

FIELD_PARSER(field_duration)
{
	const char *text = field_text(report, key->name, node);
	struct error err;
	uint64_t value;

	if (!text)
		return;
	if (scalar_duration(text, &value, &err) < 0)
		field_refuse(report, key->name, node, &err);
	else if (value < key->min || value > key->max)
		report_add(report, node->mark, "%s: %s is out of range (%llus to %llus)", key->name,
			   text, (unsigned long long)key->min / 1000,
			   (unsigned long long)key->max / 1000);
	else
		*(uint64_t *)field = value;
}

/* Text that is taken as it is, if `check` finds nothing wrong with it. */
static void set_checked(void *field, struct report *report, const struct schema_key *key,
			const struct node *node, int (*check)(const char *text, struct error *err))
{
	const char *text = field_text(report, key->name, node);
	struct error err;

	if (!text)
		return;
	if (check(text, &err) < 0)
		field_refuse(report, key->name, node, &err);
	else
		set_string(field, text);
}

FIELD_PARSER(field_path)
{
	set_checked(field, report, key, node, scalar_path);
}

FIELD_PARSER(field_user)
{
	set_checked(field, report, key, node, scalar_user);
}

FIELD_PARSER(field_signal)
{
	const char *text = field_text(report, key->name, node);
	char *name = NULL;
	struct error err;

	if (!text)
		return;
	if (scalar_signal(text, &name, &err) < 0)
		field_refuse(report, key->name, node, &err);
	else
		set_string(field, name);
	free(name);
}

FIELD_PARSER(field_pull_policy)
{
	const char *text = field_text(report, key->name, node);
	struct error err;

	if (text && scalar_pull_policy(text, field, &err) < 0)
		field_refuse(report, key->name, node, &err);
}

FIELD_PARSER(field_vmm)
{
	set_checked(field, report, key, node, scalar_vmm);
}

FIELD_PARSER(field_kernel)
{
	const char *text = field_text(report, key->name, node);
	struct error err;

	if (!text)
		return;
	if (strcmp(text, "auto") != 0 && scalar_path(text, &err) < 0)
		report_add(report, node->mark, "%s: '%s' is neither auto nor an absolute path",
			   key->name, text);
	else
		set_string(field, text);
}

/* A list of at most LIST_MAX items, each of them text. */
static bool is_text_list(struct report *report, const char *key, const struct node *node)
{
	size_t before = report_count(report);

	if (node->kind != NODE_LIST) {
		report_add(report, node->mark, "'%s' must be a list, not %s", key,
			   node_kind_name(node));
		return false;
	}
	if (node->count > LIST_MAX) {
		report_add(report, node->mark, "'%s' has %zu items (at most %d)", key, node->count,
			   LIST_MAX);
		return false;
	}
	for (size_t i = 0; i < node->count; i++)
		if (node->items[i]->kind != NODE_TEXT)
			report_add(report, node->items[i]->mark, "'%s' must list text, not %s", key,
				   node_kind_name(node->items[i]));
	return report_count(report) == before;
}

FIELD_PARSER(field_tmpfs)
{
	struct strv *list = field;
	struct error err;

	strv_reset(list);
	if (!is_text_list(report, key->name, node))
		return;
	for (size_t i = 0; i < node->count; i++) {
		const struct node *item = node->items[i];

		if (scalar_path(item->text, &err) < 0)
			field_refuse(report, key->name, item, &err);
		else if (strchr(item->text, ':'))
			report_add(report, item->mark, "%s: options are not supported (%.*s)",
				   key->name, (int)strcspn(item->text, ":"), item->text);
		else if (strspn(item->text, "/") == strlen(item->text))
			report_add(report, item->mark, "%s: '/' is the image's", key->name);
		else if (strv_contains(list, item->text))
			report_add(report, item->mark, "%s: '%s' is listed twice", key->name,
				   item->text);
		else
			strv_add(list, item->text);
	}
}

FIELD_PARSER(field_dns)
{
	char text[ADDRESS_TEXT_MAX];
	struct address address;
	struct strv *list = field;

	strv_reset(list);
	if (!is_text_list(report, key->name, node))
		return;
	for (size_t i = 0; i < node->count; i++) {
		if (address_parse(node->items[i]->text, &address) < 0)
			report_add(report, node->items[i]->mark, "%s: '%s' is not an address",
				   key->name, node->items[i]->text);
		else
			strv_add(list, address_format(&address, text));
	}
}

static void add_host(struct report *report, const char *key, const struct node *node,
		     const char *name, const char *address_text, struct strv *list)
{
	size_t length = strlen(address_text);
	bool is_bracketed = length > 2 && address_text[0] == '[' && address_text[length - 1] == ']';
	_cleanup_free_ char *bare = is_bracketed ? xstrndup(address_text + 1, length - 2)
						 : xstrdup(address_text);
	char text[ADDRESS_TEXT_MAX];
	struct address address;
	struct error err;

	if (scalar_hostname(name, 253, &err) < 0)
		field_refuse(report, key, node, &err);
	else if (address_parse(bare, &address) < 0)
		report_add(report, node->mark, "%s: '%s' is not an address", key, address_text);
	else
		strv_addf(list, "%s=%s", name, address_format(&address, text));
}

FIELD_PARSER(field_hosts)
{
	struct strv *list = field;

	strv_reset(list);
	if (node->kind == NODE_MAP) {
		for (size_t i = 0; i < node->count; i += 2) {
			const struct node *value = node->items[i + 1];
			const char *text = field_text(report, key->name, value);

			if (text)
				add_host(report, key->name, value, node->items[i]->text, text,
					 list);
		}
		return;
	}
	if (!is_text_list(report, key->name, node))
		return;
	for (size_t i = 0; i < node->count; i++) {
		const struct node *item = node->items[i];
		size_t length = strcspn(item->text, ":=");
		_cleanup_free_ char *name = xstrndup(item->text, length);

		if (item->text[length])
			add_host(report, key->name, item, name, item->text + length + 1, list);
		else
			report_add(report, item->mark, "%s: '%s' has no address (name:address)",
				   key->name, item->text);
	}
}

/* Transports may stand in the list beside registries: an image from this host is allowed only so.
 */
FIELD_PARSER(field_registries)
{
	struct strv *list = field;
	struct error err;

	strv_reset(list);
	if (!is_text_list(report, key->name, node))
		return;
	if (node->count == 0)
		report_add(report, node->mark, "'%s' is empty (leave it out to allow all)",
			   key->name);
	for (size_t i = 0; i < node->count; i++) {
		if (scalar_registry(node->items[i]->text, &err) < 0)
			field_refuse(report, key->name, node->items[i], &err);
		else
			strv_add(list, node->items[i]->text);
	}
}

/* As shadow's tools take them. Whether the host has the group is asked when somebody comes: it may
 * be made later. */
static bool is_group(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	static const char others[] = "0123456789.-";
	size_t length = strlen(name);

	if (!length || length > 32 || !strchr(letters, *name))
		return false;
	for (size_t i = 1; i < length; i++)
		if (!strchr(letters, name[i]) && !strchr(others, name[i]))
			return false;
	return true;
}

FIELD_PARSER(field_operators)
{
	struct strv *list = field;
	struct error err;

	strv_reset(list);
	if (!is_text_list(report, key->name, node))
		return;
	for (size_t i = 0; i < node->count; i++) {
		if (is_group(node->items[i]->text)) {
			strv_add(list, node->items[i]->text);
			continue;
		}
		error_set(&err, "not the name of a group");
		field_refuse(report, key->name, node->items[i], &err);
	}
}

FIELD_PARSER(field_labels)
{
	pairs_parse(report, key->name, node, PAIRS_LABELS, field);
}

int field_words(struct report *report, const char *key, const struct node *node, struct strv *ret)
{
	struct error err;

	if (node->kind == NODE_TEXT) {
		if (scalar_words(node->text, ret, &err) == 0) {
			if (ret->count <= LIST_MAX)
				return 0;
			error_set(&err, "more than %d words", LIST_MAX);
		}
		field_refuse(report, key, node, &err);
		return -1;
	}
	if (node->kind == NODE_MAP) {
		report_add(report, node->mark, "'%s' must be a list or text, not a mapping", key);
		return -1;
	}
	strv_reset(ret);
	if (!is_text_list(report, key, node))
		return -1;
	for (size_t i = 0; i < node->count; i++)
		strv_add(ret, node->items[i]->text);
	return 0;
}
