/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl image list, inspect, prune: what the daemon's store holds. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "ctl/client.h"
#include "ctl/print.h"

static void on_image(void *data, const char *key, const json_t *value)
{
	if (strcmp(key, "image") == 0)
		json_array_append(data, (json_t *)value);
}

static void print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* --- list --------------------------------------------------------------------------------------
 */

static const struct column columns[] = {
	{ "IMAGE", 20, CUT_HEAD },   { "DIGEST", 12, CUT_NEVER }, { "SIZE", 4, CUT_NEVER },
	{ "CREATED", 10, CUT_TAIL }, { "PULLED", 10, CUT_TAIL },  { "USED BY", 10, CUT_TAIL },
};
enum { COLUMN_COUNT = sizeof(columns) / sizeof(columns[0]), DIGEST_SHOWN = 12, DATE_SHOWN = 10 };

static const char *without_prefix(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) == 0 ? text + length : text;
}

static const char *text_at(const json_t *list, size_t i)
{
	const char *text = json_string_value(json_array_get(list, i));

	return text ? text : "";
}

static void add_users(struct strv *cells, const json_t *users)
{
	if (json_array_size(users) > 1)
		strv_addf(cells, "%s +%zu", text_at(users, 0), json_array_size(users) - 1);
	else
		strv_add(cells, text_at(users, 0));
}

/* A row for each reference; one for an image that none leads to any more. */
static void add_rows(struct strv *cells, const json_t *image)
{
	const json_t *references = json_object_get(image, "references");
	size_t count = json_array_size(references);

	for (size_t i = 0; i < (count ? count : 1); i++) {
		const char *digest = text_at(json_object_get(image, "digests"), i);
		struct strbuf size = { 0 };

		if (!*digest)
			digest = json_string_or(image, "id", "");
		strv_add(cells, count ? without_prefix(text_at(references, i), "docker.io/library/")
				      : "(none)");
		strv_add_taken(cells, xstrndup(without_prefix(digest, "sha256:"), DIGEST_SHOWN));
		print_bytes(&size, json_u64_or(image, "size", 0));
		strv_add_taken(cells, strbuf_take(&size));
		strv_add_taken(cells, xstrndup(json_string_or(image, "created", ""), DATE_SHOWN));
		strv_add_taken(cells, xstrndup(json_string_or(image, "pulled", ""), DATE_SHOWN));
		add_users(cells, json_object_get(image, "used_by"));
	}
}

int ctl_image_list(const struct ctl *ctl)
{
	_cleanup_json_ json_t *images = json_array();
	_cleanup_strv_ struct strv cells = { 0 };
	struct request request = { .command = COMMAND_IMAGE_LIST };
	struct error err = { 0 };
	json_t *image;
	size_t i;

	if (client_ask(ctl, &request, on_image, images, NULL, &err) < 0)
		return ctl_fail(&err);
	json_array_foreach (images, i, image)
		add_rows(&cells, image);
	if (ctl->is_json)
		print_json(images);
	else if (cells.count == 0)
		puts("no images (stokerctl image pull IMAGE fetches one)");
	else
		print_table(columns, COLUMN_COUNT, &cells, COLUMN_COUNT);
	return EXIT_DONE;
}

/* --- inspect -----------------------------------------------------------------------------------
 */

enum { TITLE_WIDTH = 12 };

static void print_line(const char *title, const char *text)
{
	printf("%-*s", TITLE_WIDTH, title);
	print_text(stdout, text);
	putchar('\n');
}

static void print_member(const json_t *image, const char *title, const char *key)
{
	const json_t *value = json_object_get(image, key);
	const json_t *item;
	size_t i;

	if (json_is_string(value) && *json_string_value(value))
		print_line(title, json_string_value(value));
	json_array_foreach (value, i, item)
		if (json_is_string(item))
			print_line(i == 0 ? title : "", json_string_value(item));
}

