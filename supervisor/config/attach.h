/* SPDX-License-Identifier: Apache-2.0 */
/* One item of `files` or `secrets`, as schema.c's tables fill it and attach.c looks at it. */
#ifndef STOKER_CONFIG_ATTACH_H
#define STOKER_CONFIG_ATTACH_H

#include "config/yaml.h"

struct attachment {
	const struct node *path, *source, *content, *mode, *user; /* borrowed; NULL: not written */
};

#endif
