/* SPDX-License-Identifier: Apache-2.0 */
/* `volumes` of a VM; called through schema.c. That no two VMs share one is validate.c's to see. */
#include "config/volumes.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/fields.h"
#include "config/scalar.h"
#include "model/volume.h"

static void parse_name(struct report *report, const struct node *node, struct spec_volume *volume)
{
	const char *text = node ? field_text(report, "name", node) : NULL;
	struct error err;

	if (!text)
		return;
	if (scalar_name(text, &err) < 0)
		field_refuse(report, "name", node, &err);
	else
		volume->name = xstrdup(text);
}

/* What the guest mounts there itself would hide a volume. */
static const char *find_system_mount(const char *target)
{
	static const char *const mounts[] = { "/proc", "/sys", "/dev", "/run/secrets" };

	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++)
		if (scalar_path_is_within(target, mounts[i]))
			return mounts[i];
	return NULL;
}

static void parse_target(struct report *report, const struct node *node, struct spec_volume *volume)
{
	const char *text = node ? field_text(report, "target", node) : NULL;
	const char *mount = text ? find_system_mount(text) : NULL;
	struct error err;

	if (!text)
		return;
	if (scalar_path(text, &err) < 0)
		field_refuse(report, "target", node, &err);
	else if (strspn(text, "/") == strlen(text))
		report_add(report, node->mark, "target: '/' is the image's");
	else if (mount)
		report_add(report, node->mark, "target: '%s' has a file system of its own", mount);
	else
		volume->target = xstrdup(text);
}

static bool has_target(const struct strv *list, const char *target)
{
	STRV_EACH (line, list) {
		const char *other = strrchr(line, '\t') + 1;

		if (scalar_path_is_within(other, target) && scalar_path_is_within(target, other))
			return true;
	}
	return false;
}

static bool has_name(const struct strv *list, const char *name)
{
	size_t length = strlen(name);

	STRV_EACH (line, list)
		if (strncmp(line, name, length) == 0 && line[length] == '\t')
			return true;
	return false;
}

static void add_volume(struct report *report, const struct node *node, struct vm_draft *vm)
{
	struct strv *list = &vm->spec.volumes;
	struct volume_draft draft = { .size_bytes = UINT64_C(1) << 30 };
	struct spec_volume volume = { 0 };

	schema_apply(&schema_volumes, report, node, node->mark, &draft);
	parse_name(report, draft.name, &volume);
	parse_target(report, draft.target, &volume);
	volume.size_bytes = draft.size_bytes;
	volume.read_only = draft.read_only;
	if (volume.name && has_name(list, volume.name)) {
		report_add(report, draft.name->mark, "volumes: '%s' is listed twice", volume.name);
	} else if (volume.target && has_target(list, volume.target)) {
		report_add(report, draft.target->mark, "volumes: '%s' is the target of two",
			   volume.target);
	} else if (volume.name && volume.target) {
		strv_add_taken(list, spec_volume_format(&volume));
		vm->volumes_bytes += volume.size_bytes;
	}
	spec_volume_reset(&volume);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

FIELD_PARSER(parse_volumes)
{
	struct vm_draft *vm = field;

	vm->volumes_mark = node->mark;
	if (node->kind != NODE_LIST) {
		report_add(report, node->mark, "'%s' must be a list, not %s", key->name,
			   node_kind_name(node));
		return;
	}
	if (node->count > VOLUMES_MAX) {
		report_add(report, node->mark, "'%s' has %zu items (at most %d)", key->name,
			   node->count, VOLUMES_MAX);
		return;
	}
	for (size_t i = 0; i < node->count; i++)
		add_volume(report, node->items[i], vm);
	/* A tab comes before all that a name can hold: the order is that of names. */
	if (vm->spec.volumes.count)
		qsort(vm->spec.volumes.items, vm->spec.volumes.count, sizeof(char *),
		      compare_lines);
}
