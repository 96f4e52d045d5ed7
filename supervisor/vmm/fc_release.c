/* SPDX-License-Identifier: Apache-2.0 */
/* Called by firecracker.c before each start, and by vmm.c to see whether Firecracker is there. */
#include "vmm/fc_release.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/program.h"

enum { OUTPUT_MAX = 512, TIMEOUT_MS = 5000 };

bool fc_release_at_least(const struct fc_release *release, struct fc_release wanted)
{
	if (release->major != wanted.major)
		return release->major > wanted.major;
	if (release->minor != wanted.minor)
		return release->minor > wanted.minor;
	return release->patch >= wanted.patch;
}

int fc_release_from_text(const char *text, const char *path, struct fc_release *ret,
			 struct error *err)
{
	struct fc_release release, oldest = FC_RELEASE_MIN;

	if (sscanf(text, "Firecracker v%4u.%4u.%4u", &release.major, &release.minor,
		   &release.patch) != 3)
		return error_set(err,
				 "%s: does not say its version as Firecracker does (set "
				 "`firecracker` in stoker.ini)",
				 path);
	if (!fc_release_at_least(&release, oldest))
		return error_set(
			err, "%s: Firecracker %u.%u.%u is too old (%u.%u or later is needed)", path,
			release.major, release.minor, release.patch, oldest.major, oldest.minor);
	*ret = release;
	return 0;
}

static int ask(const char *path, struct fc_release *ret, struct error *err)
{
	char *argv[] = { (char *)path, "--version", NULL };
	_cleanup_strbuf_ struct strbuf line = { 0 };
	struct program program = { .argv = argv,
				   .input_fd = -1,
				   .is_one_line = true,
				   .output_max = OUTPUT_MAX,
				   .timeout_ms = TIMEOUT_MS };
	int status;

	if (program_run(&program, &line, &status, err) < 0)
		return -1;
	return fc_release_from_text(strbuf_text(&line), path, ret, err);
}

static int check_file(const char *path, struct stat *ret, struct error *err)
{
	if (stat(path, ret) < 0)
		return error_errno(err, errno,
				   "%s: cannot run it (install Firecracker, or set `firecracker` "
				   "in stoker.ini)",
				   path);
	if (!S_ISREG(ret->st_mode) || !(ret->st_mode & 0111))
		return error_set(err, "%s: not a program", path);
	/* It runs as root until the jailer has dropped that. */
	if (ret->st_uid != 0 || (ret->st_mode & 022))
		return error_set(err, "%s: others than root can write it (chown root, chmod go-w)",
				 path);
	return 0;
}

int fc_release_read(const char *path, struct fc_release *ret, struct error *err)
{
	static struct stat known;
	static struct fc_release release;
	_cleanup_free_ char *real = realpath(path, NULL);
	struct stat st;

	if (check_file(real ? real : path, &st, err) < 0)
		return -1;
	if (st.st_dev != known.st_dev || st.st_ino != known.st_ino ||
	    st.st_mtim.tv_sec != known.st_mtim.tv_sec ||
	    st.st_mtim.tv_nsec != known.st_mtim.tv_nsec || st.st_size != known.st_size) {
		if (ask(real, &release, err) < 0)
			return -1;
		known = st;
	}
	*ret = release;
	return 0;
}
