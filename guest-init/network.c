/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called once by main.c, after the modules are loaded. Neighbour entries are permanent and
 * duplicate address detection is off: the host answers for the gateway and owns every address, so
 * nothing has to be asked on the link, and the guest is reachable at once.
 */
#include "guest-init/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LINK_WAIT_MS = 5000, LINK_POLL_MS = 5, REQUEST_MAX = 512 };

struct request {
	struct nlmsghdr header;
	uint8_t body[REQUEST_MAX];
};

struct address {
	int family;
	uint8_t bytes[16];
	size_t length;
};

static void begin(struct request *request, int type, int flags, const void *body, size_t length)
{
	*request = (struct request){ .header = { .nlmsg_len = NLMSG_LENGTH(0),
						 .nlmsg_type = (uint16_t)type,
						 .nlmsg_flags = (uint16_t)(NLM_F_REQUEST |
									   NLM_F_ACK | flags) } };
	memcpy(request->body, body, length);
	request->header.nlmsg_len += (uint32_t)NLMSG_ALIGN(length);
}

static void put(struct request *request, int type, const void *bytes, size_t length)
{
	struct rtattr *attribute =
		(struct rtattr *)((uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	attribute->rta_type = (uint16_t)type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(length);
	memcpy(RTA_DATA(attribute), bytes, length);
	request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) +
				    (uint32_t)RTA_ALIGN(attribute->rta_len);
}

/* Sends it and waits for the kernel's answer: 0, or -1 with errno. */
static int transact(int fd, const struct request *request)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		uint8_t rest[REQUEST_MAX];
	} answer;

	if (send(fd, request, request->header.nlmsg_len, 0) < 0)
		return -1;
	if (recv(fd, &answer, sizeof(answer), 0) < (ssize_t)NLMSG_LENGTH(sizeof(answer.error)) ||
	    answer.header.nlmsg_type != NLMSG_ERROR) {
		errno = EPROTO;
		return -1;
	}
	errno = -answer.error.error;
	return answer.error.error ? -1 : 0;
}

static int parse(const char *text, struct address *ret, struct failure *why)
{
	*ret = (struct address){ .family = strchr(text, ':') ? AF_INET6 : AF_INET };
	ret->length = ret->family == AF_INET6 ? 16 : 4;
	if (inet_pton(ret->family, text, ret->bytes) != 1)
		return failure_set(why, "'%.64s' is not an address", text);
	return 0;
}

static int link_up(int fd, const char *name, unsigned index, struct failure *why)
{
	struct ifinfomsg body = { .ifi_index = (int)index,
				  .ifi_flags = IFF_UP,
				  .ifi_change = IFF_UP };
	struct request request;

	begin(&request, RTM_NEWLINK, 0, &body, sizeof(body));
	if (transact(fd, &request) < 0)
		return failure_set(why, "raise %s: %s", name, strerror(errno));
	return 0;
}

static int add_address(int fd, unsigned index, const char *text, struct failure *why)
{
	struct ifaddrmsg body = { .ifa_index = index, .ifa_scope = RT_SCOPE_UNIVERSE };
	struct address address;
	struct request request;

	if (parse(text, &address, why) < 0)
		return -1;
	body.ifa_family = (uint8_t)address.family;
	body.ifa_prefixlen = (uint8_t)(address.length * 8);
	body.ifa_flags = address.family == AF_INET6 ? IFA_F_NODAD : 0;
	begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	put(&request, IFA_LOCAL, address.bytes, address.length);
	put(&request, IFA_ADDRESS, address.bytes, address.length);
	if (transact(fd, &request) < 0)
		return failure_set(why, "add address %s: %s", text, strerror(errno));
	return 0;
}

