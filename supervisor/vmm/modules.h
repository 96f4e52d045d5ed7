/* SPDX-License-Identifier: Apache-2.0 */
/* Which modules of an installed kernel a guest needs, in the order to load them. For kernel.c. */
#ifndef STOKER_VMM_MODULES_H
#define STOKER_VMM_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strv.h"

/* `tree` is /lib/modules/VERSION. Modules that are built in are left out; a missing one that no
 * guest can do without is an error. Compressed ones are unpacked into `cache_dir`. */
int modules_resolve(const char *tree, const char *cache_dir, struct strv *ret, struct error *err);

/* Adds the modules of dm-verity to `modules`, if the kernel has it, built in or not. */
int modules_add_verity(const char *tree, const char *cache_dir, struct strv *modules, bool *ret_has,
		       struct error *err);

/* Names a thing by its content: `cache_dir`/`stem`-HASH`suffix`. The caller frees it. */
char *modules_cache_path(const char *cache_dir, const char *stem, const void *bytes, size_t length,
			 const char *suffix);

#endif
