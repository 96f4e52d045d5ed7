/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c sets links up through this. Message formats: rtnetlink(7). One socket, one request at a
 * time, each answered before the next.
 */
#include "net/rtnl.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <time.h>

#include "base/alloc.h"

struct rtnl {
	struct mnl_socket *socket; /* owned */
	unsigned portid;
	uint32_t sequence;
};

/* A request being built: `header` points into `bytes`. */
struct request {
	struct nlmsghdr *header;
	char bytes[1024] __attribute__((aligned(NLMSG_ALIGNTO)));
};

struct rtnl *rtnl_open(struct error *err)
{
	struct rtnl *rtnl = xcalloc(1, sizeof(*rtnl));

	rtnl->sequence = (uint32_t)time(NULL);
	rtnl->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!rtnl->socket || mnl_socket_bind(rtnl->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		error_errno(err, errno, "rtnetlink: open");
		return rtnl_close(rtnl);
	}
	rtnl->portid = mnl_socket_get_portid(rtnl->socket);
	return rtnl;
}

struct rtnl *rtnl_close(struct rtnl *rtnl)
{
	if (!rtnl)
		return NULL;
	if (rtnl->socket)
		mnl_socket_close(rtnl->socket);
	free(rtnl);
	return NULL;
}

static void *begin(struct request *request, uint16_t type, uint16_t flags, size_t extra_bytes)
{
	request->header = mnl_nlmsg_put_header(request->bytes);
	request->header->nlmsg_type = type;
	request->header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return mnl_nlmsg_put_extra_header(request->header, extra_bytes);
}

/* Sends it and waits for its acknowledgement; the kernel's refusal is in errno. */
static int transact(struct rtnl *rtnl, struct request *request)
{
	char reply[8192];
	ssize_t length;
	int result = MNL_CB_OK;

	request->header->nlmsg_seq = ++rtnl->sequence;
	if (mnl_socket_sendto(rtnl->socket, request->header, request->header->nlmsg_len) < 0)
		return -1;
	while (result == MNL_CB_OK) {
		length = mnl_socket_recvfrom(rtnl->socket, reply, sizeof(reply));
		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -1;
		result = mnl_cb_run(reply, (size_t)length, rtnl->sequence, rtnl->portid, NULL,
				    NULL);
	}
	return result == MNL_CB_STOP ? 0 : -1;
}

int rtnl_link_set(struct rtnl *rtnl, const struct rtnl_link *link,
		  const struct rtnl_link_values *values, struct error *err)
{
	struct request request;
	struct ifinfomsg *info = begin(&request, RTM_NEWLINK, 0, sizeof(*info));

	info->ifi_index = (int)link->ifindex;
	if (values->mac)
		mnl_attr_put(request.header, IFLA_ADDRESS, 6, values->mac);
	if (values->mtu)
		mnl_attr_put_u32(request.header, IFLA_MTU, values->mtu);
	if (values->group)
		mnl_attr_put_u32(request.header, IFLA_GROUP, values->group);
	if (transact(rtnl, &request) < 0)
		return error_errno(err, errno, "link '%s': set MAC, MTU and group", link->name);
	return 0;
}

int rtnl_link_rename(struct rtnl *rtnl, const struct rtnl_link *link, const char *name,
		     struct error *err)
{
	struct request request;
	struct ifinfomsg *info = begin(&request, RTM_NEWLINK, 0, sizeof(*info));

	info->ifi_index = (int)link->ifindex;
	mnl_attr_put_strz(request.header, IFLA_IFNAME, name);
	if (transact(rtnl, &request) < 0)
		return error_errno(err, errno, "link '%s': rename to %s", link->name, name);
	return 0;
}

int rtnl_link_raise(struct rtnl *rtnl, const struct rtnl_link *link, bool is_up, struct error *err)
{
	struct request request;
	struct ifinfomsg *info = begin(&request, RTM_NEWLINK, 0, sizeof(*info));

	info->ifi_index = (int)link->ifindex;
	info->ifi_change = IFF_UP;
	info->ifi_flags = is_up ? IFF_UP : 0;
	if (transact(rtnl, &request) < 0)
		return error_errno(err, errno, "link '%s': set %s", link->name,
				   is_up ? "up" : "down");
	return 0;
}

