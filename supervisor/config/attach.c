/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of this host that a guest gets: `files` anywhere in its file system, `secrets` in a tmpfs.
 * Called through schema.c. A source is read here for its hash alone, so that a reload notices when
 * it has changed; the instance reads it again when the VM starts.
 */
#include "config/attach.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "config/fields.h"
#include "config/scalar.h"
#include "config/source.h"
#include "model/file.h"

enum { ATTACHMENTS_MAX = 64, NAME_BYTES_MAX = 255 };

struct kind {
	const char *key;
	const struct schema *schema;
	bool is_secret;
	uint32_t mode; /* when none is written */
};

static const struct kind files = { "files", &schema_files, false, 0644 };
static const struct kind secrets = { "secrets", &schema_secrets, true, 0400 };

static void parse_mode(struct report *report, const struct kind *kind, const struct node *node,
		       struct spec_file *file)
{
	const char *text = node ? field_text(report, "mode", node) : NULL;
	char *end;
	unsigned long mode;

	file->mode = kind->mode;
	if (!text)
		return;
	mode = strtoul(text, &end, 8);
	if (*text < '0' || *text > '7' || *end || mode > 0777)
		report_add(report, node->mark, "mode: '%s' is not one (such as 0640)", text);
	else
		file->mode = (uint32_t)mode;
}

static void parse_user(struct report *report, const struct node *node, struct spec_file *file)
{
	const char *text = node ? field_text(report, "user", node) : NULL;
	struct error err;

	if (text && scalar_user(text, &err) < 0)
		field_refuse(report, "user", node, &err);
	file->user = xstrdup(text ? text : "");
}

/* What the guest has there is not kept in files, or is its kernel's. */
static bool is_taken(const char *path)
{
	static const char *const taken[] = { "/proc", "/sys", "/dev", "/run/secrets" };

	for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
		size_t length = strlen(taken[i]);

		if (strncmp(path, taken[i], length) == 0 &&
		    (path[length] == '/' || path[length] == '\0'))
			return true;
	}
	return false;
}

static void parse_path(struct report *report, const struct node *node, struct spec_file *file)
{
	const char *text = node ? field_text(report, "path", node) : NULL;
	struct error err;

	if (!text)
		return;
	if (scalar_path(text, &err) < 0)
		field_refuse(report, "path", node, &err);
	else if (text[strlen(text) - 1] == '/' || strstr(text, "//"))
		report_add(report, node->mark, "path: '%s' does not name a file", text);
	else if (is_taken(text))
		report_add(report, node->mark,
			   "path: '%s' lies where the guest has other things (choose another)",
			   text);
	else
		file->path = xstrdup(text);
}

/* A secret's name; without one, that of its source. */
static void parse_name(struct report *report, const struct attachment *item, struct spec_file *file)
{
	const struct node *node = item->path ? item->path : item->source;
	const char *text = node ? field_text(report, item->path ? "target" : "source", node) : NULL;
	const char *slash = text && !item->path ? strrchr(text, '/') : NULL;
	const char *name = slash ? slash + 1 : text;

	if (!name)
		return;
	if (*name == '\0' || *name == '.' || strlen(name) > NAME_BYTES_MAX || strchr(name, '/'))
		report_add(report, node->mark,
			   "target: '%s' is not a name (a secret NAME is /run/secrets/NAME)", name);
	else if (strpbrk(name, "\t\n\r"))
		report_add(report, node->mark, "target: the name holds a control character");
	else
		file->path = xstrdup(name);
}

static void read_source(struct report *report, const struct kind *kind, const struct node *node,
			struct spec_file *file, size_t *total)
{
	const char *text = field_text(report, "source", node);
	_cleanup_strbuf_ struct strbuf content = { 0 };
	struct error err;

	if (!text)
		return;
	if (strpbrk(text, "\t\n\r")) {
		report_add(report, node->mark, "source: the name holds a control character");
		return;
	}
	file->text = source_beside(node->mark.source->path, text);
	if (fs_read_owned(file->text, FILE_BYTES_MAX, kind->is_secret, &content, &err) < 0) {
		report_add(report, node->mark, "source: '%s': %s", text, err.text);
		return;
	}
	spec_file_hash(strbuf_text(&content), content.length, file->hash);
	*total += content.length;
	if (kind->is_secret && content.length)
		explicit_bzero(content.data, content.length);
}

static void take_content(struct report *report, const struct node *node, struct spec_file *file,
			 size_t *total)
{
	const char *text = field_text(report, "content", node);

	if (!text)
		return;
	if (strlen(text) > FILE_BYTES_MAX)
		report_add(report, node->mark, "content: larger than %d KiB", FILE_BYTES_MAX >> 10);
	file->is_inline = true;
	file->text = xstrdup(text);
	*total += strlen(text);
}

static void parse_attachment(struct report *report, const struct kind *kind,
			     const struct node *node, struct spec_file *file, size_t *total)
{
	struct attachment item = { 0 };

	schema_apply(kind->schema, report, node, node->mark, &item);
	if (kind->is_secret)
		parse_name(report, &item, file);
	else
		parse_path(report, item.path, file);
	parse_mode(report, kind, item.mode, file);
	parse_user(report, item.user, file);
	if (item.source && item.content)
		report_add(report, item.content->mark, "content: there is a source already");
	else if (item.source)
		read_source(report, kind, item.source, file, total);
	else if (item.content)
		take_content(report, item.content, file, total);
	else if (!kind->is_secret && node->kind == NODE_MAP)
		report_add(report, node->mark, "a file needs a source or a content");
}

static bool is_listed(const struct strv *list, const char *path)
{
	size_t length = strlen(path);

	STRV_EACH (line, list)
		if (strncmp(line, path, length) == 0 && line[length] == '\t')
			return true;
	return false;
}

static int compare_lines(const void *a, const void *b)
{
	const char *left = *(char *const *)a, *right = *(char *const *)b;
	size_t left_length = strcspn(left, "\t"), right_length = strcspn(right, "\t");
	int order = memcmp(left, right, left_length < right_length ? left_length : right_length);

	return order ? order : (left_length > right_length) - (left_length < right_length);
}

static void parse_list(struct report *report, const struct kind *kind, const struct node *node,
		       struct strv *list)
{
	size_t total = 0;

	strv_reset(list);
	if (node->kind != NODE_LIST) {
		report_add(report, node->mark, "'%s' must be a list, not %s", kind->key,
			   node_kind_name(node));
		return;
	}
	if (node->count > ATTACHMENTS_MAX) {
		report_add(report, node->mark, "'%s' has %zu items (at most %d)", kind->key,
			   node->count, ATTACHMENTS_MAX);
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		struct spec_file file = { 0 };

		parse_attachment(report, kind, node->items[i], &file, &total);
		if (file.path && is_listed(list, file.path))
			report_add(report, node->items[i]->mark, "%s: '%s' is listed twice",
				   kind->key, file.path);
		else if (file.path && file.text)
			strv_add_taken(list, spec_file_format(&file));
		spec_file_reset(&file);
	}
	if (total > FILES_BYTES_MAX)
		report_add(report, node->mark, "%s: %zu KiB in all (at most %d)", kind->key,
			   total >> 10, FILES_BYTES_MAX >> 10);
	if (list->count)
		qsort(list->items, list->count, sizeof(char *), compare_lines);
}

FIELD_PARSER(field_files)
{
	(void)key;
	parse_list(report, &files, node, field);
}

FIELD_PARSER(field_secrets)
{
	(void)key;
	parse_list(report, &secrets, node, field);
}
