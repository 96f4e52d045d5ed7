/* SPDX-License-Identifier: Apache-2.0 */
/* guest-init/user.c and root.c: users as an image's files say, and files that lie where they lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "guest-init/failure.c"
#include "guest-init/root.c"
#include "guest-init/user.c"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# a comment\n"
			     "short:x:5\n"
			     "bad:x:4294967295:1:::\n"
			     "worse:x:-1:1:::\n"
			     "app:x:1000:1001:App,,:/home/app:/bin/sh\n"
			     "42:x:77:78::/forty-two:\n"
			     "homeless:x:9:9:::\n"
			     "last:x:8:8::/l";
static const char group[] = "root:x:0:\nstaff:x:50:app,other\nwheel:x:51:xapp,app\napp:x:1001:app\n"
			    "crowd:x:x:app\nnogid:x\nprefix:x:52:ap,appx\n";

static void test_users(void **state)
{
	static const struct {
		const char *who;
		uid_t uid;
		gid_t gid;
		size_t groups;
		const char *home;
	} rows[] = {
		{ NULL, 0, 0, 0, "/root" },
		{ "", 0, 0, 0, "/root" },
		{ "root", 0, 0, 0, "/root" },
		{ "app", 1000, 1001, 2, "/home/app" },
		{ "1000", 1000, 1001, 2, "/home/app" },
		{ "app:staff", 1000, 50, 0, "/home/app" },
		{ "app:4000", 1000, 4000, 0, "/home/app" },
		{ "app:", 1000, 1001, 2, "/home/app" },
		{ ":staff", 0, 50, 0, "/root" },
		{ "5000", 5000, 0, 0, "/" },
		{ "5000:6000", 5000, 6000, 0, "/" },
		{ "42", 77, 78, 0, "/forty-two" },
		{ "homeless", 9, 9, 0, "/" },
		{ "last", 8, 8, 0, "/l" },
		{ "4294967294", 4294967294, 0, 0, "/" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct failure why = { "" };
		struct user user;

		assert_int_equal(user_resolve(rows[i].who, passwd, group, &user, &why), 0);
		assert_int_equal(user.uid, rows[i].uid);
		assert_int_equal(user.gid, rows[i].gid);
		assert_int_equal(user.group_count, rows[i].groups);
		assert_string_equal(user.home, rows[i].home);
	}
}

static void test_refused_users(void **state)
{
	static const struct {
		const char *who, *message;
	} rows[] = {
		{ "nobody", "user 'nobody' is not in the image's /etc/passwd" },
		{ "bad", "user 'bad' is not in the image's /etc/passwd" },
		{ "worse", "user 'worse' is not in the image's /etc/passwd" },
		{ "short", "user 'short' is not in the image's /etc/passwd" },
		{ "4294967295", "user '4294967295' is not in the image's /etc/passwd" },
		{ "-1", "user '-1' is not in the image's /etc/passwd" },
		{ "app:none", "group 'none' is not in the image's /etc/group" },
		{ "app:crowd", "group 'crowd' is not in the image's /etc/group" },
		{ "app:nogid", "group 'nogid' is not in the image's /etc/group" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct failure why = { "" };
		struct user user;

		assert_int_equal(user_resolve(rows[i].who, passwd, group, &user, &why), -1);
		assert_string_equal(why.text, rows[i].message);
	}
}

static void test_no_files(void **state)
{
	struct failure why = { "" };
	struct user user;

	(void)state;
	assert_int_equal(user_resolve(NULL, "", "", &user, &why), 0);
	assert_int_equal(user.uid, 0);
	assert_string_equal(user.home, "/");
	assert_int_equal(user_resolve("app", "", "", &user, &why), -1);
}

static void test_many_groups(void **state)
{
	_cleanup_strbuf_ struct strbuf many = { 0 };
	struct failure why = { "" };
	struct user user;

	(void)state;
	for (int i = 0; i < 1000; i++)
		strbuf_printf(&many, "g%d:x:%d:app\n", i, 2000 + i);
	assert_int_equal(user_resolve("app", passwd, strbuf_text(&many), &user, &why), 0);
	assert_int_equal(user.group_count, USER_GROUPS_MAX);
}

/* --- files inside a root -------------------------------------------------------------------- */

struct place {
	char *path;
	int root;
};

