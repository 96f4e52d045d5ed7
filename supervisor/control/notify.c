/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_notify(3) without libsystemd: one datagram of "NAME=value" lines to the AF_UNIX socket that
 * NOTIFY_SOCKET names, a path or ("@...") an abstract name. The daemon calls; systemd, or any
 * manager that speaks the protocol, listens.
 */
#include "control/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/strbuf.h"

static int address_of(const char *name, struct sockaddr_un *ret, socklen_t *ret_length,
		      struct error *err)
{
	size_t length = strlen(name);

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (name[0] != '/' && name[0] != '@')
		return error_set(err, "NOTIFY_SOCKET=%s: neither a path nor an abstract socket",
				 name);
	if (length < 2 || length >= sizeof(ret->sun_path))
		return error_set(err, "NOTIFY_SOCKET=%s: not a possible socket name", name);
	memcpy(ret->sun_path, name, length);
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
	if (name[0] == '@') {
		/* The length of an abstract name is that of the address: unix(7). */
		ret->sun_path[0] = '\0';
		*ret_length -= 1;
	}
	return 0;
}

static int send_message(const struct strbuf *message, struct error *err)
{
	/* A manager that does not read must not stop the daemon for good. */
	static const struct timeval patience = { .tv_sec = 1 };
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t length = 0;
	_cleanup_close_ int fd = -1;

	if (!name || !*name)
		return 0;
	if (address_of(name, &address, &length, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return error_errno(err, errno, "NOTIFY_SOCKET=%s: cannot make a socket", name);
	if (sendto(fd, message->data, message->length, MSG_NOSIGNAL, (struct sockaddr *)&address,
		   length) < 0)
		return error_errno(err, errno, "NOTIFY_SOCKET=%s: cannot notify", name);
	return 0;
}

/* A newline would start another assignment. */
static void add_status(struct strbuf *message, const char *status)
{
	strbuf_puts(message, "STATUS=");
	for (const char *c = status; *c; c++)
		strbuf_putc(message, *c == '\n' ? ' ' : *c);
	strbuf_putc(message, '\n');
}

int notify_ready(const char *status, struct error *err)
{
	_cleanup_strbuf_ struct strbuf message = { 0 };

	strbuf_puts(&message, "READY=1\n");
	add_status(&message, status);
	return send_message(&message, err);
}

int notify_reloading(struct error *err)
{
	_cleanup_strbuf_ struct strbuf message = { 0 };
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	strbuf_printf(&message, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
		      (unsigned long long)now.tv_sec * 1000000 +
			      (unsigned long long)now.tv_nsec / 1000);
	return send_message(&message, err);
}

int notify_status(const char *status, struct error *err)
{
	_cleanup_strbuf_ struct strbuf message = { 0 };

	add_status(&message, status);
	return send_message(&message, err);
}

int notify_stopping(struct error *err)
{
	_cleanup_strbuf_ struct strbuf message = { 0 };

	strbuf_puts(&message, "STOPPING=1\n");
	return send_message(&message, err);
}
