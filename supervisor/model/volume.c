/* SPDX-License-Identifier: Apache-2.0 */
#include "model/volume.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

char *spec_volume_format(const struct spec_volume *volume)
{
	return xasprintf("%s\t%" PRIu64 "\t%s\t%s", volume->name, volume->size_bytes,
			 volume->read_only ? "ro" : "rw", volume->target);
}

int spec_volume_parse(const char *line, struct spec_volume *ret, struct error *err)
{
	size_t name = strcspn(line, "\t");
	const char *size = line + name + (line[name] == '\t');
	char *end;
	uint64_t bytes = strtoull(size, &end, 10);

	if (!name || end == size || (strncmp(end, "\tro\t/", 5) && strncmp(end, "\trw\t/", 5)))
		return error_set(err, "'%.100s' does not describe a volume", line);
	*ret = (struct spec_volume){ .name = xstrndup(line, name),
				     .target = xstrdup(end + 4),
				     .size_bytes = bytes,
				     .read_only = end[2] == 'o' };
	return 0;
}

void spec_volume_reset(struct spec_volume *volume)
{
	free(volume->name);
	free(volume->target);
	*volume = (struct spec_volume){ 0 };
}

char *spec_volume_id(const struct spec *spec, const struct spec_volume *volume)
{
	if (spec->replica <= 1)
		return xasprintf("%s/%s", spec->tenant, volume->name);
	return xasprintf("%s/%s.%u", spec->tenant, volume->name, spec->replica);
}

bool spec_has_volume(const struct spec *spec, const char *id)
{
	bool found = false;

	STRV_EACH (line, &spec->volumes) {
		struct spec_volume volume = { 0 };
		char *own = NULL;

		if (!found && spec_volume_parse(line, &volume, NULL) == 0) {
			own = spec_volume_id(spec, &volume);
			found = strcmp(own, id) == 0;
		}
		free(own);
		spec_volume_reset(&volume);
	}
	return found;
}
