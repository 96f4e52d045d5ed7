/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap.c calls this before a link goes up. The keys are those of the kernel's
 * Documentation/networking/ip-sysctl.rst.
 */
#include "net/sysctl.h"

#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"

enum { SYSCTL_PATH_MAX = 128 };

static void sysctl_path(char path[SYSCTL_PATH_MAX], const char *family, const char *name,
			const char *key)
{
	snprintf(path, SYSCTL_PATH_MAX, "/proc/sys/net/%s/conf/%s/%s", family, name, key);
}

int sysctl_set(const char *family, const char *name, const char *key, const char *value,
	       struct error *err)
{
	char path[SYSCTL_PATH_MAX];

	sysctl_path(path, family, name, key);
	return fs_write_value(path, value, err);
}

bool sysctl_exists(const char *family, const char *name, const char *key)
{
	char path[SYSCTL_PATH_MAX];

	sysctl_path(path, family, name, key);
	return access(path, F_OK) == 0;
}
