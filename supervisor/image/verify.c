/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/worker.c, started by the daemon before a guest starts whose kernel cannot check
 * its image by itself.
 */
#include "image/verify.h"

#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "guest-init/protocol.h"
#include "image/confine.h"
#include "image/layerstream.h"
#include "image/report.h"
#include "image/verity.h"

enum { FD_REPORT = 3, FD_SQUASHFS, FD_RECORD };

/* "" when there is none. */
static void find_text(const struct strbuf *record, char ret[VERITY_TEXT_SIZE])
{
	struct config_entry entry;
	size_t length;

	ret[0] = '\0';
	for (size_t at = 0; record->length - at >= sizeof(entry); at += length) {
		memcpy(&entry, record->data + at, sizeof(entry));
		at += sizeof(entry);
		length = le32toh(entry.length);
		if (length > record->length - at)
			return;
		if (le32toh(entry.tag) != CONFIG_VERITY || length >= VERITY_TEXT_SIZE)
			continue;
		memcpy(ret, record->data + at, length);
		ret[length] = '\0';
	}
}

static int run(struct error *err)
{
	_cleanup_strbuf_ struct strbuf record = { 0 };
	char text[VERITY_TEXT_SIZE];
	struct error why;

	if (fs_read_fd(FD_RECORD, "its record", CONFIG_FILE_MAX, &record, err) < 0)
		return -1;
	find_text(&record, text);
	if (verity_check(FD_SQUASHFS, text, &why) == 0)
		return 0;
	error_set(err,
		  "the image is damaged: %s (remove this file, and the next start makes the "
		  "image anew)",
		  why.text);
	return -1;
}

int verify_main(int argc, char **argv)
{
	struct report built = { .magic = REPORT_MAGIC, .kind = REPORT_BUILT };
	struct error err = { 0 };

	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	if (argc != 1) {
		fprintf(stderr, "stoker-image verify: takes no arguments\n");
		return 2;
	}
	if (layer_stream_prepare(&err) < 0 || confine_build(&err) < 0 || run(&err) < 0) {
		report_failure(FD_REPORT, &err, err.number == ENOMEM || err.number == EAGAIN);
		return 1;
	}
	report_send(FD_REPORT, &built);
	return 0;
}
