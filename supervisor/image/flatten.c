/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/build.c. Between image/layers.c (one layer's entries), image/merge.c (what they
 * mean) and image/squash.c (what becomes of them). The same layers give the same bytes: contents in
 * the order in which they are read, top layer first, then what a second reading brings.
 */
#include "image/flatten.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "image/layers.h"
#include "image/record.h"
#include "image/shadow.h"
#include "image/squash.h"

/* Of what was written, this part may be for nobody; with more the image is begun anew. */
enum { WASTE_PARTS = 256 };

struct flatten {
	const struct flatten_options *options;	   /* borrowed */
	struct squash *squash;			   /* owned */
	struct tree *tree;			   /* owned */
	struct shadow *shadow;			   /* owned */
	struct record *records[REPORT_LAYERS_MAX]; /* owned; of all layers but the bottom one */
	uint64_t record_bytes;
	struct layers_budget budget;
	struct layer_stream *ahead; /* owned; the next layer, which inflates already */

	size_t layer;	      /* the one that is read, from 0 */
	uint64_t written;     /* bytes of contents */
	uint64_t done, total; /* bytes of blobs */

	/* The second reading. */
	struct tree_inode **wanted; /* owned; by layer and place in it */
	size_t wanted_count, next;
};

static int wrap_layer(const struct flatten *flatten, size_t layer, struct error *err)
{
	return error_wrap(err, "layer %zu of %zu", layer + 1, flatten->options->layer_count);
}

