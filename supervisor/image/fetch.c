/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `stoker-image fetch`: reference -> index -> manifest -> config and layers, every byte verified
 * before it is believed. Run by the daemon (image.c) as a uid of its own; speaks to it in records
 * (report.h) and leaves blobs in the cache.
 */
#include "image/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "image/blob.h"
#include "image/confine.h"
#include "image/report.h"
#include "image/sha256.h"
#include "loop/loop.h"

enum { RETRIES_DEFAULT = 3, REPORT_FD = 3 };

static const struct origin *const origins[] = {
	[REFERENCE_REGISTRY] = &origin_registry,
	[REFERENCE_OCI] = &origin_layout,
	[REFERENCE_OCI_ARCHIVE] = &origin_oci_archive,
	[REFERENCE_DOCKER_ARCHIVE] = &origin_docker_archive,
};

/* --- reports --------------------------------------------------------------------------------- */

static void report_progress(const struct fetch *fetch, enum report_stage stage)
{
	struct report report = { .magic = REPORT_MAGIC,
				 .kind = REPORT_PROGRESS,
				 .stage = stage,
				 .done = fetch->done,
				 .total = fetch->total };

	report_send(fetch->report, &report);
}

/* Those that have moved on since they were told. */
static void report_layer_progress(struct fetch *fetch)
{
	for (uint32_t i = 0; i < fetch->layers->layer_count; i++) {
		struct report report = { .magic = REPORT_MAGIC,
					 .kind = REPORT_PROGRESS,
					 .stage = REPORT_DOWNLOAD,
					 .count = i + 1,
					 .done = fetch->layer[i].done,
					 .total = fetch->layers->layers[i].size };

		if (fetch->layer[i].done == fetch->layer[i].told)
			continue;
		fetch->layer[i].told = fetch->layer[i].done;
		report_send(fetch->report, &report);
	}
}

static void tell_progress(struct fetch *fetch)
{
	fetch->last_progress_ms = loop_now_ms();
	fetch->told = fetch->done;
	report_layer_progress(fetch);
	report_progress(fetch, REPORT_DOWNLOAD);
}

void fetch_progress(struct fetch *fetch, const struct oci_descriptor *blob, int64_t bytes)
{
	bool is_layer = false;

	for (size_t i = 0; fetch->layers && i < fetch->layers->layer_count; i++)
		if (strcmp(fetch->layers->layers[i].digest, blob->digest) == 0) {
			fetch->layer[i].done += (uint64_t)bytes;
			is_layer = true;
		}
	if (!is_layer)
		return;
	fetch->done += (uint64_t)bytes;
	if (loop_now_ms() - fetch->last_progress_ms >= FETCH_PROGRESS_MS ||
	    fetch->done >= fetch->total)
		tell_progress(fetch);
}

void fetch_tell_progress(struct fetch *fetch)
{
	if (fetch->done != fetch->told)
		tell_progress(fetch);
}

static void report_digest(const struct fetch *fetch, enum report_kind kind, const char *digest,
			  uint32_t count)
{
	struct report report = { .magic = REPORT_MAGIC, .kind = kind, .count = count };

	snprintf(report.text, sizeof(report.text), "%s", digest);
	report_send(fetch->report, &report);
}

static void report_layers(const struct fetch *fetch, const struct oci_document *manifest)
{
	for (size_t i = 0; i < manifest->layer_count; i++) {
		const struct oci_descriptor *layer = &manifest->layers[i];
		struct report report = { .magic = REPORT_MAGIC,
					 .kind = REPORT_LAYER,
					 .layer_type = layer->layer_type,
					 .total = layer->size };

		snprintf(report.text, sizeof(report.text), "%s", layer->digest);
		report_send(fetch->report, &report);
	}
}

/* --- from the reference to a manifest -------------------------------------------------------- */

/* The parameters of a Content-Type do not count. */
static bool same_type(const char *type, const char *media_type)
{
	size_t length = strcspn(type, "; \t");

	return strlen(media_type) == length && strncmp(type, media_type, length) == 0;
}

/* One document, its digest checked: against its descriptor, or against the reference's when that
 * names one. */
