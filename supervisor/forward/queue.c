/* SPDX-License-Identifier: Apache-2.0 */
/* Called by forward.c. Tenants that have nothing in it are not known here. */
#include "forward/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct holder {
	struct holder *next;
	char *tenant; /* owned */
	size_t bytes; /* never 0 */
};

struct item {
	struct item *next;
	struct holder *holder;
	size_t length;
	char bytes[];
};

struct queue {
	size_t max, used; /* bytes, what the allocator adds not counted */
	size_t count;
	struct item *first, **end;
	struct holder *holders;
};

struct queue *queue_new(size_t max_bytes)
{
	struct queue *queue = xcalloc(1, sizeof(*queue));

	queue->max = max_bytes;
	queue->end = &queue->first;
	return queue;
}

struct queue *queue_free(struct queue *queue)
{
	if (!queue)
		return NULL;
	while (queue->first)
		queue_pop(queue);
	free(queue);
	return NULL;
}

static struct holder *find(const struct queue *queue, const char *tenant)
{
	struct holder *holder = queue->holders;

	while (holder && strcmp(holder->tenant, tenant) != 0)
		holder = holder->next;
	return holder;
}

static struct holder *add_holder(struct queue *queue, const char *tenant)
{
	struct holder *holder = xcalloc(1, sizeof(*holder));

	holder->tenant = xstrdup(tenant);
	holder->next = queue->holders;
	queue->holders = holder;
	return holder;
}

static void remove_holder(struct queue *queue, struct holder *holder)
{
	struct holder **at = &queue->holders;

	while (*at != holder)
		at = &(*at)->next;
	*at = holder->next;
	free(holder->tenant);
	free(holder);
}

bool queue_push(struct queue *queue, const char *tenant, const void *bytes, size_t length)
{
	struct holder *holder = find(queue, tenant);
	size_t size = sizeof(struct item) + length, left = queue->max - queue->used;
	struct item *item;

	if (size > left || (holder ? holder->bytes : 0) + size > left - size)
		return false;
	item = xcalloc(1, size);
	item->holder = holder ? holder : add_holder(queue, tenant);
	item->holder->bytes += size;
	item->length = length;
	memcpy(item->bytes, bytes, length);
	*queue->end = item;
	queue->end = &item->next;
	queue->used += size;
	queue->count++;
	return true;
}

const void *queue_first(const struct queue *queue, size_t *ret_length)
{
	if (!queue->first)
		return NULL;
	*ret_length = queue->first->length;
	return queue->first->bytes;
}

void queue_pop(struct queue *queue)
{
	struct item *item = queue->first;
	size_t size = sizeof(*item) + item->length;

	queue->first = item->next;
	if (!queue->first)
		queue->end = &queue->first;
	queue->used -= size;
	queue->count--;
	item->holder->bytes -= size;
	if (!item->holder->bytes)
		remove_holder(queue, item->holder);
	free(item);
}

size_t queue_count(const struct queue *queue)
{
	return queue->count;
}
