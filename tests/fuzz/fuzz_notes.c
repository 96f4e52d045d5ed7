/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as an image's configuration, and as the file of entries that a worker which was taken
 * over could leave: the daemon reads that as root.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "guest-init/protocol.h"
#include "image/config.h"
#include "image/notes.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What is shown steers no terminal. */
static void on_entry(void *data, uint32_t tag, const char *text, size_t length)
{
	json_t *shown = notes_text(text, length);
	size_t *count = data;

	(void)tag;
	(*count)++;
	for (const char *c = json_string_value(shown); *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			abort();
	json_decref(shown);
}

static int read_back(const void *bytes, size_t length)
{
	int fd = memfd_create("notes", MFD_CLOEXEC), result;
	size_t count = 0;
	char path[32];

	if (fd < 0 || fs_write_all(fd, bytes, length, NULL) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = notes_read(path, on_entry, &count, NULL);
	if (count > length / sizeof(struct config_entry))
		abort();
	close(fd);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct image_config config = { 0 };

	read_back(bytes, length);
	if (image_config_parse((const char *)bytes, length, &config, NULL) < 0)
		return 0;
	if (config.notes.length > NOTES_MAX ||
	    read_back(config.notes.data, config.notes.length) < 0 ||
	    read_back(config.record.data, config.record.length) < 0)
		abort();
	image_config_reset(&config);
	return 0;
}
