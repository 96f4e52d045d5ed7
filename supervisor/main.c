/* SPDX-License-Identifier: Apache-2.0 */
/* stokerd [-c stoker.ini] [-n | -S]: parse, load, run. See stokerd(8). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "config/load.h"
#include "daemon.h"
#include "shutdown.h"

enum { EXIT_USAGE = 2 };

static int usage(FILE *out, int code)
{
	fputs("usage: stokerd [-c stoker.ini] [-n | -S] [-V]\n"
	      "  -c FILE  settings (default: " STOKER_SYSCONFDIR "/stoker/stoker.ini)\n"
	      "  -n       check settings and manifests, print the plan, change nothing\n"
	      "  -S       stop all VMs gracefully, and end; for the host's shutdown\n"
	      "  -V       print the version\n",
	      out);
	return code;
}

enum mode { MODE_DAEMON, MODE_DRY_RUN, MODE_SHUTDOWN };

static int run(const char *path, enum mode mode)
{
	struct problems problems = { 0 };
	struct settings settings = { 0 };
	struct error err = { 0 };
	int code;

	if (settings_load(path, &settings, &problems) < 0) {
		fputs(strbuf_text(&problems.text), stderr);
		problems_reset(&problems);
		return EXIT_FAILURE;
	}
	problems_reset(&problems);
	log_set_level((enum log_level)settings.log_level);
	if (mode == MODE_DRY_RUN) {
		code = daemon_dry_run(&settings);
	} else {
		int result = mode == MODE_SHUTDOWN ? shutdown_run(&settings, &err)
						   : daemon_run(&settings, &err);

		if (result < 0)
			log_error("%s", err.text);
		code = result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	settings_reset(&settings);
	return code;
}

int main(int argc, char **argv)
{
	const char *path = STOKER_SYSCONFDIR "/stoker/stoker.ini";
	enum mode mode = MODE_DAEMON;
	int option;

	while ((option = getopt(argc, argv, "c:nSVh")) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'n':
		case 'S':
			if (mode != MODE_DAEMON)
				return usage(stderr, EXIT_USAGE);
			mode = option == 'n' ? MODE_DRY_RUN : MODE_SHUTDOWN;
			break;
		case 'V':
			puts("stokerd " STOKER_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			return usage(stdout, EXIT_SUCCESS);
		default:
			return usage(stderr, EXIT_USAGE);
		}
	}
	if (optind < argc)
		return usage(stderr, EXIT_USAGE);
	return run(path, mode);
}
