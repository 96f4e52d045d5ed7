/* SPDX-License-Identifier: Apache-2.0 */
/* `stoker-image verify`: a published squashfs against its hash tree. Run by worker.c. */
#ifndef STOKER_IMAGE_VERIFY_H
#define STOKER_IMAGE_VERIFY_H

/*
 * stoker-image verify, without arguments. Descriptors: 3 the report pipe, 4 the squashfs, 5 the
 * image's record. Within the walls of build. Returns the exit status: 0 after REPORT_BUILT, 1 after
 * REPORT_ERROR, 2 for arguments.
 */
int verify_main(int argc, char **argv);

#endif