static int get_document(struct fetch *fetch, const struct oci_descriptor *want,
			struct oci_document *ret, char ret_digest[OCI_DIGEST_SIZE],
			struct error *err)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	_cleanup_free_ char *type = NULL;
	const char *digest = want ? want->digest : fetch->reference.digest;
	struct oci_descriptor own = { 0 };

	if (want && want->size > OCI_MANIFEST_MAX)
		return error_set(err, "a manifest of %llu bytes (allowed: %d MiB)",
				 (unsigned long long)want->size, OCI_MANIFEST_MAX >> 20);
	if (fetch->origin->document(fetch, want, &bytes, &type, err) < 0)
		return -1;
	if (want && bytes.length != want->size)
		return error_set(err, "manifest %s: %zu bytes instead of %llu", want->digest,
				 bytes.length, (unsigned long long)want->size);
	sha256_digest(strbuf_text(&bytes), bytes.length, ret_digest);
	if (digest && strcmp(ret_digest, digest) != 0)
		return error_set(err, "manifest %s: its content has another digest", digest);
	if (want && type && !same_type(type, want->media_type))
		return error_set(err, "manifest %s: it comes as '%.80s', but its index says '%s'",
				 want->digest, type, want->media_type);
	if (oci_document_parse(strbuf_text(&bytes), bytes.length, want ? want->media_type : type,
			       ret, err) < 0)
		return -1;
	if (ret->is_index)
		return 0;
	/* Kept, so that what an image was made of can be looked at. */
	memcpy(own.digest, ret_digest, OCI_DIGEST_SIZE);
	own.size = bytes.length;
	if (blob_store(fetch->cache, &own, bytes.data, bytes.length, err) == 0)
		return 0;
	fetch->retry = err->number == ENOSPC || err->number == EDQUOT;
	oci_document_reset(ret);
	return -1;
}

static int resolve(struct fetch *fetch, struct oci_document *ret, char ret_digest[OCI_DIGEST_SIZE],
		   struct error *err)
{
	/* The names of a layout are in its index.json; a registry has none inside an index. */
	const char *ref_name = fetch->reference.kind == REFERENCE_REGISTRY ? NULL
									   : fetch->reference.tag;
	struct oci_document document;
	struct oci_descriptor next;

	if (get_document(fetch, NULL, &document, ret_digest, err) < 0)
		return -1;
	for (int depth = 0; document.is_index; depth++) {
		int chosen = oci_index_choose(&document, &fetch->platform, ref_name, &next, err);

		oci_document_reset(&document);
		if (chosen < 0)
			return -1;
		if (depth >= OCI_NESTING_MAX)
			return error_set(err, "indexes nested more than %d deep", OCI_NESTING_MAX);
		if (get_document(fetch, &next, &document, ret_digest, err) < 0)
			return -1;
		ref_name = NULL;
	}
	*ret = document;
	return 0;
}

/* --- config and layers ----------------------------------------------------------------------- */

static int get_config(struct fetch *fetch, const struct oci_document *manifest, struct error *err)
{
	const struct oci_descriptor *config = &manifest->config;
	_cleanup_strbuf_ struct strbuf bytes = { 0 };

	if (!blob_cached(fetch->cache, config) && fetch->origin->blobs(fetch, &config, 1, err) < 0)
		return -1;
	if (blob_read(fetch->cache, config, OCI_CONFIG_MAX, &bytes, err) < 0)
		return -1;
	return oci_config_check(strbuf_text(&bytes), bytes.length, manifest->layer_count,
				&fetch->platform, NULL, err);
}

