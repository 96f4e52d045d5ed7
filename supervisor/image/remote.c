/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The origin that is a registry, and its mirrors, which are asked first. Documents come one after
 * the other, layers several at a time; the loop runs inside each call, until what was asked for is
 * there or has failed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "image/blob.h"
#include "image/fetch.h"
#include "image/registry.h"
#include "image/sha256.h"

enum { DOWNLOADS_MAX = 3, SOURCES_MAX = 1 + SETTINGS_MIRRORS_MAX, BUSY_WAIT_MS = 200 };

struct remote {
	struct fetch *fetch; /* borrowed */
	struct loop *loop;
	struct http *http;
	struct strv names; /* what the options of `sources` borrow */
	/* Mirrors in order, the registry itself last. One mirror that failed is not asked again:
	 * the next one is its remedy, not patience. */
	struct registry *sources[SOURCES_MAX];
	bool is_out[SOURCES_MAX];
	size_t source_count;
	struct error mirror_err; /* of the first that failed; "" while none has */
};

static const char *keep(struct remote *remote, char *text)
{
	strv_add_taken(&remote->names, text);
	return text;
}

static void add_source(struct remote *remote, const struct registry_options *options)
{
	remote->sources[remote->source_count++] = registry_new(options);
}

/* "host[:port][/path]" */
static void add_mirror(struct remote *remote, const char *mirror, struct registry_options options)
{
	size_t length = strcspn(mirror, "/");
	const char *path = mirror + length;

	options.name = options.authority = keep(remote, xstrndup(mirror, length));
	if (*path)
		options.repository = keep(remote, xasprintf("%s/%s", path + 1, options.repository));
	options.retries = 0;
	add_source(remote, &options);
}

static int remote_open(struct fetch *fetch, struct error *err)
{
	struct remote *remote = xcalloc(1, sizeof(*remote));
	struct registry_options options = { .hosts = &fetch->hosts,
					    .name = fetch->reference.registry,
					    .authority = fetch->reference.host,
					    .repository = fetch->reference.repository,
					    .retries = fetch->retries,
					    .stall_timeout_ms = fetch->stall_timeout_ms };

	fetch->state = remote;
	remote->fetch = fetch;
	remote->loop = options.loop = loop_new(err);
	if (!remote->loop)
		return -1;
	remote->http = options.http = http_new(remote->loop, err);
	if (!remote->http)
		return -1;
	STRV_EACH (mirror, &fetch->mirrors)
		add_mirror(remote, mirror, options);
	add_source(remote, &options);
	return 0;
}

static void remote_close(struct fetch *fetch)
{
	struct remote *remote = fetch->state;

	for (size_t i = 0; i < remote->source_count; i++)
		registry_free(remote->sources[i]);
	strv_reset(&remote->names);
	http_free(remote->http);
	loop_free(remote->loop);
	free(remote);
}

static bool is_mirror(const struct remote *remote, size_t source)
{
	return source + 1 < remote->source_count;
}

/* The first one from `source` on that may still be asked. */
static size_t next_source(const struct remote *remote, size_t source)
{
	while (remote->is_out[source])
		source++;
	return source;
}

static void give_up_mirror(struct remote *remote, size_t source, const struct error *err)
{
	remote->is_out[source] = true;
	if (!remote->mirror_err.text[0])
		remote->mirror_err = *err;
}

/* A registry that is out of reach on purpose says nothing of why its mirror did not do. */
static void add_mirror_error(const struct remote *remote, struct error *err)
{
	_cleanup_free_ char *own = xstrdup(err->text);

	if (remote->mirror_err.text[0])
		error_set(err, "%s; before that, %s", own, remote->mirror_err.text);
}

/* --- documents ------------------------------------------------------------------------------- */

struct document_get {
	struct remote *remote;
	struct strbuf bytes;
	char *type;
	struct error err;
	bool failed, retry;
};

static void document_reset(struct document_get *document)
{
	strbuf_reset(&document->bytes);
	free(take_ptr(document->type));
}

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
		document->retry = retry;
	}
	loop_stop(document->remote->loop);
}

