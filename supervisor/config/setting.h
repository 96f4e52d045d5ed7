/* SPDX-License-Identifier: Apache-2.0 */
/* Every key of stoker.ini, once, and how its value is read. settings.c walks the file with it. */
#ifndef STOKER_CONFIG_SETTING_H
#define STOKER_CONFIG_SETTING_H

#include <stddef.h>

#include "base/error.h"
#include "model/settings.h"

/* The section that has a name: [registry HOST]. */
#define SETTING_REGISTRY_SECTION "registry"

enum { SETTINGS_MAX = 64 };

struct setting;

/* In the order of stoker.ini(5); sections' names are repeated. */
extern const size_t setting_count;
const char *setting_section(size_t index);
const char *setting_key(size_t index);

/* Less than setting_count, or that when there is none. */
size_t setting_find(const char *section, const char *key);

/* Reads a value into the settings; one of a registry goes to the last of settings->registries. */
int setting_set(size_t index, const char *value, struct settings *settings, struct error *err);

#endif
