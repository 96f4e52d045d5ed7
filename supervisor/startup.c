/* SPDX-License-Identifier: Apache-2.0 */
#include "startup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "privilege.h"

/* One daemon per run directory. The lock goes with the process, however it ends: a record lock, for
 * one of flock(2) would live on in a child that has not reached its exec. */
static int take_lock(const struct settings *settings, int *ret_fd, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/lock", settings->run_dir);
	_cleanup_close_ int fd = -1;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fs_mkdir_p(settings->run_dir, 0755, err) < 0)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, errno, "%s: cannot open", path);
	if (fcntl(fd, F_SETLK, &lock) == 0) {
		*ret_fd = take_fd(&fd);
		return 0;
	}
	if (errno != EACCES && errno != EAGAIN)
		return error_errno(err, errno, "%s: cannot lock", path);
	if (fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		lock.l_pid = 0;
	return error_set(err, "%s: another stokerd is running, process %d (stop it first)", path,
			 (int)lock.l_pid);
}

/* A handful of descriptors per VM: the usual soft limit of 1024 would end at 200 of them. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int startup_prepare(const struct settings *settings, int *ret_lock_fd, struct error *err)
{
	umask(022);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	if (privilege_drop(err) < 0 || take_lock(settings, ret_lock_fd, err) < 0 ||
	    fs_mkdir_p(settings->state_dir, 0755, err) < 0 ||
	    fs_mkdir_p(settings->log_dir, 0755, err) < 0)
		return -1;
	return 0;
}
