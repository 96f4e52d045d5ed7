/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that names the members; stokerctl reads them. */
#include "model/progress.h"

static void set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

void image_progress_to_json(const struct image_progress *progress, json_t *object)
{
	json_t *layers = json_array();

	for (size_t i = 0; i < progress->layer_count; i++) {
		json_t *layer = json_object();

		json_object_set_new(layer, "digest", json_string(progress->layers[i].digest));
		set_number(layer, "done", progress->layers[i].done);
		set_number(layer, "total", progress->layers[i].total);
		json_array_append_new(layers, layer);
	}
	json_object_set_new(object, "progress_stage", json_string(progress->stage));
	set_number(object, "progress_done", progress->done);
	set_number(object, "progress_total", progress->total);
	set_number(object, "progress_rate", progress->rate);
	if (progress->layer_count > 0)
		json_object_set(object, "progress_layers", layers);
	json_decref(layers);
}