/* fetch.c checks it too; here it decides whether the next source is asked. */
static void check_digest(struct document_get *document, const char *digest)
{
	char own[OCI_DIGEST_SIZE];

	sha256_digest(strbuf_text(&document->bytes), document->bytes.length, own);
	if (strcmp(own, digest) == 0)
		return;
	error_set(&document->err, "a mirror's manifest %s: its content has another digest", digest);
	document->failed = true;
}

static int remote_document(struct fetch *fetch, const struct oci_descriptor *want,
			   struct strbuf *ret, char **ret_type, struct error *err)
{
	struct remote *remote = fetch->state;
	const char *digest = want ? want->digest : fetch->reference.digest;
	_cleanup_free_ char *what = xasprintf("manifests/%s",
					      digest ? digest : fetch->reference.tag);

	for (size_t i = next_source(remote, 0);; i = next_source(remote, i + 1)) {
		struct document_get document = { .remote = remote };
		struct registry_sink sink = { document_restart, document_write, &document };

		registry_get(remote->sources[i], what, OCI_ACCEPT, 0, &sink, on_document,
			     &document);
		loop_run(remote->loop);
		if (!document.failed && digest && is_mirror(remote, i))
			check_digest(&document, digest);
		if (!document.failed) {
			*ret = document.bytes;
			*ret_type = document.type;
			return 0;
		}
		document_reset(&document);
		if (is_mirror(remote, i)) {
			give_up_mirror(remote, i, &document.err);
			continue;
		}
		add_mirror_error(remote, &document.err);
		fetch->retry = document.retry;
		if (err)
			*err = document.err;
		return -1;
	}
}

/* --- blobs ----------------------------------------------------------------------------------- */

struct downloads;

/* One blob on its way. */
struct download {
	struct downloads *all;
	const struct oci_descriptor *want; /* NULL: the slot is free */
	struct blob *blob;
	struct registry_get *get;
	struct watch *timer; /* owned; while another process has the blob */
	size_t source;
	bool is_second_try, is_elsewhere;
};

struct downloads {
	struct remote *remote;
	const struct oci_descriptor *const *wants;
	size_t count, next, finished;
	struct download slots[DOWNLOADS_MAX];
	struct error err;
	bool failed;
};

static void download_ask(struct download *download, const char *what);
static void download_begin(struct download *download);

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

static bool is_storage_error(const struct error *err)
{
	return err->number == ENOSPC || err->number == EDQUOT;
}

static void downloads_fail(struct downloads *all, const struct error *err, bool retry)
{
	all->failed = true;
	all->err = *err;
	add_mirror_error(all->remote, &all->err);
	all->remote->fetch->retry = retry;
	loop_stop(all->remote->loop);
}

static void download_next(struct download *download)
{
	struct downloads *all = download->all;

	download->blob = blob_free(download->blob);
	download->is_second_try = download->is_elsewhere = false;
	download->want = NULL;
	download->source = 0;
	if (all->failed || all->next == all->count)
		return;
	download->want = all->wants[all->next++];
	download_begin(download);
}

static void download_finished(struct download *download)
{
	struct downloads *all = download->all;

	if (++all->finished == all->count)
		loop_stop(all->remote->loop);
	else
		download_next(download);
}

/* --- blobs: what did not work, and what may ----------------------------------------------------
 */

static void ask_source(struct download *download)
{
	_cleanup_free_ char *what = xasprintf("blobs/%s", download->want->digest);

	download_ask(download, what);
}

/* A foreign layer that the registry does not have: its manifest says where it is. */
static int ask_elsewhere(struct download *download, struct error *err)
{
	struct fetch *fetch = download->all->remote->fetch;
	const char *url = fetch->layers ? oci_layer_url(fetch->layers, download->want->digest) : "";
	_cleanup_free_ char *authority = *url ? http_url_authority(url) : NULL;

	if (download->is_elsewhere || !*url)
		return -1;
	if (!fetch->allows_foreign)
		return error_set(err,
				 "layer %s is not in the registry but at '%.200s' (foreign_layers "
				 "in stoker.ini allows it)",
				 download->want->digest, url);
	if (strncmp(url, "https://", 8) != 0 &&
	    (strncmp(url, "http://", 7) != 0 || !hosts_is_insecure(&fetch->hosts, authority)))
		return error_set(err, "layer %s is at '%.200s', which is without TLS",
				 download->want->digest, url);
	download->is_elsewhere = true;
	download_ask(download, url);
	return 0;
}