/* destination NULL: the default route, by way of `gateway`; else an on-link host route. */
static int add_route(int fd, unsigned index, const struct address *destination,
		     const struct address *gateway)
{
	int family = (destination ? destination : gateway)->family;
	struct rtmsg body = { .rtm_family = (uint8_t)family,
			      .rtm_table = RT_TABLE_MAIN,
			      .rtm_protocol = RTPROT_STATIC,
			      .rtm_type = RTN_UNICAST,
			      .rtm_scope = destination ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE };
	struct request request;

	if (destination)
		body.rtm_dst_len = (uint8_t)(destination->length * 8);
	else
		body.rtm_flags = RTNH_F_ONLINK;
	begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof(body));
	if (destination)
		put(&request, RTA_DST, destination->bytes, destination->length);
	else
		put(&request, RTA_GATEWAY, gateway->bytes, gateway->length);
	put(&request, RTA_OIF, &index, sizeof(index));
	return transact(fd, &request);
}

static int add_neighbour(int fd, unsigned index, const struct address *address,
			 const uint8_t mac[6])
{
	struct ndmsg body = { .ndm_family = (uint8_t)address->family,
			      .ndm_ifindex = (int)index,
			      .ndm_state = NUD_PERMANENT };
	struct request request;

	begin(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof(body));
	put(&request, NDA_DST, address->bytes, address->length);
	put(&request, NDA_LLADDR, mac, 6);
	return transact(fd, &request);
}

static int add_gateway(int fd, unsigned index, const char *text, const struct config *config,
		       struct failure *why)
{
	struct address gateway;

	if (parse(text, &gateway, why) < 0)
		return -1;
	if (config->has_gateway_mac && add_neighbour(fd, index, &gateway, config->gateway_mac) < 0)
		return failure_set(why, "add neighbour %s: %s", text, strerror(errno));
	if (add_route(fd, index, &gateway, NULL) < 0 && errno != EEXIST)
		return failure_set(why, "add route to gateway %s: %s", text, strerror(errno));
	if (add_route(fd, index, NULL, &gateway) < 0)
		return failure_set(why, "add default route by %s: %s", text, strerror(errno));
	return 0;
}

/* Best effort: without IPv6 in the kernel there is nothing to set, and the guard on the host stands
 * between a stray packet and the others in any case. */
static void set_ipv6(const char *key, const char *value)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/eth0/%s", key);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, value, strlen(value));
	close(fd);
}

static unsigned wait_for_link(const char *name)
{
	const struct timespec pause = { .tv_nsec = LINK_POLL_MS * 1000000L };
	unsigned index = if_nametoindex(name);

	for (int waited = 0; !index && waited < LINK_WAIT_MS; waited += LINK_POLL_MS) {
		nanosleep(&pause, NULL);
		index = if_nametoindex(name);
	}
	return index;
}

/* A gateway is of use only to a family that has an address. */
static bool is_wanted(const char *gateway, const struct list *addresses)
{
	bool ipv6 = strchr(gateway, ':');

	for (size_t i = 0; i < addresses->count; i++)
		if (!!strchr(addresses->items[i], ':') == ipv6)
			return true;
	return false;
}

static int set_up_eth0(int fd, const struct config *config, struct failure *why)
{
	unsigned index = wait_for_link("eth0");

	if (!index)
		return failure_set(why, "addresses are configured but there is no eth0");
	set_ipv6("accept_ra", "0");
	set_ipv6("autoconf", "0");
	set_ipv6("addr_gen_mode", "1"); /* no link-local address: the guard knows only ours */
	if (link_up(fd, "eth0", index, why) < 0)
		return -1;
	for (size_t i = 0; i < config->addresses.count; i++)
		if (add_address(fd, index, config->addresses.items[i], why) < 0)
			return -1;
	for (size_t i = 0; i < config->gateways.count; i++)
		if (is_wanted(config->gateways.items[i], &config->addresses) &&
		    add_gateway(fd, index, config->gateways.items[i], config, why) < 0)
			return -1;
	return 0;
}

int network_up(const struct config *config, struct failure *why)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int result;

	if (fd < 0)
		return failure_set(why, "open rtnetlink: %s", strerror(errno));
	result = link_up(fd, "lo", if_nametoindex("lo"), why);
	if (result == 0 && config->addresses.count)
		result = set_up_eth0(fd, config, why);
	close(fd);
	return result;
}
