/* SPDX-License-Identifier: Apache-2.0 */
/* `stoker-image build`: verified layers -> one squashfs. Run by worker.c. */
#ifndef STOKER_IMAGE_BUILD_H
#define STOKER_IMAGE_BUILD_H

enum {
	/* Part of an image's id: raised when the same layers would become another file system. */
	BUILD_VERSION = 2,
};

/*
 * stoker-image build --jobs N --compress C --config-digest D [--verity] --layer TYPE:D [--layer
 * TYPE:D]... where --verity adds a hash tree (image/verity.h), C is as in model/compression.h, TYPE
 * is tar, gzip or zstd and D is sha256:HEX. Descriptors: 3 the report pipe, 4 the squashfs to
 * write, 5 the image record to write, 6 the config blob, 7+i layer i, bottom first, and after the
 * last layer the notes to write. Confines itself before it reads a blob. Returns the exit status: 0
 * after REPORT_BUILT, 1 after REPORT_ERROR, 2 for wrong arguments.
 */
int build_main(int argc, char **argv);

#endif
