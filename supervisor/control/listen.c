/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes possession of a socket, for server.c and metrics.c: of one in the run directory replaces
 * what a dead daemon left, and removes on the way out what is still its own. See unix(7), tcp(7).
 */
#include "control/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

enum { LISTEN_BACKLOG = 32 };

static int fill_address(const char *path, struct sockaddr_un *ret, struct error *err)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(ret->sun_path))
		return error_set(err, "%s: too long for a socket (choose a shorter run_dir)", path);
	memcpy(ret->sun_path, path, strlen(path) + 1);
	return 0;
}

/* The caller holds the lock of the run directory, so a socket in it is a dead daemon's. Connecting
 * would prove nothing: a child of that daemon that has not reached its exec may hold it a while. */
static int remove_stale(const char *path, struct error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(err, errno, "%s: cannot inspect", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, "%s: is in the way and no socket (move it)", path);
	if (unlink(path) < 0)
		return error_errno(err, errno, "%s: cannot remove the socket of a dead daemon",
				   path);
	return 0;
}

static int bind_and_listen(struct listener *listener, const struct sockaddr_un *address,
			   mode_t mode, struct error *err)
{
	mode_t mask;
	int result;

	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return error_errno(err, errno, "%s: cannot make a socket", listener->path);
	mask = umask(~mode & 0777);
	result = bind(listener->fd, (const struct sockaddr *)address, sizeof(*address));
	umask(mask);
	if (result < 0)
		return error_errno(err, errno, "%s: cannot bind", listener->path);
	if (lstat(listener->path, &listener->made) < 0 || listen(listener->fd, LISTEN_BACKLOG) < 0)
		return error_errno(err, errno, "%s: cannot listen", listener->path);
	return 0;
}

int listen_unix(const char *run_dir, const char *name, mode_t mode, struct listener *ret,
		struct error *err)
{
	struct sockaddr_un address;

	*ret = (struct listener){ .fd = -1, .path = xasprintf("%s/%s", run_dir, name) };
	if (fs_mkdir_p(run_dir, 0755, err) < 0 || fill_address(ret->path, &address, err) < 0 ||
	    remove_stale(ret->path, err) < 0)
		return -1;
	return bind_and_listen(ret, &address, mode, err);
}

/* The kernel's form of an endpoint; its length. */
static socklen_t fill_endpoint(const struct endpoint *endpoint, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

	*ret = (struct sockaddr_storage){ 0 };
	if (endpoint->address.family == 4) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons(endpoint->port);
		memcpy(&in4->sin_addr, endpoint->address.bytes, 4);
		return sizeof(*in4);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(endpoint->port);
	memcpy(&in6->sin6_addr, endpoint->address.bytes, 16);
	return sizeof(*in6);
}

int listen_tcp(const struct endpoint *endpoint, struct listener *ret, struct error *err)
{
	struct sockaddr_storage address;
	socklen_t length = fill_endpoint(endpoint, &address);
	int on = 1;

	*ret = (struct listener){ .fd = -1 };
	ret->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ret->fd < 0)
		return error_errno(err, errno, "cannot make a socket");
	setsockopt(ret->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address.ss_family == AF_INET6)
		setsockopt(ret->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(ret->fd, (const struct sockaddr *)&address, length) < 0)
		return error_errno(err, errno, "cannot bind");
	if (listen(ret->fd, LISTEN_BACKLOG) < 0)
		return error_errno(err, errno, "cannot listen");
	return 0;
}

void listen_close(struct listener *listener)
{
	struct stat there;

	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->made.st_ino && lstat(listener->path, &there) == 0 &&
	    there.st_ino == listener->made.st_ino && there.st_dev == listener->made.st_dev)
		unlink(listener->path);
	free(listener->path);
	*listener = (struct listener){ .fd = -1 };
}
