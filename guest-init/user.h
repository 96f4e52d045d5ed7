/* SPDX-License-Identifier: Apache-2.0 */
/* Who the workload runs as: the image's or manifest's `user`, resolved in the image's own files. */
#ifndef STOKER_GUEST_INIT_USER_H
#define STOKER_GUEST_INIT_USER_H

#include <stddef.h>
#include <sys/types.h>

#include "guest-init/failure.h"

enum { USER_GROUPS_MAX = 64, USER_HOME_MAX = 256 };

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USER_GROUPS_MAX]; /* supplementary */
	size_t group_count;
	char home[USER_HOME_MAX];
};

/* `who` is "name", "uid", "name:group", "uid:gid" or NULL (root). `passwd` and `group` are the
 * texts of those files, "" when there are none. A number need not stand in them; a name must. With
 * a group given there are no supplementary groups, as Docker does it. */
int user_resolve(const char *who, const char *passwd, const char *group, struct user *ret,
		 struct failure *why);

#endif
