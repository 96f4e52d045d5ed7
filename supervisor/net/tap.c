/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c creates taps here and hands the descriptor to the VMM. The device is persistent: it
 * outlives both the daemon and the VMM, and the guard on it with it. The interface is that of the
 * kernel's Documentation/networking/tuntap.rst.
 */
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "net/net.h"
#include "net/sysctl.h"

/* struct virtio_net_hdr_v1: what virtio 1 devices use; the kernel's default is the older 10. */
enum { VNET_HEADER_BYTES = 12 };

unsigned if_nametoindex(const char *name); /* <net/if.h> clashes with <linux/if.h> */

static int open_clone_device(int *ret_fd, struct error *err)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return error_errno(err, errno, "/dev/net/tun: no tap devices (modprobe tun)");
	if (fd < 0)
		return error_errno(err, errno, "/dev/net/tun: open");
	*ret_fd = fd;
	return 0;
}

int tap_open(const char *name, int *ret_fd, unsigned *ret_ifindex, struct error *err)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header_bytes = VNET_HEADER_BYTES;
	_cleanup_close_ int fd = -1;
	unsigned ifindex;

	if (strlen(name) >= IFNAMSIZ)
		return error_set(err, "tap '%s': the name is longer than 15 bytes", name);
	if (if_nametoindex(name))
		return error_set(err, "tap '%s': exists already (ip link delete %s)", name, name);
	if (open_clone_device(&fd, err) < 0)
		return -1;
	strcpy(request.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return error_errno(err, errno, "tap '%s': create", name);
	ifindex = if_nametoindex(name);
	if (!ifindex)
		return error_errno(err, errno, "tap '%s': gone as soon as created", name);
	/* At once: udev gives a device that has a random address one of its choice. */
	memcpy(request.ifr_hwaddr.sa_data, NET_GATEWAY_MAC, 6);
	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	if (ioctl(fd, SIOCSIFHWADDR, &request) < 0)
		return error_errno(err, errno, "tap '%s': set its address", name);
	if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0)
		return error_errno(err, errno, "tap '%s': set the virtio header size", name);
	/* Always with an owner, so that no other user can attach to it. */
	if (ioctl(fd, TUNSETOWNER, 0UL) < 0)
		return error_errno(err, errno, "tap '%s': set the owner", name);
	*ret_fd = take_fd(&fd);
	*ret_ifindex = ifindex;
	return 0;
}

int tap_keep(const char *name, int fd, uid_t owner, struct error *err)
{
	if (ioctl(fd, TUNSETOWNER, (unsigned long)owner) < 0)
		return error_errno(err, errno, "tap '%s': set the owner", name);
	if (ioctl(fd, TUNSETPERSIST, 1UL) < 0)
		return error_errno(err, errno, "tap '%s': make it persistent", name);
	return 0;
}

int tap_create(const char *name, uid_t owner, int *ret_fd, unsigned *ret_ifindex, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (tap_open(name, &fd, ret_ifindex, err) < 0 || tap_keep(name, fd, owner, err) < 0)
		return -1;
	*ret_fd = take_fd(&fd);
	return 0;
}

struct tap_switch {
	const char *family;
	const char *key;
	const char *value;
};

/* In this order: `forwarding` resets some of the others to a router's defaults. */
static const struct tap_switch switches4[] = {
	{ "ipv4", "forwarding", "1" },
	{ "ipv4", "rp_filter", "1" },  /* a source must be routed to this tap: a second net */
	{ "ipv4", "arp_ignore", "8" }, /* the guard answers for the gateway, the host never */
	{ "ipv4", "send_redirects", "0" },
	{ "ipv4", "accept_redirects", "0" },
	{ "ipv4", "accept_source_route", "0" },
	{ "ipv4", "proxy_arp", "0" },
	{ "ipv4", "route_localnet", "0" },
};

static const struct tap_switch switches6[] = {
	{ "ipv6", "disable_ipv6", "0" },  { "ipv6", "forwarding", "1" },
	{ "ipv6", "addr_gen_mode", "1" }, /* no link-local address of the host's */
	{ "ipv6", "accept_ra", "0" },	  { "ipv6", "accept_redirects", "0" },
	{ "ipv6", "accept_dad", "0" },	  { "ipv6", "dad_transmits", "0" },
	{ "ipv6", "autoconf", "0" },	  { "ipv6", "proxy_ndp", "0" },
};

static int set_switches(const char *name, const struct tap_switch *switches, size_t count,
			struct error *err)
{
	for (size_t i = 0; i < count; i++)
		if (sysctl_set(switches[i].family, name, switches[i].key, switches[i].value, err) <
		    0)
			return error_wrap(err, "tap '%s'", name);
	return 0;
}

/* Linux 6.17 forwards per interface. Before, only the switch of the whole namespace counts; with
 * it, router advertisements on other interfaces need accept_ra=2 to be heard. */
static int forward_ip6(const char *name, struct error *err)
{
	const char *where = name, *key = "force_forwarding";

	if (!sysctl_exists("ipv6", name, key)) {
		where = "all";
		key = "forwarding";
	}
	if (sysctl_set("ipv6", where, key, "1", err) < 0)
		return error_wrap(err, "tap '%s'", name);
	return 0;
}

int tap_configure(const char *name, bool has_ip6, struct error *err)
{
	if (set_switches(name, switches4, sizeof(switches4) / sizeof(switches4[0]), err) < 0)
		return -1;
	if (!has_ip6) {
		if (sysctl_exists("ipv6", name, "disable_ipv6") &&
		    sysctl_set("ipv6", name, "disable_ipv6", "1", err) < 0)
			return error_wrap(err, "tap '%s'", name);
		return 0;
	}
	if (!sysctl_exists("ipv6", name, "disable_ipv6"))
		return error_set(err,
				 "tap '%s': the VM has an IPv6 address and the kernel has no IPv6 "
				 "(boot without ipv6.disable=1)",
				 name);
	/* `all` first: writing it resets every interface's own forwarding and accept_ra. */
	if (forward_ip6(name, err) < 0)
		return -1;
	return set_switches(name, switches6, sizeof(switches6) / sizeof(switches6[0]), err);
}
