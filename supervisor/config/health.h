/* SPDX-License-Identifier: Apache-2.0 */
/* `healthcheck` and `depends_on` of a VM; called through schema.c, on a struct vm_draft. */
#ifndef STOKER_CONFIG_HEALTH_H
#define STOKER_CONFIG_HEALTH_H

#include "config/fields.h"

FIELD_PARSER(parse_healthcheck);
FIELD_PARSER(parse_health_tcp);
FIELD_PARSER(parse_health_http);
FIELD_PARSER(parse_health_exec);
FIELD_PARSER(parse_on_unhealthy);
FIELD_PARSER(parse_depends_on);

#endif
