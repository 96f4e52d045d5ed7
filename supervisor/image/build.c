/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/worker.c, started by the daemon as an unprivileged user. The config is
 * read, the layers are flattened; the last record is REPORT_BUILT or REPORT_ERROR. Nothing here is
 * trusted by the daemon but that the files behind 4 and 5 hold what this process wrote.
 */
#include "image/build.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "guest-init/protocol.h"
#include "image/config.h"
#include "image/confine.h"
#include "image/flatten.h"
#include "image/layers.h"
#include "image/report.h"
#include "image/squash.h"
#include "image/verity.h"

enum { FD_REPORT = 3, FD_SQUASHFS, FD_RECORD, FD_CONFIG, FD_LAYERS };

enum { PROGRESS_STEPS = 100 };

struct build {
	unsigned jobs;
	struct compression compression;
	bool is_compression_given;
	bool has_verity;
	char config_digest[DIGEST_HEX + 1];
	struct layer_blob layers[REPORT_LAYERS_MAX];
	size_t layer_count;

	struct image_config config;
	uint64_t reported; /* bytes */
};

/* --- arguments ---------------------------------------------------------------------------------
 */

static int parse_count(const char *text, unsigned max, unsigned *ret, struct error *err)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < 1 || value > max)
		return error_set(err, "'%s' is not a number from 1 to %u", text, max);
	*ret = (unsigned)value;
	return 0;
}

static int parse_digest(const char *text, char ret[DIGEST_HEX + 1], struct error *err)
{
	const char *prefix = "sha256:";
	const char *hex = text + strlen(prefix);

	if (strncmp(text, prefix, strlen(prefix)) != 0 || strlen(hex) != DIGEST_HEX ||
	    strspn(hex, "0123456789abcdef") != DIGEST_HEX)
		return error_set(err, "'%s' is not a digest (sha256:, 64 hex digits)", text);
	memcpy(ret, hex, DIGEST_HEX + 1);
	return 0;
}

static int parse_layer(struct build *build, const char *text, struct error *err)
{
	static const char *const types[] = {
		[LAYER_TAR] = "tar:",
		[LAYER_GZIP] = "gzip:",
		[LAYER_ZSTD] = "zstd:",
	};
	struct layer_blob *layer = &build->layers[build->layer_count];

	if (build->layer_count == REPORT_LAYERS_MAX)
		return error_set(err, "more than %d layers", REPORT_LAYERS_MAX);
	for (size_t type = 0; type < sizeof(types) / sizeof(types[0]); type++) {
		size_t length = strlen(types[type]);

		if (strncmp(text, types[type], length) != 0)
			continue;
		layer->type = (enum layer_type)type;
		layer->fd = FD_LAYERS + (int)build->layer_count++;
		return parse_digest(text + length, layer->digest, err);
	}
	return error_set(err, "'%s' is not TYPE:DIGEST with TYPE tar, gzip or zstd", text);
}

static int parse_option(struct build *build, int option, struct error *err)
{
	switch (option) {
	case 'j':
		return parse_count(optarg, SQUASH_JOBS_MAX, &build->jobs, err);
	case 'z':
		build->is_compression_given = true;
		return compression_parse(optarg, &build->compression, err);
	case 'v':
		build->has_verity = true;
		return 0;
	case 'c':
		return parse_digest(optarg, build->config_digest, err);
	case 'y':
		return parse_layer(build, optarg, err);
	default:
		return error_set(err, "an unknown option, or one without its value");
	}
}

static int parse_arguments(struct build *build, int argc, char **argv, struct error *err)
{
	static const struct option options[] = {
		{ "jobs", required_argument, NULL, 'j' },
		{ "compress", required_argument, NULL, 'z' },
		{ "verity", no_argument, NULL, 'v' },
		{ "config-digest", required_argument, NULL, 'c' },
		{ "layer", required_argument, NULL, 'y' },
		{ 0 },
	};
	int option;

	opterr = 0;
	optind = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
		if (parse_option(build, option, err) < 0)
			return -1;
	if (optind < argc)
		return error_set(err, "'%s' is not an option", argv[optind]);
	if (build->jobs == 0 || !build->is_compression_given || !build->config_digest[0] ||
	    build->layer_count == 0)
		return error_set(err, "--jobs, --compress, --config-digest or --layer is missing");
	return 0;
}

/* --- reports -----------------------------------------------------------------------------------
 */

