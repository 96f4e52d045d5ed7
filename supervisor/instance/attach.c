/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of this host that a guest gets, read at each of its starts: used by prepare.c for the
 * guest's configuration.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "instance/internal.h"

static int read_one(const char *line, bool is_secret, struct attachments *all, struct error *err)
{
	struct spec_file *file = &all->files[all->count];
	struct strbuf *content = &all->contents[all->count];

	if (spec_file_parse(line, file, err) < 0)
		return -1;
	all->count++;
	if (file->is_inline) {
		strbuf_puts(content, file->text);
	} else if (fs_read_owned(file->text, FILE_BYTES_MAX, is_secret, content, err) < 0) {
		return error_wrap(err, "%s '%s': %s", is_secret ? "secret" : "file", file->path,
				  file->text);
	}
	all->items[all->count - 1] = (struct guest_file){ .path = file->path,
							  .user = file->user,
							  .mode = file->mode,
							  .is_secret = is_secret,
							  .content = strbuf_text(content),
							  .length = content->length };
	return 0;
}

static int read_all(const struct spec *spec, struct attachments *all, struct error *err)
{
	STRV_EACH (line, &spec->files)
		if (read_one(line, false, all, err) < 0)
			return -1;
	STRV_EACH (line, &spec->secrets)
		if (read_one(line, true, all, err) < 0)
			return -1;
	return 0;
}

int attachments_read(const struct spec *spec, struct attachments *ret, struct error *err)
{
	size_t count = spec->files.count + spec->secrets.count;
	struct attachments all = { .items = xcalloc(count, sizeof(*all.items)),
				   .files = xcalloc(count, sizeof(*all.files)),
				   .contents = xcalloc(count, sizeof(*all.contents)) };

	if (read_all(spec, &all, err) < 0) {
		attachments_reset(&all);
		return -1;
	}
	*ret = all;
	return 0;
}

void attachments_reset(struct attachments *attachments)
{
	for (size_t i = 0; i < attachments->count; i++) {
		struct strbuf *content = &attachments->contents[i];

		if (content->length)
			explicit_bzero(content->data, content->length);
		strbuf_reset(content);
		spec_file_reset(&attachments->files[i]);
	}
	free(attachments->items);
	free(attachments->files);
	free(attachments->contents);
	*attachments = (struct attachments){ 0 };
}