static int make_place(void **state)
{
	char template[] = "/tmp/test_guest_root.XXXXXX";
	struct place *place = xcalloc(1, sizeof(*place));

	place->path = xstrdup(mkdtemp(template));
	place->root = open(place->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*state = place;
	return place->root < 0 ? -1 : 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;

	close(place->root);
	fs_remove_tree(place->path, NULL);
	free(place->path);
	free(place);
	return 0;
}

static void test_links_stay_inside(void **state)
{
	const struct place *place = *state;
	struct failure why = { "" };
	char *text;

	assert_int_equal(mkdirat(place->root, "etc", 0755), 0);
	assert_int_equal(symlinkat("/etc/passwd", place->root, "etc/link"), 0);
	assert_int_equal(symlinkat("../../../../../../etc/passwd", place->root, "etc/up"), 0);
	/* Neither reads the machine's own file: there is none inside. */
	text = root_read(place->root, "/etc/link");
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(root_replace(place->root, "/etc", "passwd", "inside\n", &why), 0);
	text = root_read(place->root, "/etc/up");
	assert_string_equal(text, "inside\n");
	free(text);
}

static void test_replace(void **state)
{
	const struct place *place = *state;
	struct failure why = { "" };
	struct stat st;
	char *text;

	/* The directory is made; a link is replaced itself, its target left alone. */
	assert_int_equal(root_replace(place->root, "/a/b", "file", "one", &why), 0);
	assert_int_equal(symlinkat("file", place->root, "a/b/link"), 0);
	assert_int_equal(root_replace(place->root, "/a/b", "link", "two", &why), 0);
	text = root_read(place->root, "/a/b/file");
	assert_string_equal(text, "one");
	free(text);
	assert_int_equal(fstatat(place->root, "a/b/link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0644);
	/* A directory in the way is an error that leaves nothing behind. */
	assert_int_equal(root_replace(place->root, "/a", "b", "three", &why), -1);
	assert_string_equal(why.text, "write /a/b in the image: Is a directory");
	assert_int_equal(fstatat(place->root, "a/.stoker-new", &st, 0), -1);
}

static void test_what_is_no_file(void **state)
{
	const struct place *place = *state;
	char *text;

	assert_int_equal(mkfifoat(place->root, "fifo", 0600), 0);
	text = root_read(place->root, "/fifo"); /* would hang if it waited for a writer */
	assert_string_equal(text, "");
	free(text);
	text = root_read(place->root, "/");
	assert_string_equal(text, "");
	free(text);
}

static void test_too_large(void **state)
{
	const struct place *place = *state;
	int fd = openat(place->root, "large", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	char *text;

	assert_int_equal(ftruncate(fd, ROOT_TEXT_MAX + 1), 0);
	close(fd);
	text = root_read(place->root, "/large");
	assert_string_equal(text, "");
	free(text);
}

static void test_mkdir(void **state)
{
	const struct place *place = *state;
	struct failure why = { "" };
	struct stat st;

	assert_int_equal(root_mkdir(place->root, "/x//y/z/", &why), 0);
	assert_int_equal(fstatat(place->root, "x/y/z", &st, 0), 0);
	assert_int_equal(root_mkdir(place->root, "/x/y/z", &why), 0);
	assert_int_equal(root_mkdir(place->root, "/", &why), 0);
	/* Up and out is up to the root. */
	assert_int_equal(root_mkdir(place->root, "/../../out", &why), 0);
	assert_int_equal(fstatat(place->root, "out", &st, 0), 0);
	assert_int_equal(symlinkat("/x", place->root, "link"), 0);
	assert_int_equal(root_mkdir(place->root, "/link/w", &why), 0);
	assert_int_equal(fstatat(place->root, "x/w", &st, 0), 0);
	assert_int_equal(mknodat(place->root, "file", S_IFREG | 0600, 0), 0);
	assert_int_equal(root_mkdir(place->root, "/file/under", &why), -1);
	assert_string_equal(why.text, "create directory '/file/under': Not a directory");
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_refused_users),
		cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_many_groups),
		IN_PLACE(test_links_stay_inside),
		IN_PLACE(test_replace),
		IN_PLACE(test_what_is_no_file),
		IN_PLACE(test_too_large),
		IN_PLACE(test_mkdir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
