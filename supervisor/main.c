/* SPDX-License-Identifier: Apache-2.0 */
/* stokerd [-c stoker.ini] [-n]: parse, load, run. See stokerd(8). */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "config/load.h"
#include "daemon.h"

enum { EXIT_USAGE = 2 };

static int usage(FILE *out, int code)
{
	fputs("usage: stokerd [-c stoker.ini] [-n] [-V]\n"
	      "  -c FILE  settings (default: " STOKER_SYSCONFDIR "/stoker/stoker.ini)\n"
	      "  -n       check settings and manifests, print the plan, change nothing\n"
	      "  -V       print the version\n",
	      out);
	return code;
}

static int run(const char *path, int is_dry)
{
	struct problems problems = { 0 };
	struct settings settings = { 0 };
	struct error err = { 0 };
	int code = EXIT_SUCCESS;

	if (settings_load(path, &settings, &problems) < 0) {
		fputs(strbuf_text(&problems.text), stderr);
		problems_reset(&problems);
		return EXIT_FAILURE;
	}
	problems_reset(&problems);
	log_set_level((enum log_level)settings.log_level);
	if (is_dry) {
		code = daemon_dry_run(&settings);
	} else if (daemon_run(&settings, &err) < 0) {
		log_error("%s", err.text);
		code = EXIT_FAILURE;
	}
	settings_reset(&settings);
	return code;
}

int main(int argc, char **argv)
{
	const char *path = STOKER_SYSCONFDIR "/stoker/stoker.ini";
	int is_dry = 0, option;

	while ((option = getopt(argc, argv, "c:nVh")) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'n':
			is_dry = 1;
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
	return run(path, is_dry);
}
