/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl restart: ends a VM gracefully and boots it again. */
#include "ctl/client.h"

int ctl_restart(const struct ctl *ctl)
{
	struct error err = { 0 };
	struct request request;

	if (request_init(&request, COMMAND_RESTART, ctl, &err) < 0)
		return ctl_fail(&err);
	return client_tell(ctl, &request);
}