/* Whatever the manifest says a layer is, its first bytes must agree. */
static int check_magic(struct fetch *fetch, const struct oci_descriptor *layer, struct error *err)
{
	static const unsigned char gzip[] = { 0x1f, 0x8b }, zstd[] = { 0x28, 0xb5, 0x2f, 0xfd };
	_cleanup_close_ int fd = openat(fetch->cache, layer->digest + strlen("sha256:"),
					O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	unsigned char start[4] = { 0 };
	enum layer_type type = LAYER_TAR;

	if (fd < 0 || pread(fd, start, sizeof(start), 0) < 0)
		return error_errno(err, errno, "layer %s", layer->digest);
	if (memcmp(start, gzip, sizeof(gzip)) == 0)
		type = LAYER_GZIP;
	else if (memcmp(start, zstd, sizeof(zstd)) == 0 ||
		 /* A skippable frame, RFC 8878, 3.1.2. */
		 ((start[0] & 0xf0) == 0x50 && memcmp(start + 1, "\x2a\x4d\x18", 3) == 0))
		type = LAYER_ZSTD;
	if (type != layer->layer_type)
		return error_set(err, "layer %s: its content is not what its media type says",
				 layer->digest);
	return 0;
}

static bool is_repeated(const struct oci_document *manifest, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(manifest->layers[i].digest, manifest->layers[index].digest) == 0)
			return true;
	return false;
}

/* The daemon says a byte, or ends this process: it may have the image already. By hand, where 3 is
 * a pipe to write to, nobody is asked. */
static void await_go_ahead(const struct fetch *fetch)
{
	char byte;

	while (read(fetch->report, &byte, 1) < 0 && errno == EINTR)
		;
}

static int get_layers(struct fetch *fetch, const struct oci_document *manifest, struct error *err)
{
	const struct oci_descriptor *missing[REPORT_LAYERS_MAX];
	size_t count = 0;

	fetch->layers = manifest;
	for (size_t i = 0; i < manifest->layer_count; i++) {
		const struct oci_descriptor *layer = &manifest->layers[i];

		if (is_repeated(manifest, i))
			continue;
		if (!blob_cached(fetch->cache, layer)) {
			missing[count++] = layer;
			fetch->total += layer->size;
			continue;
		}
		for (size_t j = i; j < manifest->layer_count; j++)
			if (strcmp(manifest->layers[j].digest, layer->digest) == 0)
				fetch->layer[j].done = layer->size;
	}
	report_layer_progress(fetch);
	/* The top layer first: what it has or hides is not wanted of those below. */
	for (size_t i = 0; i < count / 2; i++) {
		const struct oci_descriptor *low = missing[i];

		missing[i] = missing[count - 1 - i];
		missing[count - 1 - i] = low;
	}
	if (count > 0 && fetch->origin->blobs(fetch, missing, count, err) < 0)
		return -1;
	for (size_t i = 0; i < manifest->layer_count; i++)
		if (check_magic(fetch, &manifest->layers[i], err) < 0)
			return -1;
	return 0;
}

/* Everything is told before the layers are fetched: the daemon ends us here when it finds that it
 * has this image already. */
static int fetch_image(struct fetch *fetch, struct error *err)
{
	struct oci_document manifest;
	char digest[OCI_DIGEST_SIZE];
	int result;

	report_progress(fetch, REPORT_RESOLVE);
	if (fetch->origin->resolve ? fetch->origin->resolve(fetch, &manifest, digest, err) < 0
				   : resolve(fetch, &manifest, digest, err) < 0)
		return -1;
	result = get_config(fetch, &manifest, err);
	if (result == 0) {
		report_digest(fetch, REPORT_MANIFEST, digest, (uint32_t)manifest.layer_count);
		report_digest(fetch, REPORT_CONFIG, manifest.config.digest, 0);
		report_layers(fetch, &manifest);
		await_go_ahead(fetch);
		result = get_layers(fetch, &manifest, err);
		fetch->layers = NULL;
	}
	oci_document_reset(&manifest);
	if (result == 0) {
		struct report done = { .magic = REPORT_MAGIC, .kind = REPORT_DONE };

		report_send(fetch->report, &done);
	}
	return result;
}

/* --- the program ----------------------------------------------------------------------------- */

static int parse_fd(const char *text, int *ret, struct error *err)
{
	char *end;
	long fd = strtol(text, &end, 10);

	if (end == text || *end || fd < 3 || fd > 63 || fcntl((int)fd, F_GETFD) < 0)
		return error_set(err, "'%s' is not an open descriptor", text);
	*ret = (int)fd;
	return 0;
}

static int add_mirror(struct fetch *fetch, const char *mirror, struct error *err)
{
	if (fetch->mirrors.count == SETTINGS_MIRRORS_MAX)
		return error_set(err, "more than %d mirrors", SETTINGS_MIRRORS_MAX);
	strv_add(&fetch->mirrors, mirror);
	return 0;
}

