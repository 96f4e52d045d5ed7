/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl resume: lets a paused VM go on. */
#include "ctl/client.h"

int ctl_resume(const struct ctl *ctl)
{
	struct error err = { 0 };
	struct request request;

	if (request_init(&request, COMMAND_RESUME, ctl, &err) < 0)
		return ctl_fail(&err);
	return client_tell(ctl, &request);
}
