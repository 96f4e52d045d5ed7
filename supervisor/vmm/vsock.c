/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "vmm/sockets.h"
#include "vmm/vmm.h"

struct vsock {
	int fd;		     /* owned; listens */
	struct watch *watch; /* owned */
	vsock_fn *fn;
	void *data;
};

static void on_connection(struct watch *watch, unsigned events, void *data)
{
	struct vsock *vsock = data;
	int fd = accept4(vsock->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)watch;
	(void)events;
	if (fd >= 0)
		vsock->fn(vsock->data, fd);
}

int vsock_listen(struct loop *loop, int root_fd, const char *name, uid_t uid, vsock_fn *fn,
		 void *data, struct vsock **ret, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s_%d", name, VMM_CHANNEL_PORT);
	_cleanup_close_ int fd = -1;
	struct vsock *vsock;

	if (socket_listen(root_fd, path, &fd, err) < 0)
		return -1;
	/* Connecting takes the right to write. No link is followed, whoever laid one here. */
	if (fchownat(root_fd, path, uid, uid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(err, errno, "%s: give it to uid %u", path, uid);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return error_errno(err, errno, "%s: set O_NONBLOCK", path);
	vsock = xcalloc(1, sizeof(*vsock));
	vsock->fd = take_fd(&fd);
	vsock->fn = fn;
	vsock->data = data;
	vsock->watch = loop_io(loop, vsock->fd, LOOP_READ, on_connection, vsock);
	*ret = vsock;
	return 0;
}

struct vsock *vsock_free(struct vsock *vsock)
{
	if (!vsock)
		return NULL;
	watch_free(vsock->watch);
	close(vsock->fd);
	free(vsock);
	return NULL;
}