int rtnl_link_move(struct rtnl *rtnl, const struct rtnl_link *link, int netns_fd, struct error *err)
{
	struct request request;
	struct ifinfomsg *info = begin(&request, RTM_NEWLINK, 0, sizeof(*info));

	info->ifi_index = (int)link->ifindex;
	mnl_attr_put_u32(request.header, IFLA_NET_NS_FD, (uint32_t)netns_fd);
	if (transact(rtnl, &request) < 0)
		return error_errno(err, errno, "link '%s': move to another network namespace",
				   link->name);
	return 0;
}

int rtnl_link_delete(struct rtnl *rtnl, const struct rtnl_link *link, struct error *err)
{
	struct request request;
	struct ifinfomsg *info = begin(&request, RTM_DELLINK, 0, sizeof(*info));

	info->ifi_index = (int)link->ifindex;
	if (transact(rtnl, &request) < 0 && errno != ENODEV)
		return error_errno(err, errno, "link '%s': delete", link->name);
	return 0;
}

int rtnl_group_delete(struct rtnl *rtnl, uint32_t group, struct error *err)
{
	struct request request;

	begin(&request, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
	mnl_attr_put_u32(request.header, IFLA_GROUP, group);
	if (transact(rtnl, &request) < 0 && errno != ENODEV)
		return error_errno(err, errno, "links of group %u: delete", group);
	return 0;
}

static uint8_t address_family(const struct address *address)
{
	return address->family == 4 ? AF_INET : AF_INET6;
}

static uint8_t address_bits(const struct address *address)
{
	return address->family == 4 ? 32 : 128;
}

static void put_address(struct request *request, uint16_t type, const struct address *address)
{
	mnl_attr_put(request->header, type, address_bits(address) / 8u, address->bytes);
}

int rtnl_address_add(struct rtnl *rtnl, const struct rtnl_link *link, const struct address *address,
		     struct error *err)
{
	struct request request;
	struct ifaddrmsg *info = begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE,
				       sizeof(*info));
	char text[ADDRESS_TEXT_MAX];

	info->ifa_family = address_family(address);
	info->ifa_prefixlen = address_bits(address);
	info->ifa_flags = address->family == 6 ? IFA_F_NODAD : 0;
	info->ifa_index = link->ifindex;
	put_address(&request, IFA_LOCAL, address);
	put_address(&request, IFA_ADDRESS, address);
	if (transact(rtnl, &request) < 0)
		return error_errno(err, errno, "link '%s': add address %s", link->name,
				   address_format(address, text));
	return 0;
}

int rtnl_route_add(struct rtnl *rtnl, const struct rtnl_link *link, const struct address *to,
		   struct error *err)
{
	struct request request;
	struct rtmsg *info = begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE,
				   sizeof(*info));
	char text[ADDRESS_TEXT_MAX];

	info->rtm_family = address_family(to);
	info->rtm_dst_len = address_bits(to);
	info->rtm_table = RT_TABLE_MAIN;
	info->rtm_protocol = RTPROT_STATIC;
	info->rtm_scope = to->family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	info->rtm_type = RTN_UNICAST;
	put_address(&request, RTA_DST, to);
	mnl_attr_put_u32(request.header, RTA_OIF, link->ifindex);
	if (transact(rtnl, &request) < 0)
		return error_errno(err, errno, "link '%s': add route to %s", link->name,
				   address_format(to, text));
	return 0;
}

int rtnl_neighbour_add(struct rtnl *rtnl, const struct rtnl_link *link,
		       const struct address *address, const uint8_t mac[6], struct error *err)
{
	struct request request;
	struct ndmsg *info = begin(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE,
				   sizeof(*info));
	char text[ADDRESS_TEXT_MAX];

	info->ndm_family = address_family(address);
	info->ndm_ifindex = (int)link->ifindex;
	info->ndm_state = NUD_PERMANENT;
	put_address(&request, NDA_DST, address);
	mnl_attr_put(request.header, NDA_LLADDR, 6, mac);
	if (transact(rtnl, &request) < 0)
		return error_errno(err, errno, "link '%s': add neighbour %s", link->name,
				   address_format(address, text));
	return 0;
}
