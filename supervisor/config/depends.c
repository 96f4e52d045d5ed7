/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `depends_on` over all VMs of a tenant: those whom it names exist and can become what it waits
 * for, and nobody waits for himself, be it by way of others. Called by validate.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/strbuf.h"
#include "config/scalar.h"
#include "config/validate.h"

enum state { UNSEEN, ON_PATH, DONE };

struct vertex {
	const struct vm_draft *vm;
	enum state state;
	size_t next; /* of its dependencies, to be looked at */
};

struct graph {
	struct report *report;
	struct vertex *vertices; /* owned; by name */
	size_t count;
	size_t *path; /* owned; from the first to the one that is looked at */
	size_t depth;
};

static int compare_vertices(const void *a, const void *b)
{
	return strcmp(((const struct vertex *)a)->vm->name, ((const struct vertex *)b)->vm->name);
}

static struct vertex *find(const struct graph *graph, const char *name)
{
	const struct vm_draft wanted = { .name = name };
	const struct vertex key = { .vm = &wanted };

	if (!graph->count)
		return NULL;
	return bsearch(&key, graph->vertices, graph->count, sizeof(key), compare_vertices);
}

/* The n-th that it waits for. */
static const struct node *name_at(const struct vm_draft *vm, size_t n)
{
	const struct node *node = vm->depends_on;

	return node->items[node->kind == NODE_MAP ? 2 * n : n];
}

static size_t dependency_count(const struct vm_draft *vm)
{
	const struct node *node = vm->depends_on;

	if (!node)
		return 0;
	return node->kind == NODE_MAP ? node->count / 2 : node->count;
}

/* --- whom ------------------------------------------------------------------------------------ */

static void refuse_unknown(const struct graph *graph, const struct node *name)
{
	_cleanup_free_ const char **names = xcalloc(graph->count + 1, sizeof(*names));
	const char *nearest;

	for (size_t i = 0; i < graph->count; i++)
		names[i] = graph->vertices[i].vm->name;
	nearest = scalar_nearest(name->text, names);
	if (nearest)
		report_add(graph->report, name->mark,
			   "depends_on: the tenant has no VM '%s' (did you mean '%s'?)", name->text,
			   nearest);
	else
		report_add(graph->report, name->mark, "depends_on: the tenant has no VM '%s'",
			   name->text);
}

static void check_names(const struct graph *graph, const struct vm_draft *vm)
{
	for (size_t i = 0; i < dependency_count(vm); i++) {
		const struct node *name = name_at(vm, i);
		const struct vertex *other = find(graph, name->text);
		const struct node *condition = vm->depends_on->kind == NODE_MAP
						       ? vm->depends_on->items[2 * i + 1]
						       : NULL;

		if (!other)
			refuse_unknown(graph, name);
		else if (condition && strcmp(condition->text, "healthy") == 0 &&
			 !other->vm->spec.healthcheck.count)
			report_add(graph->report, condition->mark,
				   "depends_on: '%s' has no healthcheck to become healthy by (give "
				   "it one, or wait until it is started)",
				   name->text);
	}
}

/* --- circles --------------------------------------------------------------------------------- */

static void refuse_circle(const struct graph *graph, const struct vertex *again,
			  const struct node *name)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	size_t first = graph->depth;

	while (&graph->vertices[graph->path[first - 1]] != again)
		first--;
	for (size_t i = first - 1; i < graph->depth; i++)
		strbuf_printf(&text, "%s -> ", graph->vertices[graph->path[i]].vm->name);
	report_add(graph->report, name->mark, "depends_on: none of these could start: %s%s",
		   strbuf_text(&text), again->vm->name);
}

static void enter(struct graph *graph, struct vertex *vertex)
{
	vertex->state = ON_PATH;
	graph->path[graph->depth++] = (size_t)(vertex - graph->vertices);
}

/* Depth first, without recursion: a chain may be as long as a manifest. */
static void walk(struct graph *graph, struct vertex *from)
{
	enter(graph, from);
	while (graph->depth) {
		struct vertex *vertex = &graph->vertices[graph->path[graph->depth - 1]];
		const struct node *name;
		struct vertex *other;

		if (vertex->next == dependency_count(vertex->vm)) {
			vertex->state = DONE;
			graph->depth--;
			continue;
		}
		name = name_at(vertex->vm, vertex->next++);
		other = find(graph, name->text);
		if (other && other->state == ON_PATH)
			refuse_circle(graph, other, name);
		else if (other && other->state == UNSEEN)
			enter(graph, other);
	}
}

void validate_dependencies(const struct draft *draft, struct report *report)
{
	for (size_t i = 0; i < draft->tenant_count; i++) {
		const struct tenant_draft *tenant = &draft->tenants[i];
		_cleanup_free_ struct vertex *vertices = xcalloc(tenant->vm_count,
								 sizeof(*vertices));
		_cleanup_free_ size_t *path = xcalloc(tenant->vm_count, sizeof(*path));
		struct graph graph = { report, vertices, tenant->vm_count, path, 0 };

		for (size_t j = 0; j < tenant->vm_count; j++)
			vertices[j].vm = &tenant->vms[j];
		qsort(vertices, tenant->vm_count, sizeof(*vertices), compare_vertices);
		for (size_t j = 0; j < tenant->vm_count; j++)
			check_names(&graph, &tenant->vms[j]);
		for (size_t j = 0; j < tenant->vm_count; j++)
			if (vertices[j].state == UNSEEN)
				walk(&graph, &vertices[j]);
	}
}