static void report_progress(void *data, uint64_t done, uint64_t total)
{
	struct build *build = data;
	struct report report = {
		.magic = REPORT_MAGIC,
		.kind = REPORT_PROGRESS,
		.stage = REPORT_BUILD,
		.done = done,
		.total = total,
	};

	if (done < build->reported + total / PROGRESS_STEPS)
		return;
	build->reported = done;
	report_send(FD_REPORT, &report);
}

static void report_built(void)
{
	struct report report = { .magic = REPORT_MAGIC, .kind = REPORT_BUILT };

	report_send(FD_REPORT, &report);
}

/* The host's trouble may pass; what an image is, it stays. */
static bool may_pass(const struct error *err)
{
	switch (err->number) {
	case ENOSPC:
	case EDQUOT:
	case EIO:
	case EAGAIN:
	case ENOMEM:
		return true;
	default:
		return false;
	}
}

/* --- the config --------------------------------------------------------------------------------
 */

static int read_config(struct build *build, struct error *err)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	char digest[DIGEST_HEX + 1];

	if (lseek(FD_CONFIG, 0, SEEK_SET) < 0)
		return error_errno(err, errno, "image config: cannot read");
	if (fs_read_fd(FD_CONFIG, "image config", IMAGE_CONFIG_MAX, &bytes, err) < 0 ||
	    layer_stream_digest(strbuf_text(&bytes), bytes.length, digest, err) < 0)
		return -1;
	if (strcmp(digest, build->config_digest) != 0)
		return error_set(err,
				 "image config: its digest is sha256:%s, not sha256:%s as "
				 "promised",
				 digest, build->config_digest);
	if (image_config_parse(strbuf_text(&bytes), bytes.length, &build->config, err) < 0)
		return -1;
	if (build->config.diff_ids.count != build->layer_count)
		return error_set(err, "image config: names %zu layers, the manifest %zu",
				 build->config.diff_ids.count, build->layer_count);
	for (size_t i = 0; i < build->layer_count; i++)
		memcpy(build->layers[i].diff_id, build->config.diff_ids.items[i], DIGEST_HEX + 1);
	return 0;
}

/* Where the guest, or stoker-image verify, finds the root of the tree. */
static int add_verity(struct build *build, struct error *err)
{
	struct config_entry entry = { .tag = htole32(CONFIG_VERITY) };
	char text[VERITY_TEXT_SIZE];

	if (!build->has_verity)
		return 0;
	if (verity_append(FD_SQUASHFS, text, err) < 0)
		return -1;
	entry.length = htole32((uint32_t)strlen(text));
	strbuf_add(&build->config.record, &entry, sizeof(entry));
	strbuf_puts(&build->config.record, text);
	return 0;
}

static int write_record(const struct build *build, struct error *err)
{
	const struct strbuf *record = &build->config.record;

	if (fs_write_all(FD_RECORD, record->data, record->length, err) < 0)
		return error_wrap(err, "image record");
	return 0;
}

static int write_notes(const struct build *build, struct error *err)
{
	const struct strbuf *notes = &build->config.notes;

	if (fs_write_all(FD_LAYERS + (int)build->layer_count, notes->data, notes->length, err) < 0)
		return error_wrap(err, "image notes");
	return 0;
}

/* --- all of it ---------------------------------------------------------------------------------
 */

static int run(struct build *build, struct error *err)
{
	const struct flatten_options options = {
		.fd = FD_SQUASHFS,
		.jobs = build->jobs,
		.compression = build->compression,
		.layers = build->layers,
		.layer_count = build->layer_count,
		.progress = report_progress,
		.data = build,
	};

	if (read_config(build, err) < 0 || flatten_layers(&options, err) < 0 ||
	    add_verity(build, err) < 0)
		return -1;
	return write_record(build, err) < 0 ? -1 : write_notes(build, err);
}

static void build_free(struct build *build)
{
	image_config_reset(&build->config);
	free(build);
}

int build_main(int argc, char **argv)
{
	struct build *build = xcalloc(1, sizeof(*build));
	struct error err = { 0 };
	int status = 0;

	/* A daemon that went away is noticed by nobody; the work is finished all the same. */
	signal(SIGPIPE, SIG_IGN);
	image_config_prepare();
	if (parse_arguments(build, argc, argv, &err) < 0) {
		fprintf(stderr, "stoker-image build: %s\n", err.text);
		status = 2;
	} else if (layers_prepare(&err) < 0 || confine_build(&err) < 0 || run(build, &err) < 0) {
		report_failure(FD_REPORT, &err, may_pass(&err));
		status = 1;
	} else {
		report_built();
	}
	build_free(build);
	return status;
}