static int take_option(struct fetch *fetch, int option, const char *value, struct error *err)
{
	switch (option) {
	case 'c':
		return parse_fd(value, &fetch->cache, err);
	case 's':
		return parse_fd(value, &fetch->source, err);
	case 'i':
		return hosts_add_insecure(&fetch->hosts, value, err);
	case 'a':
		return hosts_add_ca(&fetch->hosts, value, err);
	case 'u':
		/* A helper may do better the next time. */
		fetch->retry = hosts_add_credential(&fetch->hosts, value, err) < 0;
		return fetch->retry ? -1 : 0;
	case 't':
		return hosts_add_token_server(&fetch->hosts, value, err);
	case 'm':
		return add_mirror(fetch, value, err);
	case 'w':
		fetch->stall_timeout_ms = (uint32_t)strtoul(value, NULL, 10);
		return 0;
	case 'f':
		fetch->allows_foreign = true;
		return 0;
	case 'r':
		fetch->retries = (uint32_t)strtoul(value, NULL, 10);
		return 0;
	case 'p':
		return oci_platform_parse(value, &fetch->platform, err);
	default:
		return error_set(err, "unknown option");
	}
}

static int parse_arguments(int argc, char **argv, struct fetch *fetch, struct error *err)
{
	static const struct option options[] = {
		{ "cache-fd", required_argument, NULL, 'c' },
		{ "source-fd", required_argument, NULL, 's' },
		{ "insecure", required_argument, NULL, 'i' },
		{ "ca", required_argument, NULL, 'a' },
		{ "credential", required_argument, NULL, 'u' },
		{ "token-server", required_argument, NULL, 't' },
		{ "mirror", required_argument, NULL, 'm' },
		{ "stall", required_argument, NULL, 'w' },
		{ "foreign", no_argument, NULL, 'f' },
		{ "retries", required_argument, NULL, 'r' },
		{ "platform", required_argument, NULL, 'p' },
		{ 0 },
	};
	int option, result = 0;

	while (result == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		result = take_option(fetch, option, optarg, err);
	if (result < 0)
		return -1;
	if (optind != argc - 1 || fetch->cache < 0)
		return error_set(err, "usage: stoker-image fetch --cache-fd N [--source-fd N] "
				      "[--insecure HOST]... [--ca HOST=N]... "
				      "[--credential HOST=N]... [--token-server HOST=HOST]... "
				      "[--mirror HOST[/PATH]]... [--retries N] [--stall MS] "
				      "[--foreign] [--platform OS/ARCH] REFERENCE");
	if (reference_parse(argv[optind], &fetch->reference, err) < 0)
		return -1;
	if (fetch->reference.kind != REFERENCE_REGISTRY && fetch->source < 0)
		return error_set(err, "'%s' needs --source-fd", argv[optind]);
	return 0;
}

static int run(int argc, char **argv, struct fetch *fetch, struct error *err)
{
	int result;

	if (parse_arguments(argc, argv, fetch, err) < 0)
		return -1;
	fetch->origin = origins[fetch->reference.kind];
	result = fetch->origin->open(fetch, err);
	if (result == 0)
		result = confine_fetch(err);
	if (result == 0)
		result = fetch_image(fetch, err);
	fetch->origin->close(fetch);
	return result;
}

int fetch_main(int argc, char **argv)
{
	struct fetch fetch = {
		.report = REPORT_FD, .cache = -1, .source = -1, .retries = RETRIES_DEFAULT
	};
	struct error err = { 0 };
	int result;

	/* A daemon that went away is noticed by the next write, not by a signal. */
	signal(SIGPIPE, SIG_IGN);
	oci_platform_host(&fetch.platform);
	result = run(argc, argv, &fetch, &err);
	if (result < 0) {
		report_failure(fetch.report, &err, fetch.retry);
		/* Nothing reads this under the daemon; by hand it is the only word. */
		fprintf(stderr, "stoker-image: %s\n", err.text);
	}
	reference_reset(&fetch.reference);
	hosts_reset(&fetch.hosts);
	strv_reset(&fetch.mirrors);
	return result < 0 ? 1 : 0;
}
