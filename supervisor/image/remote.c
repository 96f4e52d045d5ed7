/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The origin that is a registry. Documents come one after the other, layers several at a time; the
 * loop runs inside each call, until what was asked for is there or has failed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "image/blob.h"
#include "image/fetch.h"
#include "image/registry.h"

enum { DOWNLOADS_MAX = 3 };

struct remote {
	struct fetch *fetch; /* borrowed */
	struct loop *loop;
	struct http *http;
	struct registry *registry;
};

static int remote_open(struct fetch *fetch, struct error *err)
{
	struct remote *remote = xcalloc(1, sizeof(*remote));
	struct registry_options options = { .reference = &fetch->reference,
					    .insecure = &fetch->insecure,
					    .retries = fetch->retries };

	fetch->state = remote;
	remote->fetch = fetch;
	remote->loop = options.loop = loop_new(err);
	if (!remote->loop)
		return -1;
	remote->http = options.http = http_new(remote->loop, err);
	if (!remote->http)
		return -1;
	remote->registry = registry_new(&options);
	return 0;
}

static void remote_close(struct fetch *fetch)
{
	struct remote *remote = fetch->state;

	registry_free(remote->registry);
	http_free(remote->http);
	loop_free(remote->loop);
	free(remote);
}

/* --- documents ------------------------------------------------------------------------------- */

struct document_get {
	struct remote *remote;
	struct strbuf bytes;
	char *type;
	struct error err;
	bool failed;
};

static int document_restart(void *data, struct error *err)
{
	struct document_get *document = data;

	(void)err;
	strbuf_reset(&document->bytes);
	return 0;
}

static int document_write(void *data, const void *bytes, size_t length, struct error *err)
{
	struct document_get *document = data;

	if (document->bytes.length + length > OCI_MANIFEST_MAX)
		return error_set(err, "its manifest is larger than %d MiB", OCI_MANIFEST_MAX >> 20);
	strbuf_add(&document->bytes, bytes, length);
	return 0;
}

static void on_document(void *data, const char *content_type, const struct error *err, bool retry)
{
	struct document_get *document = data;

	document->type = xstrdup(content_type);
	if (err) {
		document->failed = true;
		document->err = *err;
		document->remote->fetch->retry = retry;
	}
	loop_stop(document->remote->loop);
}

static int remote_document(struct fetch *fetch, const struct oci_descriptor *want,
			   struct strbuf *ret, char **ret_type, struct error *err)
{
	struct remote *remote = fetch->state;
	struct document_get document = { .remote = remote };
	struct registry_sink sink = { document_restart, document_write, &document };
	const char *name = want			     ? want->digest
			   : fetch->reference.digest ? fetch->reference.digest
						     : fetch->reference.tag;
	_cleanup_free_ char *what = xasprintf("manifests/%s", name);

	registry_get(remote->registry, what, OCI_ACCEPT, &sink, on_document, &document);
	loop_run(remote->loop);
	if (document.failed) {
		strbuf_reset(&document.bytes);
		free(document.type);
		if (err)
			*err = document.err;
		return -1;
	}
	*ret = document.bytes;
	*ret_type = document.type;
	return 0;
}

/* --- blobs ----------------------------------------------------------------------------------- */

struct downloads;

/* One blob on its way. */
struct download {
	struct downloads *all;
	const struct oci_descriptor *want; /* NULL: the slot is free */
	struct blob *blob;
	struct registry_get *get;
	bool is_second_try;
};

struct downloads {
	struct remote *remote;
	const struct oci_descriptor *const *wants;
	size_t count, next, finished;
	struct download slots[DOWNLOADS_MAX];
	struct error err;
	bool failed;
};

static void download_start(struct download *download);

static int download_restart(void *data, struct error *err)
{
	struct download *download = data;

	fetch_progress(download->all->remote->fetch, download->want,
		       -(int64_t)blob_size(download->blob));
	return blob_restart(download->blob, err);
}

static int download_write(void *data, const void *bytes, size_t length, struct error *err)
{
	struct download *download = data;

	if (blob_write(download->blob, bytes, length, err) < 0)
		return -1;
	fetch_progress(download->all->remote->fetch, download->want, (int64_t)length);
	return 0;
}

static void downloads_fail(struct downloads *all, const struct error *err, bool retry)
{
	all->failed = true;
	all->err = *err;
	all->remote->fetch->retry = retry;
	loop_stop(all->remote->loop);
}

static void download_next(struct download *download)
{
	struct downloads *all = download->all;

	download->blob = blob_free(download->blob);
	download->is_second_try = false;
	download->want = NULL;
	if (all->next == all->count)
		return;
	download->want = all->wants[all->next++];
	download_start(download);
}

static void on_blob(void *data, const char *content_type, const struct error *err, bool retry)
{
	struct download *download = data;
	struct downloads *all = download->all;
	struct error why;

	(void)content_type;
	download->get = NULL;
	if (err) {
		why = *err;
	} else if (blob_finish(download->blob, NULL, &why) == 0) {
		if (++all->finished == all->count)
			loop_stop(all->remote->loop);
		else
			download_next(download);
		return;
	} else {
		retry = why.number == ENOSPC || why.number == EDQUOT;
	}
	/* A proxy may have mangled it; a registry that lies will do so again. */
	if (why.number == EBADMSG && !download->is_second_try) {
		download->is_second_try = true;
		if (download_restart(download, &why) == 0) {
			download_start(download);
			return;
		}
	}
	downloads_fail(all, &why, retry);
}

static void download_start(struct download *download)
{
	struct downloads *all = download->all;
	struct registry_sink sink = { download_restart, download_write, download };
	_cleanup_free_ char *what = xasprintf("blobs/%s", download->want->digest);
	struct error err;

	if (!download->blob &&
	    blob_begin(all->remote->fetch->cache, download->want, &download->blob, &err) < 0) {
		downloads_fail(all, &err, err.number == ENOSPC || err.number == EDQUOT);
		return;
	}
	download->get = registry_get(all->remote->registry, what, NULL, &sink, on_blob, download);
}

static int remote_blobs(struct fetch *fetch, const struct oci_descriptor *const *wants,
			size_t count, struct error *err)
{
	struct downloads all = { .remote = fetch->state, .wants = wants, .count = count };

	for (size_t i = 0; i < DOWNLOADS_MAX && !all.failed; i++) {
		all.slots[i].all = &all;
		download_next(&all.slots[i]);
	}
	if (count > 0 && !all.failed)
		loop_run(all.remote->loop);
	for (size_t i = 0; i < DOWNLOADS_MAX; i++) {
		registry_get_free(all.slots[i].get);
		blob_free(all.slots[i].blob);
	}
	if (all.failed && err)
		*err = all.err;
	return all.failed ? -1 : 0;
}

const struct origin origin_registry = {
	.open = remote_open,
	.close = remote_close,
	.document = remote_document,
	.blobs = remote_blobs,
};