/* True: it was asked again, or elsewhere. A proxy may have mangled it; a registry that lies will do
 * so again. */
static bool try_another_way(struct download *download, struct error *err)
{
	struct remote *remote = download->all->remote;

	if (is_storage_error(err))
		return false;
	if (err->number == ENOENT && !is_mirror(remote, download->source))
		return ask_elsewhere(download, err) == 0;
	if (err->number == EBADMSG && download_restart(download, err) < 0)
		return false;
	if (is_mirror(remote, download->source)) {
		give_up_mirror(remote, download->source, err);
		download->source = next_source(remote, download->source);
	} else if (err->number == EBADMSG && !download->is_second_try) {
		download->is_second_try = true;
	} else {
		return false;
	}
	ask_source(download);
	return true;
}

static void on_blob(void *data, const char *content_type, const struct error *err, bool retry)
{
	struct download *download = data;
	struct error why;

	(void)content_type;
	download->get = NULL;
	if (err) {
		why = *err;
	} else if (blob_finish(download->blob, NULL, &why) == 0) {
		download_finished(download);
		return;
	} else {
		retry = is_storage_error(&why);
	}
	if (!try_another_way(download, &why))
		downloads_fail(download->all, &why, retry);
}

static void download_ask(struct download *download, const char *what)
{
	struct remote *remote = download->all->remote;
	struct registry_sink sink = { download_restart, download_write, download };

	download->get = registry_get(remote->sources[download->source], what, NULL,
				     blob_size(download->blob), &sink, on_blob, download);
}

/* --- blobs: the start --------------------------------------------------------------------------
 */

/* Another fetcher had it: it is whole now, or there is more of it to go on with, or it is ours. */
static void on_wait_over(struct watch *watch, unsigned events, void *data)
{
	struct download *download = data;
	struct fetch *fetch = download->all->remote->fetch;

	(void)events;
	download->timer = watch_free(watch);
	if (!blob_cached(fetch->cache, download->want)) {
		download_begin(download);
		return;
	}
	fetch_progress(fetch, download->want, (int64_t)download->want->size);
	download_finished(download);
}

/* What an earlier process left may be all of it, though it had no time to say so. */
static bool is_whole(struct download *download, struct error *err)
{
	if (blob_size(download->blob) < download->want->size)
		return false;
	if (blob_finish(download->blob, NULL, err) == 0)
		return true;
	download_restart(download, err);
	return false;
}

static void download_begin(struct download *download)
{
	struct downloads *all = download->all;
	struct remote *remote = all->remote;
	struct error err = { 0 };
	int result = blob_resume(remote->fetch->cache, download->want, &download->blob, &err);

	if (result < 0) {
		downloads_fail(all, &err, is_storage_error(&err));
		return;
	}
	if (result > 0) {
		download->timer = loop_timer(remote->loop, BUSY_WAIT_MS, on_wait_over, download);
		return;
	}
	fetch_progress(remote->fetch, download->want, (int64_t)blob_size(download->blob));
	if (is_whole(download, &err)) {
		download_finished(download);
		return;
	}
	download->source = next_source(remote, 0);
	ask_source(download);
}

static void on_tick(struct watch *watch, unsigned events, void *data)
{
	(void)events;
	fetch_tell_progress(data);
	watch_rearm(watch, FETCH_PROGRESS_MS);
}

static int remote_blobs(struct fetch *fetch, const struct oci_descriptor *const *wants,
			size_t count, struct error *err)
{
	struct downloads all = { .remote = fetch->state, .wants = wants, .count = count };
	struct watch *ticks = loop_timer(all.remote->loop, FETCH_PROGRESS_MS, on_tick, fetch);

	for (size_t i = 0; i < DOWNLOADS_MAX && !all.failed; i++) {
		all.slots[i].all = &all;
		download_next(&all.slots[i]);
	}
	if (all.finished < count && !all.failed)
		loop_run(all.remote->loop);
	watch_free(ticks);
	for (size_t i = 0; i < DOWNLOADS_MAX; i++) {
		registry_get_free(all.slots[i].get);
		watch_free(all.slots[i].timer);
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
