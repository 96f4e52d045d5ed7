/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libyaml's only home: its events become nodes for manifest.c. The format is YAML 1.1 as libyaml
 * reads it, without tags and with one document per file. Depth and size are bounded before they
 * cost anything: an alias counts as all that it stands for ("billion laughs").
 */
#include "config/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/alloc.h"
#include "config/arena.h"
#include "config/merge.h"

enum {
	ANCHORS_MAX = 1000,
	TEXT_WEIGHT =
		64, /* bytes of text that count as one more value: aliases multiply them too */
};

struct anchor {
	char *name; /* in the arena */
	struct node *node;
};

struct document {
	struct arena arena; /* everything in a document lives as long as it does */
	struct node *root;
};

struct builder {
	struct document *document;
	const struct source *source;
	struct report *report;
	yaml_parser_t parser;
	struct anchor *anchors; /* owned */
	size_t anchor_count;
	struct node **stack; /* owned; children of what is open, in order */
	size_t stack_count, stack_capacity;
	size_t node_count;
	size_t merge_work;
};

static struct mark mark_of(const struct builder *builder, yaml_mark_t mark)
{
	return (struct mark){ .source = builder->source,
			      .line = (uint32_t)mark.line + 1,
			      .column = (uint32_t)mark.column + 1 };
}

static void push(struct builder *builder, struct node *node)
{
	if (builder->stack_count == builder->stack_capacity) {
		builder->stack_capacity = builder->stack_capacity ? 2 * builder->stack_capacity
								  : 64;
		builder->stack = xreallocarray(builder->stack, builder->stack_capacity,
					       sizeof(struct node *));
	}
	builder->stack[builder->stack_count++] = node;
}

/* Both bounds, before a node takes its place. */
static int count_nodes(struct builder *builder, size_t more, struct mark mark)
{
	builder->node_count += more;
	if (builder->node_count <= YAML_NODES_MAX)
		return 0;
	report_add(builder->report, mark, "more than %d values, aliases expanded (split the file)",
		   YAML_NODES_MAX);
	return -1;
}

static int check_depth(struct builder *builder, unsigned depth, struct mark mark)
{
	if (depth <= YAML_DEPTH_MAX)
		return 0;
	report_add(builder->report, mark, "nested deeper than %d levels", YAML_DEPTH_MAX);
	return -1;
}

static struct node *new_node(struct builder *builder, enum node_kind kind,
			     const yaml_event_t *event)
{
	struct node *node = arena_alloc(&builder->document->arena, sizeof(*node));

	node->kind = kind;
	node->height = 1;
	node->weight = 1;
	node->mark = mark_of(builder, event->start_mark);
	return node;
}

static int remember_anchor(struct builder *builder, const yaml_char_t *name, struct node *node)
{
	struct anchor *anchor;

	if (!name)
		return 0;
	if (builder->anchor_count == ANCHORS_MAX) {
		report_add(builder->report, node->mark, "more than %d anchors", ANCHORS_MAX);
		return -1;
	}
	builder->anchors = xreallocarray(builder->anchors, builder->anchor_count + 1,
					 sizeof(*builder->anchors));
	anchor = &builder->anchors[builder->anchor_count++];
	anchor->name = arena_text(&builder->document->arena, name, strlen((const char *)name));
	anchor->node = node;
	return 0;
}

static int refuse_tag(struct builder *builder, const yaml_char_t *tag, const yaml_event_t *event)
{
	if (!tag)
		return 0;
	report_add(builder->report, mark_of(builder, event->start_mark),
		   "the tag '%s' is not supported (remove it)", (const char *)tag);
	return -1;
}

static int build_text(struct builder *builder, const yaml_event_t *event, struct node **ret)
{
	const char *value = (const char *)event->data.scalar.value;
	struct node *node = new_node(builder, NODE_TEXT, event);

	if (refuse_tag(builder, event->data.scalar.tag, event) < 0)
		return -1;
	if (memchr(value, '\0', event->data.scalar.length)) {
		report_add(builder->report, node->mark, "text may not hold a NUL character");
		return -1;
	}
	node->weight += event->data.scalar.length / TEXT_WEIGHT;
	if (count_nodes(builder, node->weight - 1, node->mark) < 0)
		return -1;
	node->text = arena_text(&builder->document->arena, value, event->data.scalar.length);
	node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	*ret = node;
	return remember_anchor(builder, event->data.scalar.anchor, node);
}

