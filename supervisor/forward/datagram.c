/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets that take datagrams: /dev/log, journald, UDP. The socket is connected, so that epoll
 * tells when a slow daemon has room again (unix(7)), and an absent one is told by an error. A
 * message that is too large for a datagram goes to journald in a sealed memory file, as
 * https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ says.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "forward/outlet.h"
#include "model/address.h"

struct outlet {
	struct outlet_context context;
	const char *where; /* for messages; static, or the target's */
	int fd;
	struct watch *watch; /* owned */
};

static void on_socket(struct watch *watch, unsigned events, void *data)
{
	struct outlet *outlet = data;

	(void)events;
	watch_set_events(watch, 0);
	outlet->context.ready(outlet->context.data);
}

static struct outlet *outlet_free(struct outlet *outlet)
{
	if (!outlet)
		return NULL;
	watch_free(outlet->watch);
	if (outlet->fd >= 0)
		close(outlet->fd);
	free(outlet);
	return NULL;
}

static int open_outlet(const struct outlet_context *context, const char *where, const void *address,
		       socklen_t length, struct outlet **ret, struct error *err)
{
	struct outlet *outlet = xcalloc(1, sizeof(*outlet));

	outlet->context = *context;
	outlet->where = where;
	outlet->fd = socket(((const struct sockaddr *)address)->sa_family,
			    SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (outlet->fd < 0 || connect(outlet->fd, address, length) < 0) {
		error_errno(err, errno, "%s: cannot connect", where);
		outlet_free(outlet);
		return -1;
	}
	outlet->watch = loop_io(context->loop, outlet->fd, LOOP_WRITE, on_socket, outlet);
	*ret = outlet;
	return 0;
}

static int open_unix(const struct outlet_context *context, const char *path, struct outlet **ret,
		     struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, path);
	return open_outlet(context, path, &address, sizeof(address), ret, err);
}

static int syslog_open(const struct outlet_context *context, struct outlet **ret, struct error *err)
{
	return open_unix(context, "/dev/log", ret, err);
}

static int journal_open(const struct outlet_context *context, struct outlet **ret,
			struct error *err)
{
	return open_unix(context, "/run/systemd/journal/socket", ret, err);
}

static int udp_open(const struct outlet_context *context, struct outlet **ret, struct error *err)
{
	const struct target *target = context->target;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(target->port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(target->port) };

	if (inet_pton(AF_INET, target->host, &four.sin_addr) == 1)
		return open_outlet(context, target->host, &four, sizeof(four), ret, err);
	if (inet_pton(AF_INET6, target->host, &six.sin6_addr) == 1)
		return open_outlet(context, target->host, &six, sizeof(six), ret, err);
	return error_set(err, "%s: not an address", target->host);
}

/* --- sending --------------------------------------------------------------------------------- */

/* As for outlet_driver.send; errno is of a send. */
static int send_failed(struct outlet *outlet, struct error *err)
{
	if (errno == EAGAIN || errno == EINTR) {
		watch_set_events(outlet->watch, LOOP_WRITE);
		return 0;
	}
	return error_errno(err, errno, "%s: cannot send", outlet->where);
}

static int outlet_send(struct outlet *outlet, const void *bytes, size_t length, struct error *err)
{
	if (send(outlet->fd, bytes, length, MSG_NOSIGNAL) < 0)
		return send_failed(outlet, err);
	return 1;
}

static int seal(const void *bytes, size_t length, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("stoker-log", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return error_errno(err, errno, "cannot create a memory file");
	if (fs_write_all(fd, bytes, length, err) < 0)
		return -1;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return error_errno(err, errno, "cannot seal a memory file");
	*ret_fd = take_fd(&fd);
	return 0;
}

static int send_sealed(struct outlet *outlet, const void *bytes, size_t length, struct error *err)
{
	_cleanup_close_ int fd = -1;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);

	if (seal(bytes, length, &fd, err) < 0)
		return -1;
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &fd, sizeof(int));
	if (sendmsg(outlet->fd, &message, MSG_NOSIGNAL) < 0)
		return send_failed(outlet, err);
	return 1;
}

static int journal_send(struct outlet *outlet, const void *bytes, size_t length, struct error *err)
{
	if (send(outlet->fd, bytes, length, MSG_NOSIGNAL) >= 0)
		return 1;
	if (errno == EMSGSIZE || errno == ENOBUFS)
		return send_sealed(outlet, bytes, length, err);
	return send_failed(outlet, err);
}

/* --- formats --------------------------------------------------------------------------------- */

static void syslog_encode(const struct message *message, const char *hostname, struct strbuf *out)
{
	(void)hostname; /* the host's own daemon knows it */
	message_add_rfc3164(message, out);
}

static void journal_encode(const struct message *message, const char *hostname, struct strbuf *out)
{
	(void)hostname;
	message_add_journal(message, out);
}

static void udp_encode(const struct message *message, const char *hostname, struct strbuf *out)
{
	message_add_rfc5424(message, hostname, MESSAGE_UDP_MAX, out);
}

const struct outlet_driver outlet_syslog = {
	.open = syslog_open,
	.send = outlet_send,
	.free = outlet_free,
	.encode = syslog_encode,
};

const struct outlet_driver outlet_journal = {
	.open = journal_open,
	.send = journal_send,
	.free = outlet_free,
	.encode = journal_encode,
};

const struct outlet_driver outlet_udp = {
	.open = udp_open,
	.send = outlet_send,
	.free = outlet_free,
	.encode = udp_encode,
};
