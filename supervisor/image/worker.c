/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stoker-image: the processes that touch what strangers wrote. Started by the daemon's store
 * (image.c), never by hand; each command confines itself before it reads a byte.
 */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include "image/build.h"
#include "image/fetch.h"
#include "image/verify.h"

static const struct {
	const char *name;
	const char *process; /* what ps(1) shows: it is executed by descriptor, without a name */
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "fetch", "stoker-fetch", fetch_main },
	{ "build", "stoker-build", build_main },
	{ "verify", "stoker-verify", verify_main },
};

#ifdef __SANITIZE_ADDRESS__
/* No walls have a hole for the search for leaks: it stops the process by ptrace(2) from another one
 * and reads /proc. Of what is found while it runs the daemon hears this status. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0:exitcode=99";
}
#endif

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		prctl(PR_SET_NAME, commands[i].process);
		return commands[i].main(argc - 1, argv + 1);
	}
	fprintf(stderr, "usage: stoker-image fetch|build|verify ... (started by stokerd)\n");
	return 2;
}
