/* SPDX-License-Identifier: Apache-2.0 */
/* What an initrd holds, as far as the scripted guest looks into it: stoker's two configurations,
 * read by stoker-init's own code. */
#ifndef STOKER_TESTS_FAKES_FC_INITRD_H
#define STOKER_TESTS_FAKES_FC_INITRD_H

#include "base/error.h"
#include "guest-init/config.h"

struct initrd {
	struct config config; /* the manifest's; the stop signal may be the image's */
	char **words;	      /* the script; borrowed from config */
	size_t word_count;
};

/* Reads the cpio segments behind `fd`. Words of the manifest's `command` are the script; without
 * any it is "serve". *ret is owned by the caller for the life of the process. */
int initrd_read(int fd, struct initrd *ret, struct error *err);

#endif
