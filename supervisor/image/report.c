/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records between stoker-image and the daemon. Both ends use this file; report_check is all
 * that stands between a worker that a hostile image has taken over and the daemon.
 */
#include "image/report.h"

#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "image/oci.h"

enum { LAYER_SIZE_MAX_GIB = 32 };

void report_send(int fd, const struct report *report)
{
	/* Less than PIPE_BUF (pipe(7)): a record is never torn apart. */
	_Static_assert(sizeof(*report) <= 4096, "a record fits into one atomic pipe write");
	fs_write_all(fd, report, sizeof(*report), NULL);
}

void report_failure(int fd, const struct error *err, bool retry)
{
	struct report report = { .magic = REPORT_MAGIC, .kind = REPORT_ERROR, .retry = retry };

	snprintf(report.text, sizeof(report.text), "%.*s", REPORT_TEXT_MAX - 1, err->text);
	for (char *c = report.text; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	report_send(fd, &report);
}

static bool text_printable(const struct report *report)
{
	size_t length = strnlen(report->text, sizeof(report->text));

	if (length == sizeof(report->text))
		return false;
	for (size_t i = 0; i < length; i++)
		if (report->text[i] < 0x20 || report->text[i] > 0x7e)
			return false;
	return true;
}

static int check_layer(const struct report *report, struct error *err)
{
	if (report->layer_type > LAYER_ZSTD)
		return error_set(err, "a layer of type %u", report->layer_type);
	if (report->total == 0 || report->total > (uint64_t)LAYER_SIZE_MAX_GIB << 30)
		return error_set(err, "a layer of %llu bytes", (unsigned long long)report->total);
	return 0;
}

int report_check(const struct report *report, struct error *err)
{
	bool wants_digest = false;

	if (report->magic != REPORT_MAGIC)
		return error_set(err, "a record without the magic number");
	if (!text_printable(report))
		return error_set(err, "a record with text that is not printable");
	switch (report->kind) {
	case REPORT_PROGRESS:
		if (report->stage > REPORT_BUILD)
			return error_set(err, "progress of stage %u", report->stage);
		if (report->count > (report->stage == REPORT_DOWNLOAD ? REPORT_LAYERS_MAX : 0))
			return error_set(err, "progress of layer %u", report->count);
		break;
	case REPORT_MANIFEST:
		wants_digest = true;
		if (report->count == 0 || report->count > REPORT_LAYERS_MAX)
			return error_set(err, "a manifest of %u layers", report->count);
		break;
	case REPORT_CONFIG:
		wants_digest = true;
		break;
	case REPORT_LAYER:
		wants_digest = true;
		if (check_layer(report, err) < 0)
			return -1;
		break;
	case REPORT_BUILT:
	case REPORT_DONE:
		break;
	case REPORT_ERROR:
		if (!report->text[0])
			return error_set(err, "an error without words");
		if (report->retry > 1)
			return error_set(err, "an error with retry %u", report->retry);
		break;
	default:
		return error_set(err, "a record of kind %u", report->kind);
	}
	if (wants_digest && !oci_digest_valid(report->text))
		return error_set(err, "a record with '%.80s' for a digest", report->text);
	return 0;
}
