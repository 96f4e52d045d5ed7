/* SPDX-License-Identifier: Apache-2.0 */
#include "posture.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "host/host.h"

/* A warning of doctor's counts as well: the operator asked for that check by its name. */
static void add_shortfalls(struct posture *posture, const struct findings *found)
{
	size_t count = 0;
	char *first = NULL;

	for (size_t i = 0; i < found->count; i++) {
		const struct finding *finding = &found->items[i];
		char *line;

		if (finding->grade == GRADE_OK)
			continue;
		line = xasprintf("%s: %s (%s)", check_names[finding->check], finding->fact,
				 finding->remedy);
		strv_addf(&posture->warnings, "no VM is started: %s", line);
		if (count++ == 0)
			first = line;
		else
			free(line);
	}
	if (count > 1)
		posture->refusal = xasprintf("%s, and %zu more (stokerctl status)", first,
					     count - 1);
	else
		posture->refusal = xstrdup(first);
	free(first);
}

static void add_settings(struct posture *posture, const struct settings *settings)
{
	if (!settings->jail)
		strv_add(&posture->warnings,
			 "jail = no: a guest that breaks out of Firecracker sees the host's files "
			 "(remove jail = no from [vm])");
}

void posture_examine(struct posture *posture, const struct settings *settings)
{
	bool was_refused = posture->refusal;
	struct host host = host_here(settings);
	struct findings found = { 0 };

	posture_reset(posture);
	host_examine(&host, settings->required_checks, &found);
	add_settings(posture, settings);
	add_shortfalls(posture, &found);
	findings_reset(&found);
	STRV_EACH (line, &posture->warnings)
		log_warning("%s", line);
	if (was_refused && !posture->refusal)
		log_info("the host is as [host] require says: VMs may start");
}

void posture_reset(struct posture *posture)
{
	strv_reset(&posture->warnings);
	free(posture->refusal);
	*posture = (struct posture){ 0 };
}