static void print_layers(const json_t *layers)
{
	const json_t *layer;
	size_t i;

	json_array_foreach (layers, i, layer) {
		_cleanup_strbuf_ struct strbuf line = { 0 };

		strbuf_printf(&line, "%s  %s  ", json_string_or(layer, "digest", "?"),
			      json_string_or(layer, "type", "?"));
		print_bytes(&line, json_u64_or(layer, "size", 0));
		print_line(i == 0 ? "layers" : "", strbuf_text(&line));
	}
}

static void print_image(const json_t *image)
{
	static const char *const members[][2] = {
		{ "created", "created" },
		{ "pulled", "pulled" },
		{ "used by", "used_by" },
		{ "platform", "platform" },
		{ "author", "author" },
		{ "entrypoint", "entrypoint" },
		{ "command", "command" },
		{ "environment", "environment" },
		{ "user", "user" },
		{ "directory", "working_dir" },
		{ "stop signal", "stop_signal" },
		{ "hash tree", "verity" },
		{ "ports", "ports" },
		{ "volumes", "volumes" },
		{ "labels", "labels" },
		{ "history", "history" },
	};
	_cleanup_strbuf_ struct strbuf size = { 0 };

	print_member(image, "image", "references");
	print_member(image, "digest", "digests");
	print_member(image, "config", "config");
	print_bytes(&size, json_u64_or(image, "size", 0));
	print_line("size", strbuf_text(&size));
	print_layers(json_object_get(image, "layers"));
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		print_member(image, members[i][0], members[i][1]);
	if (json_bool_or(image, "is_cut", false))
		puts("(it says more than is shown)");
}

int request_about_image(struct request *ret, enum protocol_command command, const struct ctl *ctl,
			struct error *err)
{
	*ret = (struct request){ .command = command };
	if (strlen(ctl->args[0]) > PROTOCOL_IMAGE_MAX)
		return error_set(err, "there is no image of such a long name");
	memcpy(ret->image, ctl->args[0], strlen(ctl->args[0]) + 1);
	return 0;
}

int ctl_image_inspect(const struct ctl *ctl)
{
	_cleanup_json_ json_t *images = json_array();
	struct request request;
	struct error err = { 0 };

	if (request_about_image(&request, COMMAND_IMAGE_INSPECT, ctl, &err) < 0 ||
	    client_ask(ctl, &request, on_image, images, NULL, &err) < 0)
		return ctl_fail(&err);
	if (ctl->is_json)
		print_json(json_array_get(images, 0));
	else
		print_image(json_array_get(images, 0));
	return EXIT_DONE;
}

/* --- prune -------------------------------------------------------------------------------------
 */

static void on_pruned(void *data, const char *key, const json_t *value)
{
	const struct ctl *ctl = data;
	const json_t *images = json_object_get(value, "images");
	_cleanup_strbuf_ struct strbuf line = { 0 };
	uint64_t blobs = json_u64_or(value, "blobs", 0);
	const json_t *image;
	size_t i;

	if (strcmp(key, "pruned") != 0)
		return;
	json_array_foreach (images, i, image)
		print_line(ctl->is_dry_run ? "would go" : "removed",
			   json_string_value(image) ? json_string_value(image) : "?");
	strbuf_printf(&line, "%zu image%s, ", json_array_size(images),
		      json_array_size(images) == 1 ? "" : "s");
	print_bytes(&line, json_u64_or(value, "image_bytes", 0));
	if (json_bool_or(value, "blobs_kept", false)) {
		strbuf_puts(&line, "; what was fetched stays, for something wanted is not here "
				   "yet");
	} else {
		strbuf_printf(&line, "; %llu file%s of no image, ", (unsigned long long)blobs,
			      blobs == 1 ? "" : "s");
		print_bytes(&line, json_u64_or(value, "blob_bytes", 0));
	}
	puts(strbuf_text(&line));
}

int ctl_image_prune(const struct ctl *ctl)
{
	struct request request = { .command = COMMAND_IMAGE_PRUNE, .is_dry_run = ctl->is_dry_run };
	struct error err = { 0 };

	if (client_ask(ctl, &request, on_pruned, (void *)ctl, NULL, &err) < 0)
		return ctl_fail(&err);
	return EXIT_DONE;
}
