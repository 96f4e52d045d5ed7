/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl doctor: is this host fit to run strangers' VMs? Asks the host itself, not the daemon.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "config/load.h"
#include "ctl/ctl.h"
#include "ctl/print.h"
#include "host/host.h"

static const char *const grade_names[] = {
	[GRADE_OK] = "ok",
	[GRADE_WARN] = "warn",
	[GRADE_BAD] = "bad",
};

/* Neither fact nor remedy is ever cut: a command that is not whole helps nobody. */
static void print_findings(const struct findings *found)
{
	size_t width = 0;

	for (size_t i = 0; i < found->count; i++)
		if (strlen(check_names[found->items[i].check]) > width)
			width = strlen(check_names[found->items[i].check]);
	for (size_t i = 0; i < found->count; i++) {
		const struct finding *finding = &found->items[i];
		const char *word = grade_names[finding->grade];

		printf("%s%s%s%*s  %-*s  ", print_phase_color(word), word, print_color_end(),
		       (int)(sizeof("warn") - 1 - strlen(word)), "", (int)width,
		       check_names[finding->check]);
		print_text(stdout, finding->fact);
		if (finding->remedy) {
			fputs("  (remedy: ", stdout);
			print_text(stdout, finding->remedy);
			putchar(')');
		}
		putchar('\n');
	}
}

static void print_json(const struct findings *found)
{
	_cleanup_json_ json_t *list = json_array();
	_cleanup_free_ char *text = NULL;

	for (size_t i = 0; i < found->count; i++) {
		const struct finding *finding = &found->items[i];

		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s?}", "verdict",
						      grade_names[finding->grade], "name",
						      check_names[finding->check], "fact",
						      finding->fact, "remedy", finding->remedy));
	}
	text = json_dumps(list, JSON_INDENT(2));
	puts(text ? text : "[]");
}

int ctl_doctor(const struct ctl *ctl)
{
	struct problems problems = { 0 };
	struct findings found = { 0 };
	struct settings settings = { 0 };
	int result = EXIT_DONE;
	struct host host;
	struct error err;

	if (settings_load(ctl->settings_path, &settings, &problems) < 0) {
		fputs(strbuf_text(&problems.text), stderr);
		problems_reset(&problems);
		error_set(&err, "%s is not valid", ctl->settings_path);
		return ctl_fail(&err);
	}
	host = host_here(&settings);
	host_examine(&host, CHECK_ALL, &found);
	if (ctl->is_json)
		print_json(&found);
	else
		print_findings(&found);
	for (size_t i = 0; i < found.count; i++)
		if (found.items[i].grade == GRADE_BAD)
			result = EXIT_REFUSED;
	findings_reset(&found);
	problems_reset(&problems);
	settings_reset(&settings);
	return result;
}
