/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/peek.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "instance/internal.h"

static void add(struct peek *peek, struct record *record)
{
	size_t count = peek->status.count;

	peek->specs = xreallocarray(peek->specs, count + 1, sizeof(*peek->specs));
	peek->status.instances = xreallocarray(peek->status.instances, count + 1,
					       sizeof(*peek->status.instances));
	peek->specs[count] = take_ptr(record->spec);
	peek->status.instances[count] = (struct instance_status){
		.spec = peek->specs[count],
		.phase = record->phase,
		.pid = record->pid,
		.restarts = record->restarts,
		.vmm = "",
	};
	peek->status.count++;
}

static int by_spec(const void *a, const void *b)
{
	const struct instance_status *left = a, *right = b;

	return spec_order(left->spec, right->spec);
}

int peek_read(const struct settings *settings, struct peek *ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/vm", settings->run_dir);
	DIR *dir = opendir(path);
	struct dirent *entry;

	*ret = (struct peek){ 0 };
	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return error_errno(err, errno, "%s: cannot list", path);
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *run_dir = xasprintf("%s/%s", path, entry->d_name);
		struct record record = { 0 };

		/* A slot without a whole record runs nothing that a start would adopt. */
		if (entry->d_name[0] == '.' || record_read(run_dir, &record, NULL) < 0)
			continue;
		add(ret, &record);
		record_reset(&record);
	}
	closedir(dir);
	if (ret->status.count)
		qsort(ret->status.instances, ret->status.count, sizeof(*ret->status.instances),
		      by_spec);
	return 0;
}

void peek_reset(struct peek *peek)
{
	for (size_t i = 0; i < peek->status.count; i++)
		spec_free(peek->specs[i]);
	free(peek->specs);
	fleet_status_reset(&peek->status);
	*peek = (struct peek){ 0 };
}