static int build_alias(struct builder *builder, const yaml_event_t *event, unsigned depth,
		       struct node **ret)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct mark mark = mark_of(builder, event->start_mark);

	/* From the last one backwards: YAML lets a later anchor of the same name take over. */
	for (size_t i = builder->anchor_count; i-- > 0;) {
		struct node *node = builder->anchors[i].node;

		if (strcmp(builder->anchors[i].name, name) != 0)
			continue;
		if (count_nodes(builder, node->weight - 1, mark) < 0 ||
		    check_depth(builder, depth + node->height - 1, mark) < 0)
			return -1;
		*ret = node;
		return 0;
	}
	report_add(builder->report, mark, "no anchor '&%s' is complete before this alias", name);
	return -1;
}

/* Moves what was pushed since `base` into the node that it belongs to. */
static void adopt_children(struct builder *builder, struct node *node, size_t base)
{
	node->count = builder->stack_count - base;
	node->items = arena_alloc(&builder->document->arena, node->count * sizeof(struct node *));
	if (node->count)
		memcpy(node->items, builder->stack + base, node->count * sizeof(struct node *));
	builder->stack_count = base;
	for (size_t i = 0; i < node->count; i++) {
		node->weight += node->items[i]->weight;
		if (node->items[i]->height + 1 > node->height)
			node->height = node->items[i]->height + 1;
	}
}

static int check_keys(struct builder *builder, const struct node *map)
{
	for (size_t i = 0; i < map->count; i += 2) {
		if (map->items[i]->kind == NODE_TEXT)
			continue;
		report_add(builder->report, map->items[i]->mark, "a key must be text, not %s",
			   node_kind_name(map->items[i]));
		return -1;
	}
	return 0;
}

static int next_event(struct builder *builder, yaml_event_t *event);
static int build(struct builder *builder, const yaml_event_t *event, unsigned depth,
		 struct node **ret);

/* Everything up to the end of a list or a mapping. Recursion is bounded by check_depth. */
static int build_children(struct builder *builder, yaml_event_type_t end, unsigned depth)
{
	for (;;) {
		yaml_event_t event;
		struct node *child;
		bool at_end;
		int result;

		if (next_event(builder, &event) < 0)
			return -1;
		at_end = event.type == end;
		result = at_end ? 0 : build(builder, &event, depth + 1, &child);
		yaml_event_delete(&event);
		if (at_end || result < 0)
			return result;
		push(builder, child);
	}
}

static int build_list(struct builder *builder, const yaml_event_t *event, unsigned depth,
		      struct node **ret)
{
	struct node *node = new_node(builder, NODE_LIST, event);
	size_t base = builder->stack_count;

	if (refuse_tag(builder, event->data.sequence_start.tag, event) < 0 ||
	    build_children(builder, YAML_SEQUENCE_END_EVENT, depth) < 0)
		return -1;
	adopt_children(builder, node, base);
	*ret = node;
	return remember_anchor(builder, event->data.sequence_start.anchor, node);
}

static int build_map(struct builder *builder, const yaml_event_t *event, unsigned depth,
		     struct node **ret)
{
	struct node *node = new_node(builder, NODE_MAP, event);
	size_t base = builder->stack_count;

	if (refuse_tag(builder, event->data.mapping_start.tag, event) < 0 ||
	    build_children(builder, YAML_MAPPING_END_EVENT, depth) < 0)
		return -1;
	adopt_children(builder, node, base);
	if (check_keys(builder, node) < 0)
		return -1;
	map_drop_duplicates(node, builder->report);
	if (map_merge(node, &builder->document->arena, &builder->merge_work, builder->report) < 0)
		return -1;
	*ret = node;
	return remember_anchor(builder, event->data.mapping_start.anchor, node);
}

static int build(struct builder *builder, const yaml_event_t *event, unsigned depth,
		 struct node **ret)
{
	struct mark mark = mark_of(builder, event->start_mark);

