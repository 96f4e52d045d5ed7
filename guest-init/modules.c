/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-init/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const late_names[] = {
	"virtio_console",
	"vsock",
	"vmw_vsock_virtio_transport_common",
	"vmw_vsock_virtio_transport",
	"virtio_balloon",
};

/* To the kernel, - and _ are one. */
static bool is_named(const char *file, const char *name)
{
	for (; *name; name++, file++)
		if ((*file == '-' ? '_' : *file) != *name)
			return false;
	return *file == '.' || *file == '\0';
}

bool modules_is_late(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;

	file += strspn(file, "0123456789");
	file += *file == '-';
	for (size_t i = 0; i < sizeof(late_names) / sizeof(*late_names); i++)
		if (is_named(file, late_names[i]))
			return true;
	return false;
}

/* Closes it. EEXIST: loaded or built in. */
static int load(int fd, const char *path, struct failure *why)
{
	int number = syscall(SYS_finit_module, fd, "", 0) < 0 ? errno : 0;

	close(fd);
	if (number && number != EEXIST)
		return failure_set(why, "load module %s: %s", path, strerror(number));
	return 0;
}

int modules_load(const struct list *paths, struct modules *ret, struct failure *why)
{
	for (size_t i = 0; i < paths->count; i++) {
		const char *path = paths->items[i];
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return failure_set(why, "open module %s: %s", path, strerror(errno));
		if (modules_is_late(path) && ret->late_count < MODULES_LATE_MAX) {
			ret->late[ret->late_count].path = path;
			ret->late[ret->late_count++].fd = fd;
		} else if (load(fd, path, why) < 0) {
			return -1;
		}
	}
	return 0;
}

int modules_load_late(struct modules *modules, struct failure *why)
{
	struct failure another;
	int result = 0;

	for (size_t i = 0; i < modules->late_count; i++)
		if (load(modules->late[i].fd, modules->late[i].path, result < 0 ? &another : why) <
		    0)
			result = -1;
	modules->late_count = 0;
	return result;
}
