/* SPDX-License-Identifier: Apache-2.0 */
/* SO_PEERCRED and SO_PEERGROUPS of socket(7): what held when the peer connected. */
#include "control/peer.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/alloc.h"

static int read_groups(int fd, struct peer *peer, struct error *err)
{
	socklen_t size = 0;

	/* With no room, it says how much there has to be. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE)
		return error_errno(err, errno, "cannot tell the groups of who is connected");
	peer->groups = xreallocarray(peer->groups, 1 + size / sizeof(gid_t), sizeof(gid_t));
	if (size && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups + 1, &size) < 0)
		return error_errno(err, errno, "cannot tell the groups of who is connected");
	peer->group_count += size / sizeof(gid_t);
	return 0;
}

int peer_read(int fd, struct peer *ret, struct error *err)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	*ret = (struct peer){ .uid = (uid_t)-1 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return error_errno(err, errno, "cannot tell who is connected");
	ret->pid = credentials.pid;
	ret->uid = credentials.uid;
	ret->groups = xcalloc(1, sizeof(gid_t));
	ret->groups[0] = credentials.gid;
	ret->group_count = 1;
	return read_groups(fd, ret, err);
}

void peer_reset(struct peer *peer)
{
	free(peer->groups);
	*peer = (struct peer){ .uid = (uid_t)-1 };
}

bool peer_is_in(const struct peer *peer, const char *group)
{
	const struct group *found = getgrnam(group);

	for (size_t i = 0; found && i < peer->group_count; i++)
		if (peer->groups[i] == found->gr_gid)
			return true;
	return false;
}
