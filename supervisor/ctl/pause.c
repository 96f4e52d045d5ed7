/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl pause: stops a VM's processors, until it is resumed or restarted. */
#include "ctl/client.h"

int ctl_pause(const struct ctl *ctl)
{
	struct error err = { 0 };
	struct request request;

	if (request_init(&request, COMMAND_PAUSE, ctl, &err) < 0)
		return ctl_fail(&err);
	return client_tell(ctl, &request);
}
