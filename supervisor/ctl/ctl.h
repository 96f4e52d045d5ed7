/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stokerctl: main.c turns the command line into a struct ctl and calls the one function of the
 * command; that one asks the daemon through client.h (or reads the manifests itself) and prints
 * through print.h. What a command returns is the program's exit code.
 */
#ifndef STOKER_CTL_CTL_H
#define STOKER_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2 };

/* The command line. Strings are borrowed from argv. */
struct ctl {
	const char *settings_path;
	const char *socket_path; /* NULL: as the settings say */
	const char *const *args; /* of the command */
	size_t arg_count;
	bool is_json;
	bool is_following;
	bool is_dry_run;
	const char *output_path; /* NULL: none was given, as of the next */
	const char *platform;
	const char *compression;
	uint64_t lines;
	bool has_lines; /* they were given */
	const char *since, *severity, *streams;
	uint64_t timeout_ms;
	bool has_input; /* exec, as all below */
	bool has_terminal;
	bool is_detached;
	const char *user, *working_dir;
	const char **environment; /* owned by main */
	size_t environment_count;
};

typedef int ctl_command_fn(const struct ctl *ctl);

ctl_command_fn ctl_check, ctl_doctor, ctl_events, ctl_exec, ctl_guard, ctl_image_inspect,
	ctl_image_list, ctl_image_prune, ctl_image_pull, ctl_logs, ctl_pause, ctl_plan, ctl_reload,
	ctl_restart, ctl_resume, ctl_stats, ctl_status, ctl_version, ctl_volume_list,
	ctl_volume_prune;

/* Prints "stokerctl: MESSAGE" on stderr; returns EXIT_REFUSED. */
int ctl_fail(const struct error *err);

#endif
