/* SPDX-License-Identifier: Apache-2.0 */
/* Called by main.c, after the mounts and before the workload. */
#include "guest-init/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "guest-init/root.h"
#include "guest-init/user.h"

#define SECRETS "/run/secrets"

static int resolve(int root, const char *who, struct user *ret, struct failure *why)
{
	char *passwd = root_read(root, "/etc/passwd");
	char *group = root_read(root, "/etc/group");
	int result = user_resolve(who, passwd, group, ret, why);

	free(group);
	free(passwd);
	return result;
}

static int write_one(int root, int top, const struct config_file_item *item,
		     const char *workload_user, struct failure *why)
{
	const char *who = *item->user || !item->is_secret ? item->user : workload_user;
	char path[PATH_MAX];
	struct user user;

	if (resolve(root, who, &user, why) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s%s", item->is_secret ? SECRETS "/" : "", item->path);
	return root_write(top,
			  &(struct root_file){ .path = path,
					       .bytes = item->content,
					       .length = item->length,
					       .mode = item->mode,
					       .uid = user.uid,
					       .gid = user.gid },
			  why);
}

/* Memory alone: what is in it never reaches a disk, for a guest has no swap. */
static int mount_secrets(int top, struct failure *why)
{
	if (root_mkdir(top, SECRETS, why) < 0)
		return -1;
	if (mount("tmpfs", SECRETS, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755") < 0)
		return failure_set(why, "mount tmpfs on " SECRETS ": %s", strerror(errno));
	return 0;
}

static int write_all(int root, int top, const struct config *config, struct failure *why)
{
	bool has_secrets = false;

	for (size_t i = 0; i < config->files.count; i++) {
		const struct config_file_item *item = &config->files.items[i];

		if (item->is_secret && !has_secrets && mount_secrets(top, why) < 0)
			return -1;
		has_secrets = has_secrets || item->is_secret;
		if (write_one(root, top, item, config->user, why) < 0)
			return -1;
	}
	if (has_secrets &&
	    mount(NULL, SECRETS, NULL,
		  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return failure_set(why, "make " SECRETS " read-only: %s", strerror(errno));
	return 0;
}

int files_write(int root, struct config *config, struct failure *why)
{
	int top = open("/", O_PATH | O_CLOEXEC);
	int result;

	if (top < 0)
		return failure_set(why, "open the root directory: %s", strerror(errno));
	result = write_all(root, top, config, why);
	config_forget_files(config);
	close(top);
	return result;
}

int files_make_volumes(const struct config *config, struct failure *why)
{
	int top = open("/", O_PATH | O_CLOEXEC);
	int result = 0;

	if (top < 0)
		return failure_set(why, "open the root directory: %s", strerror(errno));
	for (size_t i = 0; i < config->volume_paths.count && result == 0; i++) {
		const char *path = config->volume_paths.items[i];

		result = root_mkdir(top, path, why);
		/* A mount of its own is not sealed with the root. */
		if (result == 0 && config->read_only && mount(path, path, NULL, MS_BIND, NULL) < 0)
			result = failure_set(why, "make volume '%.100s' writable: %s", path,
					     strerror(errno));
	}
	close(top);
	return result;
}

/* "net.ipv4.ip_forward" is net/ipv4/ip_forward, and where a slash comes first "net/ipv4/a.b/c" is
 * what it says, as for sysctl(8). */
static int set_sysctl(int sys, const char *pair, struct failure *why)
{
	size_t length = strcspn(pair, "=");
	const char *value = pair + length + (pair[length] == '=');
	char name[256];
	int fd, result;

	snprintf(name, sizeof(name), "%.*s", (int)length, pair);
	if (name[strcspn(name, "./")] == '.')
		for (char *c = name; *c; c++)
			*c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
	fd = root_open(sys, name, O_WRONLY);
	if (fd < 0)
		return failure_set(why, "sysctl '%.*s': %s", (int)length, pair,
				   errno == ENOENT ? "the guest's kernel has none of that name"
						   : strerror(errno));
	result = write(fd, value, strlen(value)) < 0
			 ? failure_set(why, "sysctl '%.*s': cannot set '%.60s': %s", (int)length,
				       pair, value, strerror(errno))
			 : 0;
	close(fd);
	return result;
}

int files_set_sysctls(const struct list *sysctls, struct failure *why)
{
	int sys = sysctls->count ? open("/proc/sys", O_PATH | O_CLOEXEC) : -1;
	int result = 0;

	if (sysctls->count && sys < 0)
		return failure_set(why, "open /proc/sys: %s", strerror(errno));
	for (size_t i = 0; i < sysctls->count && result == 0; i++)
		result = set_sysctl(sys, sysctls->items[i], why);
	if (sys >= 0)
		close(sys);
	return result;
}
