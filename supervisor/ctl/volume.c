/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl volume list, prune: the named volumes of this host. */
#include <string.h>

#include "base/alloc.h"
#include "ctl/client.h"
#include "ctl/print.h"

static const struct column columns[] = { { "VOLUME", 20, CUT_NEVER },
					 { "SIZE", 6, CUT_NEVER },
					 { "ON DISK", 7, CUT_NEVER },
					 { "USED BY", 10, CUT_TAIL } };
enum { COLUMN_COUNT = sizeof(columns) / sizeof(columns[0]) };

static void on_volume(void *data, const char *key, const json_t *value)
{
	if (strcmp(key, "volume") == 0 || strcmp(key, "pruned") == 0)
		json_array_append(data, (json_t *)value);
}

static char *bytes_text(const json_t *volume, const char *key)
{
	struct strbuf text = { 0 };

	print_bytes(&text, json_u64_or(volume, key, 0));
	return strbuf_take(&text);
}

int ctl_volume_list(const struct ctl *ctl)
{
	_cleanup_json_ json_t *volumes = json_array();
	_cleanup_strv_ struct strv cells = { 0 };
	struct request request = { .command = COMMAND_VOLUME_LIST };
	struct error err = { 0 };
	json_t *volume;
	size_t i;

	if (client_ask(ctl, &request, on_volume, volumes, NULL, &err) < 0)
		return ctl_fail(&err);
	json_array_foreach (volumes, i, volume) {
		strv_add(&cells, json_string_or(volume, "volume", "?"));
		strv_add_taken(&cells, bytes_text(volume, "size"));
		strv_add_taken(&cells, bytes_text(volume, "used"));
		strv_add(&cells, json_string_or(volume, "used_by", ""));
	}
	if (ctl->is_json) {
		json_dumpf(volumes, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (cells.count == 0) {
		puts("no volumes (a VM's key 'volumes' makes them, see stoker-fleet(5))");
	} else {
		print_table(columns, COLUMN_COUNT, &cells, COLUMN_COUNT);
	}
	return EXIT_DONE;
}

int ctl_volume_prune(const struct ctl *ctl)
{
	_cleanup_json_ json_t *volumes = json_array();
	struct request request = { .command = COMMAND_VOLUME_PRUNE, .is_dry_run = ctl->is_dry_run };
	_cleanup_strbuf_ struct strbuf line = { 0 };
	struct error err = { 0 };
	uint64_t bytes = 0;
	json_t *volume;
	size_t i;
	int result = client_ask(ctl, &request, on_volume, volumes, NULL, &err);

	json_array_foreach (volumes, i, volume) {
		printf("%-10s  %s\n", ctl->is_dry_run ? "would go" : "removed",
		       json_string_or(volume, "volume", "?"));
		bytes += json_u64_or(volume, "used", 0);
	}
	if (result < 0)
		return ctl_fail(&err);
	strbuf_printf(&line, "%zu volume%s, ", json_array_size(volumes),
		      json_array_size(volumes) == 1 ? "" : "s");
	print_bytes(&line, bytes);
	puts(strbuf_text(&line));
	return EXIT_DONE;
}
