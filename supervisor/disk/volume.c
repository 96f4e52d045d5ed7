/* SPDX-License-Identifier: Apache-2.0 */
/* Called by instance/ when a VM starts, and by the roster for stokerctl's `volume` commands. */
#include "disk/volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "disk/disk.h"

#define SUFFIX ".ext4"

static char *path_of(const char *state_dir, const char *id)
{
	return xasprintf("%s/volumes/%s" SUFFIX, state_dir, id);
}

/* Under another name first: a crash on the way leaves no volume that cannot be mounted. */
static int create(const char *path, uint64_t size_bytes, uid_t owner, struct error *err)
{
	struct disk_options options = { .size_bytes = size_bytes,
					.now = time(NULL),
					.owner = owner };
	_cleanup_free_ char *temporary = xasprintf("%s.new", path);
	_cleanup_free_ char *directory = xstrndup(path, (size_t)(strrchr(path, '/') - path));
	_cleanup_close_ int fd = -1;

	if (getrandom(options.uuid, sizeof(options.uuid), 0) != sizeof(options.uuid))
		return error_errno(err, errno, "getrandom");
	if (fs_mkdir_p(directory, 0700, err) < 0)
		return -1;
	if (unlink(temporary) < 0 && errno != ENOENT)
		return error_errno(err, errno, "%s: cannot remove", temporary);
	if (disk_create(temporary, &options, &fd, err) < 0)
		return -1;
	if (fsync(fd) < 0 || rename(temporary, path) < 0) {
		error_errno(err, errno, "%s: cannot create", path);
		unlink(temporary);
		return -1;
	}
	return fs_sync_directory_of(path, err);
}

static int adjust(int fd, const char *path, uint64_t size_bytes, uid_t owner, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, "%s: not a regular file", path);
	if ((uint64_t)st.st_size > size_bytes)
		return error_set(err,
				 "%s: has %" PRIu64
				 " bytes already, and volumes do not shrink (ask "
				 "for at least as many)",
				 path, (uint64_t)st.st_size);
	if ((uint64_t)st.st_size < size_bytes && ftruncate(fd, (off_t)size_bytes) < 0)
		return error_errno(err, errno, "%s: cannot make it longer", path);
	if (fchown(fd, owner, (gid_t)-1) < 0)
		return error_errno(err, errno, "%s: cannot give it to the VM's uid", path);
	return 0;
}

int volume_open(const char *state_dir, const char *id, uint64_t size_bytes, uid_t owner,
		int *ret_fd, struct error *err)
{
	_cleanup_free_ char *path = path_of(state_dir, id);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT) {
		if (create(path, size_bytes, owner, err) < 0)
			return -1;
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0)
		return error_errno(err, errno, "%s: cannot open", path);
	if (adjust(fd, path, size_bytes, owner, err) < 0)
		return -1;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* --- all of them ----------------------------------------------------------------------------- */

static void add(struct volume_list *list, const char *tenant, const char *file,
		const struct stat *st)
{
	list->items = xreallocarray(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = (struct volume){
		.id = xasprintf("%s/%.*s", tenant, (int)(strlen(file) - strlen(SUFFIX)), file),
		.size_bytes = (uint64_t)st->st_size,
		.used_bytes = (uint64_t)st->st_blocks * 512,
	};
}

static int list_tenant(const char *top, const char *tenant, struct volume_list *list,
		       struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", top, tenant);
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return errno == ENOTDIR ? 0 : error_errno(err, errno, "%s: cannot list", path);
	while ((entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);
		struct stat st;

		if (entry->d_name[0] == '.' || length <= strlen(SUFFIX) ||
		    strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			add(list, tenant, entry->d_name, &st);
	}
	closedir(dir);
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct volume *)a)->id, ((const struct volume *)b)->id);
}

int volume_list(const char *state_dir, struct volume_list *ret, struct error *err)
{
	_cleanup_free_ char *top = xasprintf("%s/volumes", state_dir);
	DIR *dir = opendir(top);
	struct volume_list list = { 0 };
	struct dirent *entry;
	int result = 0;

	if (!dir && errno != ENOENT)
		return error_errno(err, errno, "%s: cannot list", top);
	while (dir && result == 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			result = list_tenant(top, entry->d_name, &list, err);
	if (dir)
		closedir(dir);
	if (result < 0) {
		volume_list_reset(&list);
		return -1;
	}
	if (list.count)
		qsort(list.items, list.count, sizeof(*list.items), compare);
	*ret = list;
	return 0;
}

void volume_list_reset(struct volume_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].id);
	free(list->items);
	*list = (struct volume_list){ 0 };
}

int volume_remove(const char *state_dir, const char *id, struct error *err)
{
	_cleanup_free_ char *path = path_of(state_dir, id);
	_cleanup_free_ char *directory = xstrndup(path, (size_t)(strrchr(path, '/') - path));

	if (unlink(path) < 0)
		return error_errno(err, errno, "%s: cannot remove", path);
	rmdir(directory); /* the tenant's last */
	return 0;
}
