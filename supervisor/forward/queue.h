/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that wait for the target, first come, first served, in bounded memory. A tenant may have
 * as much in it as is left (the "dynamic threshold" of Choudhury and Hahne): one that floods has
 * half, three have a quarter each, and there is always room for one who has said little. Private to
 * forward/.
 */
#ifndef STOKER_FORWARD_QUEUE_H
#define STOKER_FORWARD_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct queue;

struct queue *queue_new(size_t max_bytes);
struct queue *queue_free(struct queue *queue); /* NULL is fine; returns NULL */

/* Copies; false: there is no room for this tenant now. */
bool queue_push(struct queue *queue, const char *tenant, const void *bytes, size_t length);

/* The oldest, which stays where it is until it is popped; NULL: none. */
const void *queue_first(const struct queue *queue, size_t *ret_length);
void queue_pop(struct queue *queue);

size_t queue_count(const struct queue *queue);

#endif
