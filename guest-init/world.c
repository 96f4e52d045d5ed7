/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-init/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-init/files.h"
#include "guest-init/names.h"
#include "guest-init/network.h"
#include "guest-init/service.h"
#include "guest-init/timer.h"

static int load_file(const char *path, enum config_file file, struct config *config,
		     struct failure *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int result = -1;
	struct stat st;
	char *bytes;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return failure_set(why, "open %s: %s", path, strerror(errno));
	if (st.st_size > CONFIG_FILE_MAX)
		return failure_set(why, "%s has %lld bytes (at most %d)", path,
				   (long long)st.st_size, CONFIG_FILE_MAX);
	bytes = malloc((size_t)st.st_size + 1);
	n = bytes ? read(fd, bytes, (size_t)st.st_size) : -1;
	if (n != st.st_size)
		failure_set(why, "read %s: %s", path, strerror(errno));
	else
		result = config_parse(bytes, (size_t)n, file, config, why);
	free(bytes);
	close(fd);
	return result;
}

static int load_config(struct config *config, struct failure *why)
{
	struct config image = { 0 };
	int result = -1;

	if (load_file("/stoker/config", CONFIG_FROM_MANIFEST, config, why) == 0 &&
	    load_file("/stoker/image", CONFIG_FROM_IMAGE, &image, why) == 0) {
		config_merge(config, &image);
		result = 0;
	}
	config_reset(&image);
	return result;
}

static bool command_line_has(const char *word)
{
	char text[2049] = ""; /* COMMAND_LINE_SIZE of x86 and arm64 is 2048 */
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	char *rest = text;

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	for (char *each = strsep(&rest, " \n"); each; each = strsep(&rest, " \n"))
		if (!strcmp(each, word))
			return true;
	return false;
}

/* Without a console the kernel leaves 0 to 2 closed, and a pipe must not take their place. */
static void fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd < 3);
	if (fd >= 3)
		close(fd);
}

/* Where not even a report can be sent: the kernel panics when PID 1 ends, the VMM tells the host,
 * and the restart policy does the rest. */
static _Noreturn void panic(const struct failure *why)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	dprintf(fd, "<2>stoker-init: %s\n", why->text); /* 2: critical, so on the console */
	_exit(1);
}

/* After kernel.modules_disabled it would be too late for modules. */
static int set_sysctls(struct world *world, struct failure *why)
{
	const struct list *sysctls = &world->config.sysctls;

	for (size_t i = 0; i < sysctls->count; i++)
		if (strstr(sysctls->items[i], "modules_disabled") &&
		    modules_load_late(&world->modules, why) < 0)
			return -1;
	return files_set_sysctls(sysctls, why);
}

int world_build(struct world *world, struct failure *why)
{
	struct config *config = &world->config;

	if (mounts_early(why) < 0)
		return -1;
	world->ends_by_reset = command_line_has("reboot=k");
	fill_standard_descriptors();
	if (load_file("/stoker/modules", CONFIG_FROM_BASE, config, why) < 0 ||
	    modules_load(&config->modules, &world->modules, why) < 0)
		return -1;
	if (timer_check(why) < 0)
		panic(why);
	if (load_config(config, why) < 0)
		return -1;
	if (mounts_root(&world->mounts, config, why) < 0 || mounts_system(config, why) < 0 ||
	    network_up(config, why) < 0 || names_write(world->mounts.root, config, why) < 0 ||
	    files_make_volumes(config, why) < 0 ||
	    files_write(world->mounts.root, config, why) < 0 || set_sysctls(world, why) < 0 ||
	    service_make_working_dir(config, why) < 0)
		return -1;
	return config->read_only ? mounts_seal(why) : 0;
}
