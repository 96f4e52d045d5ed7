/* SPDX-License-Identifier: Apache-2.0 */
#include "net/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"

int netns_enter(int netns_fd, int *ret_home, struct error *err)
{
	_cleanup_close_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (home < 0)
		return error_errno(err, errno, "/proc/self/ns/net");
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return error_errno(err, errno, "enter the VM's network namespace");
	*ret_home = take_fd(&home);
	return 0;
}

void netns_return(int home)
{
	if (setns(home, CLONE_NEWNET) < 0)
		abort();
	close(home);
}