static uint64_t blob_size(const struct layer_blob *layer)
{
	struct stat st;

	return fstat(layer->fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

static void report(void *data, uint64_t consumed)
{
	struct flatten *flatten = data;
	const struct flatten_options *options = flatten->options;

	if (options->progress)
		options->progress(options->data, flatten->done + consumed, flatten->total);
}

static int write_contents(void *data, const void *bytes, size_t length, struct error *err)
{
	struct flatten *flatten = data;

	return squash_write(flatten->squash, bytes, length, err);
}

static int end_contents(void *data, struct error *err)
{
	struct flatten *flatten = data;

	return squash_end_file(flatten->squash, err);
}

/* --- the first reading -------------------------------------------------------------------------
 */

static bool seems_visible(const struct flatten *flatten, const struct merge_entry *entry)
{
	return entry->kind == MERGE_FILE && entry->size > 0 &&
	       (uint64_t)entry->size <= LAYERS_FILES_MAX - flatten->written &&
	       !shadow_hides(flatten->shadow, entry->path);
}

static int keep_entry(void *data, struct merge_entry *entry, bool *ret_wanted, struct error *err)
{
	struct flatten *flatten = data;

	if (seems_visible(flatten, entry)) {
		if (squash_begin_file(flatten->squash, &entry->contents, err) < 0)
			return -1;
		flatten->written += (uint64_t)entry->size;
		*ret_wanted = true;
	}
	if (flatten->layer == 0)
		return merge_apply(flatten->tree, entry, err);
	return record_add(flatten->records[flatten->layer], entry, err);
}

static int cast_shadow(void *data, const struct merge_entry *entry, struct error *err)
{
	struct flatten *flatten = data;

	(void)err;
	shadow_add(flatten->shadow, entry->path, entry->kind == MERGE_DIRECTORY);
	return 0;
}

static int open_stream(const struct flatten *flatten, size_t layer, struct layer_stream **ret,
		       struct error *err)
{
	if (layer_stream_open(&flatten->options->layers[layer], LAYERS_BYTES_MAX, ret, err) < 0)
		return wrap_layer(flatten, layer, err);
	return 0;
}

/* Takes the stream that was opened ahead, and opens the one of the layer below. */
static int next_stream(struct flatten *flatten, struct layer_stream **ret, struct error *err)
{
	if (!flatten->ahead && open_stream(flatten, flatten->layer, &flatten->ahead, err) < 0)
		return -1;
	*ret = take_ptr(flatten->ahead);
	if (flatten->layer > 0 &&
	    open_stream(flatten, flatten->layer - 1, &flatten->ahead, err) < 0) {
		layer_stream_close(*ret);
		return -1;
	}
	return 0;
}

static int read_layer(struct flatten *flatten, struct error *err)
{
	const struct layers_visitor visitor = { keep_entry, write_contents, end_contents, flatten };
	const struct layers_progress progress = { report, flatten };
	size_t layer = flatten->layer;
	struct layer_stream *stream;
	int result;

	if (next_stream(flatten, &stream, err) < 0)
		return -1;
	if (layer > 0)
		flatten->records[layer] = record_new(&flatten->record_bytes);
	result = layers_read(stream, (uint32_t)layer + 1, &flatten->budget, &visitor, &progress,
			     err);
	layer_stream_close(stream);
	if (result < 0)
		return wrap_layer(flatten, layer, err);
	flatten->done += blob_size(&flatten->options->layers[layer]);
	return layer > 0 ? record_each(flatten->records[layer], cast_shadow, flatten, err) : 0;
}

static int merge_entry(void *data, const struct merge_entry *entry, struct error *err)
{
	return merge_apply(data, entry, err);
}

static int read_layers(struct flatten *flatten, struct error *err)
{
	size_t count = flatten->options->layer_count;

	for (size_t i = count; i > 0; i--) {
		flatten->layer = i - 1;
		if (read_layer(flatten, err) < 0)
			return -1;
	}
	for (size_t i = 1; i < count; i++) {
		if (record_each(flatten->records[i], merge_entry, flatten->tree, err) < 0)
			return wrap_layer(flatten, i, err);
		flatten->records[i] = record_free(flatten->records[i]);
	}
	flatten->shadow = shadow_free(flatten->shadow);
	return squash_check(flatten->tree, err);
}

/* --- what is still wanted ----------------------------------------------------------------------
 */

static int compare_places(const void *a, const void *b)
{
	const struct tree_inode *left = *(struct tree_inode *const *)a;
	const struct tree_inode *right = *(struct tree_inode *const *)b;

	if (left->file.layer != right->file.layer)
		return left->file.layer < right->file.layer ? -1 : 1;
	if (left->file.ordinal != right->file.ordinal)
		return left->file.ordinal < right->file.ordinal ? -1 : 1;
	return 0;
}

/* Files that have contents, each once however many names it has. */
static int list_files(struct flatten *flatten, struct error *err)
{
	size_t count = 0, unique = 0;
	uint64_t bytes = 0;

	flatten->wanted = xcalloc((size_t)tree_count(flatten->tree) + 1, sizeof(*flatten->wanted));
	for (struct tree_node *node = tree_root(flatten->tree); node; node = tree_next(node))
		if (S_ISREG(node->inode->mode) && node->inode->file.size > 0)
			flatten->wanted[count++] = node->inode;
	qsort(flatten->wanted, count, sizeof(struct tree_inode *), compare_places);
	for (size_t i = 0; i < count; i++) {
		if (unique > 0 && flatten->wanted[unique - 1] == flatten->wanted[i])
			continue;
		flatten->wanted[unique++] = flatten->wanted[i];
		bytes += flatten->wanted[i]->file.size;
		if (bytes > LAYERS_FILES_MAX)
			return error_set(err, "the image's files are larger than 64 GiB");
	}
	flatten->wanted_count = unique;
	return 0;
}

static int begin_image(struct flatten *flatten, struct error *err)
{
	const struct flatten_options *options = flatten->options;

	flatten->squash = squash_close(flatten->squash);
	if (ftruncate(options->fd, 0) < 0)
		return error_errno(err, errno, "squashfs: cannot truncate");
	return squash_open(options->fd, options->jobs, &options->compression, &flatten->squash,
			   err);
}

/* Of the listed files, leaves those that are not written: all of them, when too much was written
 * for nobody. */
static int choose_wanted(struct flatten *flatten, struct error *err)
{
	uint64_t used = 0;
	size_t count = 0;
	bool anew;

	for (size_t i = 0; i < flatten->wanted_count; i++)
		if (flatten->wanted[i]->file.contents)
			used += flatten->wanted[i]->file.size;
	anew = flatten->written - used > used / WASTE_PARTS;
	if (anew && begin_image(flatten, err) < 0)
		return -1;
	for (size_t i = 0; i < flatten->wanted_count; i++) {
		struct tree_inode *inode = flatten->wanted[i];

		if (anew)
			inode->file.contents = NULL;
		if (!inode->file.contents)
			flatten->wanted[count++] = inode;
	}
	flatten->wanted_count = count;
	return 0;
}

/* --- the second reading ------------------------------------------------------------------------
 */

static int find_entry(void *data, struct merge_entry *entry, bool *ret_wanted, struct error *err)
{
	struct flatten *flatten = data;
	struct tree_inode *inode = flatten->next < flatten->wanted_count
					   ? flatten->wanted[flatten->next]
					   : NULL;

	if (!inode || inode->file.layer != entry->layer || inode->file.ordinal != entry->ordinal)
		return 0;
	if (entry->kind != MERGE_FILE || (uint64_t)entry->size != inode->file.size)
		return error_set(err, "the layer changed while it was read");
	if (squash_begin_file(flatten->squash, &inode->file.contents, err) < 0)
		return -1;
	flatten->next++;
	*ret_wanted = true;
	return 0;
}

/* The digest is verified again, for a blob may change; the diffID follows from it. */
static int reread_layer(struct flatten *flatten, struct error *err)
{
	const struct layers_visitor visitor = { find_entry, write_contents, end_contents, flatten };
	const struct layers_progress progress = { report, flatten };
	CLEANUP(layer_stream_close_cleanup) struct layer_stream *stream = NULL;
	struct layer_blob known = flatten->options->layers[flatten->layer];

	known.diff_id[0] = '\0';
	if (layer_stream_open(&known, LAYERS_BYTES_MAX, &stream, err) < 0)
		return -1;
	return layers_read(stream, (uint32_t)flatten->layer + 1, NULL, &visitor, &progress, err);
}

static int reread_layers(struct flatten *flatten, struct error *err)
{
	const struct layer_blob *layers = flatten->options->layers;

	for (size_t i = 0; i < flatten->wanted_count; i++)
		if (i == 0 || flatten->wanted[i]->file.layer != flatten->wanted[i - 1]->file.layer)
			flatten->total += blob_size(&layers[flatten->wanted[i]->file.layer - 1]);
	while (flatten->next < flatten->wanted_count) {
		size_t before = flatten->next;

		flatten->layer = flatten->wanted[before]->file.layer - 1;
		if (reread_layer(flatten, err) < 0)
			return wrap_layer(flatten, flatten->layer, err);
		if (flatten->next < flatten->wanted_count &&
		    flatten->wanted[flatten->next]->file.layer == flatten->layer + 1) {
			error_set(err, "the layer changed while it was read");
			return wrap_layer(flatten, flatten->layer, err);
		}
		flatten->done += blob_size(&layers[flatten->layer]);
	}
	return 0;
}

/* --- all of it ---------------------------------------------------------------------------------
 */

int flatten_layers(const struct flatten_options *options, struct error *err)
{
	struct flatten flatten = { .options = options };
	int result;

	for (size_t i = 0; i < options->layer_count; i++)
		flatten.total += blob_size(&options->layers[i]);
	flatten.tree = tree_new();
	flatten.shadow = shadow_new();
	result = begin_image(&flatten, err);
	if (result == 0)
		result = read_layers(&flatten, err);
	if (result == 0)
		result = list_files(&flatten, err);
	if (result == 0)
		result = choose_wanted(&flatten, err);
	if (result == 0)
		result = reread_layers(&flatten, err);
	if (result == 0)
		result = squash_finish(flatten.squash, flatten.tree, err);
	layer_stream_close(flatten.ahead);
	squash_close(flatten.squash);
	for (size_t i = 0; i < options->layer_count; i++)
		record_free(flatten.records[i]);
	shadow_free(flatten.shadow);
	tree_free(flatten.tree);
	free(flatten.wanted);
	return result;
}
