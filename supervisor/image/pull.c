/* SPDX-License-Identifier: Apache-2.0 */
/* Called by stokerctl. A store and a single request; what they publish becomes the file. */
#include "image/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

struct image_pull {
	struct settings settings; /* a copy that borrows all but state_dir */
	char *output;		  /* owned, as is the next */
	char *part;		  /* the store's directory */
	int lock_fd;		  /* of that directory, locked */
	struct image_store *store;
	struct image_request *request; /* NULL: answered */
	image_pull_fn *fn;
	void *data;
};

/* --- the directory -----------------------------------------------------------------------------
 */

static char *part_path(const char *output)
{
	const char *slash = strrchr(output, '/');
	int directory = slash ? (int)(slash + 1 - output) : 0;

	return xasprintf("%.*s.%s.part", directory, output, output + directory);
}

static int check_output(const char *output, struct error *err)
{
	struct stat st;

	if (!*output || output[strlen(output) - 1] == '/')
		return error_set(err, "'%s' is not the name of a file", output);
	if (lstat(output, &st) < 0)
		return errno == ENOENT ? 0 : error_errno(err, errno, "%s", output);
	if (!S_ISREG(st.st_mode))
		return error_set(err, "%s: is there, and not a plain file (name another)", output);
	return 0;
}

/* What somebody else put there could lead anywhere. */
static int open_part(const char *path, int *ret, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_errno(err, errno, "%s: cannot create", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "%s: cannot open", path);
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return error_set(err, "%s: belongs to somebody else (remove it)", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return error_set(err, "%s: another pull is at work on this file", path);
	/* One that ended just now took the directory with it. */
	if (fstat(fd, &st) < 0 || st.st_nlink == 0)
		return error_set(err, "%s: another pull has just ended (try again)", path);
	*ret = take_fd(&fd);
	return 0;
}

/* --- the outcome -------------------------------------------------------------------------------
 */

static int keep(const struct image_pull *pull, const struct image *image, struct error *err)
{
	/* Read-only it is only in a store; a file of the caller's own may be written. */
	if (chmod(image->squashfs_path, 0644) < 0 || rename(image->squashfs_path, pull->output) < 0)
		return error_errno(err, errno, "%s: cannot write", pull->output);
	return fs_sync_directory_of(pull->output, err);
}

static void on_image(void *data, const struct image *image, const struct error *err, bool retry)
{
	struct image_pull *pull = data;
	struct error why;

	(void)retry;
	pull->request = NULL;
	if (image && keep(pull, image, &why) < 0) {
		image = NULL;
		err = &why;
	}
	pull->fn(pull->data, image, err);
}

/* --- start and end -----------------------------------------------------------------------------
 */

int image_pull_start(struct loop *loop, const struct settings *settings,
		     const struct image_pull_options *options, image_pull_fn *fn, void *data,
		     struct image_pull **ret, struct error *err)
{
	struct image_pull *pull;

	if (geteuid() != 0)
		return error_set(err,
				 "only root can: the work is done as users %u and %u, which "
				 "have no other rights (sudo stokerctl ...)",
				 (unsigned)settings->uid_base, (unsigned)settings->uid_base + 1);
	if (check_output(options->output, err) < 0)
		return -1;
	pull = xcalloc(1, sizeof(*pull));
	pull->lock_fd = -1;
	pull->output = xstrdup(options->output);
	pull->part = part_path(options->output);
	pull->fn = fn;
	pull->data = data;
	pull->settings = *settings;
	pull->settings.state_dir = pull->part;
	if (options->compression)
		pull->settings.compression = *options->compression;
	if (open_part(pull->part, &pull->lock_fd, err) < 0 ||
	    image_store_open(loop, &pull->settings, &pull->store, err) < 0 ||
	    image_store_set_platform(pull->store, options->platform, err) < 0) {
		image_pull_free(pull);
		return -1;
	}
	pull->request = image_request(pull->store, options->reference, PULL_ALWAYS, on_image, pull);
	*ret = pull;
	return 0;
}

void image_pull_progress(const struct image_pull *pull, struct image_progress *ret)
{
	*ret = (struct image_progress){ 0 };
	if (pull->request)
		image_request_progress(pull->request, ret);
}

struct image_pull *image_pull_free(struct image_pull *pull)
{
	if (!pull)
		return NULL;
	if (pull->store)
		image_store_close(pull->store);
	/* While the lock is held: nobody else's. */
	if (pull->lock_fd >= 0) {
		fs_remove_tree(pull->part, NULL);
		close(pull->lock_fd);
	}
	free(pull->output);
	free(pull->part);
	free(pull);
	return NULL;
}
