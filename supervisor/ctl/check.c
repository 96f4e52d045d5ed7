/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl check: loads manifests as the daemon would, without the daemon and without effects. */
#include <stdio.h>

#include "base/alloc.h"
#include "config/load.h"
#include "ctl/ctl.h"

static int load(const struct ctl *ctl, const struct settings *settings, struct fleet **ret,
		struct problems *problems, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/leases", settings->state_dir);
	_cleanup_strv_ struct strv files = { 0 };
	struct leases *leases = NULL;
	int result;

	if (leases_read(path, &leases, err) < 0)
		return -1;
	for (size_t i = 0; i < ctl->arg_count; i++)
		strv_add(&files, ctl->args[i]);
	result = files.count ? fleet_load_files(&files, settings, leases, ret, problems)
			     : fleet_load(settings->fleet_dir, settings, leases, ret, problems);
	leases_free(leases);
	if (result < 0)
		error_set(err, "%zu problem%s: nothing of this would be applied", problems->count,
			  problems->count == 1 ? "" : "s");
	return result;
}

int ctl_check(const struct ctl *ctl)
{
	_cleanup_fleet_ struct fleet *fleet = NULL;
	struct settings settings = { 0 };
	struct problems problems = { 0 };
	struct error err = { 0 };
	int result;

	result = settings_load(ctl->settings_path, &settings, &problems);
	if (result < 0)
		error_set(&err, "%s is not valid", ctl->settings_path);
	else
		result = load(ctl, &settings, &fleet, &problems, &err);
	fputs(strbuf_text(&problems.text), stderr);
	problems_reset(&problems);
	settings_reset(&settings);
	if (result < 0)
		return ctl_fail(&err);
	printf("valid: %zu tenant%s, %zu instance%s\n", fleet->tenant_count,
	       fleet->tenant_count == 1 ? "" : "s", fleet->spec_count,
	       fleet->spec_count == 1 ? "" : "s");
	return EXIT_DONE;
}
