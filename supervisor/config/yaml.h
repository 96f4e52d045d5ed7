/* SPDX-License-Identifier: Apache-2.0 */
/* One YAML file as a tree of nodes, each with its place. Knows nothing of what the keys mean. */
#ifndef STOKER_CONFIG_YAML_H
#define STOKER_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "config/problems.h"

enum {
	YAML_DEPTH_MAX = 16,
	YAML_NODES_MAX = 100000, /* of one file, aliases counted as what they stand for */
};

enum node_kind { NODE_TEXT, NODE_LIST, NODE_MAP };

/* Borrowed from the document. A node that is aliased is one node with several parents. */
struct node {
	enum node_kind kind;
	bool is_plain;	 /* NODE_TEXT without quotes */
	unsigned height; /* 1 for text and for what is empty */
	size_t weight;	 /* nodes below it, itself included */
	struct mark mark;
	const char *text;    /* NODE_TEXT; never holds a NUL */
	struct node **items; /* NODE_LIST: items; NODE_MAP: key, value, key, value ... */
	size_t count;	     /* of items: even for NODE_MAP */
};

struct document;

/* Parses one document. Aliases are resolved, merge keys ("<<") merged, duplicate keys reported and
 * dropped. NULL after a syntax error, which is reported. The report must outlive it. */
struct document *document_parse(const struct source *source, struct report *report);
struct document *document_free(struct document *document);

/* NULL for an empty file. */
const struct node *document_root(const struct document *document);

/* Nothing was written: no value, "~" or "null", unquoted. */
bool node_is_null(const struct node *node);

/* "text", "a list", "a mapping": for messages. */
const char *node_kind_name(const struct node *node);

#define _cleanup_document_ CLEANUP(document_free_cleanup)
DEFINE_CLEANUP(struct document, document_free);

#endif
