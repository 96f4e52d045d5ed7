/* SPDX-License-Identifier: Apache-2.0 */
/* Drives, taps and the vsock socket of the fake: see fc_devices.h. */
#include "tests/fakes/fc_devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#include "base/alloc.h"
#include "tests/fakes/os_error.h"

#define TAP_FAULT \
	"Network config error: Could not create the network device: Open tap device failed: "
#define DRIVE_FAULT "Drive config error: Unable to create the virtio block device: "
#define PATCH_FAULT "Drive config error: Unable to patch the block device: "

void devices_replace_fd(int *fd, int by)
{
	if (*fd > STDERR_FILENO)
		close(*fd);
	*fd = by;
}

static struct machine_drive *find_drive(struct machine *machine, const char *id)
{
	for (size_t i = 0; i < MACHINE_DRIVES_MAX; i++)
		if (!strcmp(machine->drives[i].id, id))
			return &machine->drives[i];
	return NULL;
}

static int open_drive(const char *path, bool is_read_only)
{
	return open(path, (is_read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
}

int devices_put_drive(struct machine *machine, const struct fc_request *request, struct error *err)
{
	const char *path = json_string_or(request->body, "path_on_host", NULL);
	struct machine_drive *drive = find_drive(machine, request->id), made = { .fd = -1 };

	made.is_root = json_bool_or(request->body, "is_root_device", false);
	made.is_read_only = json_bool_or(request->body, "is_read_only", false);
	snprintf(made.id, sizeof(made.id), "%s", request->id);
	for (size_t i = 0; i < MACHINE_DRIVES_MAX; i++)
		if (made.is_root && machine->drives[i].is_root && &machine->drives[i] != drive)
			return error_set(err,
					 "Drive config error: A root block device already exists!");
	if (!path)
		return error_set(err, DRIVE_FAULT "the fake speaks no vhost-user");
	made.fd = open_drive(path, made.is_read_only);
	if (made.fd < 0)
		return error_set(err,
				 DRIVE_FAULT "Virtio backend error: Error manipulating the backing "
					     "file: %s %s",
				 os_error(errno), path);
	if (!drive)
		drive = find_drive(machine, "");
	if (!drive)
		return error_set(err, "the fake has room for %d drives", MACHINE_DRIVES_MAX);
	if (*drive->id)
		close(drive->fd);
	*drive = made;
	return 0;
}

static int open_tap(const char *name, struct error *err)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), size = 12;
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (fd < 0)
		return error_set(err, TAP_FAULT "Couldn't open /dev/net/tun: %s", os_error(errno));
	if (strlen(name) >= IFNAMSIZ) {
		error_set(err, TAP_FAULT "Invalid interface name");
	} else {
		strncpy(request.ifr_name, name, IFNAMSIZ - 1);
		if (ioctl(fd, TUNSETIFF, &request) == 0 && ioctl(fd, TUNSETVNETHDRSZ, &size) == 0)
			return fd;
		error_set(err,
			  TAP_FAULT "Error while creating ifreq structure: %s. Invalid TUN/TAP "
				    "Backend provided by %s. Check our documentation on setting up "
				    "the network devices.",
			  os_error(errno), name);
	}
	close(fd);
	return -1;
}

int devices_put_network(struct machine *machine, const struct fc_request *request,
			struct error *err)
{
	struct machine_nic *slot = NULL, made = { .fd = -1 };
	const char *mac = json_string_or(request->body, "guest_mac", "");

	snprintf(made.id, sizeof(made.id), "%s", request->id);
	for (size_t i = 0; *mac && i < sizeof(made.mac) - 1; i++)
		made.mac[i] = mac[i] >= 'A' && mac[i] <= 'F' ? (char)(mac[i] + 32) : mac[i];
	for (size_t i = MACHINE_NICS_MAX; i-- > 0;) {
		struct machine_nic *nic = &machine->nics[i];

		if (!strcmp(nic->id, request->id) ||
		    (!*nic->id && (!slot || strcmp(slot->id, request->id) != 0)))
			slot = nic;
		else if (*made.mac && !strcmp(nic->mac, made.mac))
			return error_set(err,
					 "Network config error: The MAC address is already in use: "
					 "%s",
					 made.mac);
	}
	if (!slot)
		return error_set(err, "the fake has room for %d interfaces", MACHINE_NICS_MAX);
	/* The old tap goes first: it may be the same one. */
	if (*slot->id)
		close(slot->fd);
	*slot = (struct machine_nic){ .fd = -1 };
	made.fd = open_tap(json_string_or(request->body, "host_dev_name", ""), err);
	if (made.fd < 0)
		return -1;
	*slot = made;
	return 0;
}

static int listen_vsock(const struct machine *machine, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (machine->faults->full_disk)
		return -ENOSPC;
	if (strlen(path) >= sizeof(address.sun_path))
		return -EINVAL;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 128) < 0) {
		int number = errno;

		close(fd);
		return -number;
	}
	return fd;
}

int devices_put_vsock(struct machine *machine, const json_t *body, struct error *err)
{
	const char *path = json_string_or(body, "uds_path", "");
	int fd;

	if (machine->uds_path)
		unlink(machine->uds_path);
	devices_replace_fd(&machine->vsock_fd, -1);
	free(machine->uds_path);
	machine->uds_path = NULL;
	fd = listen_vsock(machine, path);
	if (fd < 0)
		return error_set(err,
				 "Vsock config error: Cannot create backend for vsock device: "
				 "Error binding to the host-side Unix socket: %s",
				 os_error(-fd));
	machine->vsock_fd = fd;
	machine->uds_path = xstrdup(path);
	return 0;
}

int devices_patch_drive(struct machine *machine, const struct fc_request *request,
			struct error *err)
{
	struct machine_drive *drive = find_drive(machine, request->id);
	const char *path = json_string_or(request->body, "path_on_host", NULL);
	const json_t *limiter = json_object_get(request->body, "rate_limiter");
	int fd;

	if (!drive)
		return error_set(err, PATCH_FAULT "Failed perform action on device: Device not "
						  "found Please verify the request arguments.");
	if (!path && (!limiter || json_is_null(limiter)))
		return error_set(err,
				 PATCH_FAULT "Block: Running method expected different backend. "
					     "Please verify the request arguments.");
	if (!path)
		return 0;
	fd = open_drive(path, drive->is_read_only);
	if (fd < 0)
		return error_set(err,
				 PATCH_FAULT "Block: Virtio backend error: Error manipulating the "
					     "backing file: %s %s Please verify the request "
					     "arguments.",
				 os_error(errno), path);
	devices_replace_fd(&drive->fd, fd);
	return 0;
}

int devices_patch_network(struct machine *machine, const struct fc_request *request,
			  struct error *err)
{
	for (size_t i = 0; i < MACHINE_NICS_MAX; i++)
		if (!strcmp(machine->nics[i].id, request->id))
			return 0;
	return error_set(err, "Network config error: Unable to update the net device: Failed "
			      "perform action on device: Device not found");
}