	if (count_nodes(builder, 1, mark) < 0 || check_depth(builder, depth, mark) < 0)
		return -1;
	if (event->type == YAML_SCALAR_EVENT)
		return build_text(builder, event, ret);
	if (event->type == YAML_ALIAS_EVENT)
		return build_alias(builder, event, depth, ret);
	if (event->type == YAML_SEQUENCE_START_EVENT)
		return build_list(builder, event, depth, ret);
	return build_map(builder, event, depth, ret);
}

/* The place of a byte, for errors of the reader, which come without line and column. */
static struct mark mark_of_offset(const struct builder *builder, size_t offset)
{
	struct mark mark = { .source = builder->source, .line = 1, .column = 1 };

	for (size_t i = 0; i < offset && i < builder->source->length; i++) {
		uint8_t byte = (uint8_t)builder->source->text[i];

		if (byte == '\n') {
			mark.line++;
			mark.column = 1;
		} else if ((byte & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return mark;
}

static int next_event(struct builder *builder, yaml_event_t *event)
{
	const yaml_parser_t *parser = &builder->parser;
	const char *problem, *remedy = "";
	struct mark mark;

	if (yaml_parser_parse(&builder->parser, event))
		return 0;
	problem = parser->problem ? parser->problem : "not YAML";
	if (parser->error == YAML_READER_ERROR) {
		mark = mark_of_offset(builder, parser->problem_offset);
		remedy = " (save the file as UTF-8 text)";
	} else {
		mark = mark_of(builder, parser->problem_mark);
		if (parser->problem_mark.index < builder->source->length &&
		    strstr(problem, "cannot start any token") && parser->buffer.pointer &&
		    *parser->buffer.pointer == '\t')
			remedy = " (indent with spaces, not tabs)";
	}
	if (parser->context)
		report_add(builder->report, mark, "%s, %s%s", problem, parser->context, remedy);
	else
		report_add(builder->report, mark, "%s%s", problem, remedy);
	return -1;
}

/* Reads the next event and insists on its type; the event itself holds nothing of interest. */
static int expect(struct builder *builder, yaml_event_type_t type, const char *otherwise)
{
	yaml_event_t event;
	int result = 0;

	if (next_event(builder, &event) < 0)
		return -1;
	if (event.type != type) {
		report_add(builder->report, mark_of(builder, event.start_mark), "%s", otherwise);
		result = -1;
	}
	yaml_event_delete(&event);
	return result;
}

static int build_root(struct builder *builder)
{
	yaml_event_t event;
	int result;

	if (expect(builder, YAML_STREAM_START_EVENT, "not YAML") < 0 ||
	    next_event(builder, &event) < 0)
		return -1;
	result = event.type == YAML_STREAM_END_EVENT;
	yaml_event_delete(&event);
	if (result)
		return 0;
	if (next_event(builder, &event) < 0)
		return -1;
	result = build(builder, &event, 1, &builder->document->root);
	yaml_event_delete(&event);
	if (result < 0 || expect(builder, YAML_DOCUMENT_END_EVENT, "not YAML") < 0)
		return -1;
	return expect(builder, YAML_STREAM_END_EVENT,
		      "a second document begins here (one per file; split it)");
}

struct document *document_parse(const struct source *source, struct report *report)
{
	_cleanup_document_ struct document *document = xcalloc(1, sizeof(*document));
	struct builder builder = { .document = document, .source = source, .report = report };
	int result;

	if (!yaml_parser_initialize(&builder.parser))
		abort();
	yaml_parser_set_encoding(&builder.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&builder.parser, (const yaml_char_t *)source->text,
				     source->length);
	result = build_root(&builder);
	yaml_parser_delete(&builder.parser);
	free(builder.stack);
	free(builder.anchors);
	return result < 0 ? NULL : take_ptr(document);
}

struct document *document_free(struct document *document)
{
	if (!document)
		return NULL;
	arena_reset(&document->arena);
	free(document);
	return NULL;
}

const struct node *document_root(const struct document *document)
{
	return document->root;
}

bool node_is_null(const struct node *node)
{
	static const char *const words[] = { "", "~", "null", "Null", "NULL" };

	if (node->kind != NODE_TEXT || !node->is_plain)
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(node->text, words[i]) == 0)
			return true;
	return false;
}

const char *node_kind_name(const struct node *node)
{
	if (node->kind == NODE_LIST)
		return "a list";
	if (node->kind == NODE_MAP)
		return "a mapping";
	return node_is_null(node) ? "nothing" : "text";
}
