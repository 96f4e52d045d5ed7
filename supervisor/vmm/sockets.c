/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

static void set_path(struct sockaddr_un *ret, int fd, const char *name)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (name)
		snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", fd, name);
	else
		snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d", fd);
}

int socket_listen(int dir_fd, const char *name, int *ret_fd, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	if (fd < 0)
		return error_errno(err, errno, "%s: socket", name);
	set_path(&address, dir_fd, name);
	unlinkat(dir_fd, name, 0);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
		return error_errno(err, errno, "%s: listen", name);
	*ret_fd = take_fd(&fd);
	return 0;
}

static int connect_to(const struct sockaddr_un *address, const char *name, int *ret_fd,
		      struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return error_errno(err, errno, "%s: socket", name);
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return error_errno(err, errno, "%s: connect", name);
	*ret_fd = take_fd(&fd);
	return 0;
}

int socket_connect(int dir_fd, const char *name, int *ret_fd, struct error *err)
{
	struct sockaddr_un address;

	set_path(&address, dir_fd, name);
	return connect_to(&address, name, ret_fd, err);
}

int socket_find_beneath(int dir_fd, const char *path, uid_t uid, int *ret_fd, struct error *err)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					   RESOLVE_NO_XDEV };
	_cleanup_close_ int at = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
	_cleanup_close_ int fd = -1;
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	struct sockaddr_un address;
	struct stat st;

	if (at < 0 || fstat(at, &st))
		return error_errno(err, errno, "%s: open", path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, "%s: not a socket", path);
	set_path(&address, at, NULL);
	if (connect_to(&address, path, &fd, err))
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return error_errno(err, errno, "%s: ask who listens", path);
	if (peer.uid != uid)
		return error_set(err, "%s: uid %u listens there, not %u", path, peer.uid, uid);
	*ret_fd = take_fd(&at);
	return 0;
}
