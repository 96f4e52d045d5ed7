/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a layer: the header scan, libarchive, and merging into a tree that holds something
 * already. `make fuzz`, then: build-fuzz/fuzz_layers -max_len=65536 CORPUS
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "image/layers.h"
#include "image/squash.h"
#include "tests/unit/tarball.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const struct tar_item base[] = {
	{ '5', "usr/" },	 { '2', "bin", "usr" }, { '2', "loop", "loop" },
	{ '0', "f", NULL, "f" }, { '1', "g", "f" },	{ 0 },
};

static int merge(struct tree *tree, const void *bytes, size_t length, uint32_t layer)
{
	struct layer_blob blob = tar_blob(bytes, length, LAYER_TAR);
	struct layers_budget budget = { 0 };
	struct error err = { 0 };
	int result = tar_merge(tree, &blob, layer, &budget, &err);

	close(blob.fd);
	if ((result == 0) != (err.text[0] == '\0'))
		abort();
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct strbuf tar = { 0 };
	struct tree *tree = tree_new();

	for (const struct tar_item *item = base; item->type; item++)
		tar_add(&tar, item);
	tar_end(&tar);
	if (merge(tree, tar.data, tar.length, 1) < 0)
		abort();
	merge(tree, bytes, length, 2);
	tree_sort(tree);
	squash_check(tree, NULL);
	tree_free(tree);
	strbuf_reset(&tar);
	return 0;
}
