/* SPDX-License-Identifier: Apache-2.0 */
/* Layers -> tree: what must come out, and what must be refused in which words. Each case is one
 * layer on top of the same base. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "image/layers.h"
#include "image/squash.h"
#include "tests/unit/tarball.h"

#define HUNDRED                                                                                    \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
	"890123456789"

static const struct tar_item base_items[] = {
	{ '5', "usr/bin/" },
	{ '2', "bin", "usr/bin" },
	{ '2', "sbin", "/usr/bin" },
	{ '2', "loop", "pool" },
	{ '2', "pool", "loop" },
	{ '5', "etc" },
	{ '0', "etc/file", NULL, "lower" },
	{ '0', "etc/other", NULL, "lower" },
	{ '1', "etc/hard", "etc/file" },
	{ 0 },
};

#define BASE_USR "usr/ usr/bin/"
#define BASE_ETC "etc/ etc/file=5*2 etc/hard=5*2 etc/other=5"
#define BASE_ALL "bin@usr/bin " BASE_ETC " loop@pool pool@loop sbin@/usr/bin " BASE_USR

struct layer_case {
	const char *name;
	struct tar_item items[6];
	const char *error; /* or the tree: */
	const char *listing;
};

static const struct layer_case cases[] = {
	/* What layers may do. */
	{ "nothing", { { 0 } }, NULL, BASE_ALL },
	{ "through a parent link", { { '0', "bin/x", NULL, "a" } }, NULL, BASE_ALL " usr/bin/x=1" },
	{ "through an absolute one",
	  { { '0', "sbin/sub/x", NULL, "a" } },
	  NULL,
	  BASE_ALL " usr/bin/sub/ usr/bin/sub/x=1" },
	{ "an absolute name", { { '0', "/usr/x", NULL, "a" } }, NULL, BASE_ALL " usr/x=1" },
	{ "dots and slashes", { { '0', ".//usr/./y", NULL, "a" } }, NULL, BASE_ALL " usr/y=1" },
	{ "the last of two wins",
	  { { '0', "usr/x", NULL, "a" }, { '0', "usr/x", NULL, "bcd" } },
	  NULL,
	  BASE_ALL " usr/x=3" },
	{ "whiteouts",
	  { { '0', "etc/.wh.file" }, { '0', "etc/.wh.absent" }, { '0', ".wh.loop" } },
	  NULL,
	  "bin@usr/bin etc/ etc/hard=5 etc/other=5 pool@loop sbin@/usr/bin " BASE_USR },
	{ "a whiteout after its own layer's entry",
	  { { '0', "etc/new", NULL, "a" }, { '0', ".wh.etc" } },
	  NULL,
	  "bin@usr/bin etc/ etc/new=1 loop@pool pool@loop sbin@/usr/bin " BASE_USR },
	{ "an opaque directory, marked last",
	  { { '0', "etc/new", NULL, "a" }, { '0', "etc/.wh..wh..opq" } },
	  NULL,
	  "bin@usr/bin etc/ etc/new=1 loop@pool pool@loop sbin@/usr/bin " BASE_USR },
	{ "an opaque directory, marked twice",
	  { { '0', "etc/.wh..wh..opq" },
	    { '0', "etc/new", NULL, "a" },
	    { '0', "etc/.wh..wh..opq" },
	    { '0', "etc/.wh.new" } },
	  NULL,
	  "bin@usr/bin etc/ etc/new=1 loop@pool pool@loop sbin@/usr/bin " BASE_USR },
	{ "an opaque root", { { '0', ".wh..wh..opq" }, { '0', "x", NULL, "a" } }, NULL, "x=1" },
	{ "a directory on a directory", { { '5', "etc/" } }, NULL, BASE_ALL },
	{ "a directory on a link",
	  { { '5', "bin" }, { '0', "bin/x" } },
	  NULL,
	  "bin/ bin/x=0 " BASE_ETC " loop@pool pool@loop sbin@/usr/bin " BASE_USR },
	{ "a file on a directory",
	  { { '0', "etc", NULL, "a" } },
	  NULL,
	  "bin@usr/bin etc=1 loop@pool pool@loop sbin@/usr/bin " BASE_USR },
	{ "a link to a lower file, which goes",
	  { { '1', "usr/h", "/etc/other" }, { '0', "etc/.wh.other" } },
	  NULL,
	  "bin@usr/bin etc/ etc/file=5*2 etc/hard=5*2 loop@pool pool@loop sbin@/usr/bin " BASE_USR
	  " usr/h=5" },
	{ "a link to a link",
	  { { '1', "z", "bin" } },
	  NULL,
	  "bin@usr/bin*2 " BASE_ETC " loop@pool pool@loop sbin@/usr/bin " BASE_USR " z@usr/bin*2" },
	{ "devices and a fifo",
	  { { '3', "c", .device = { "0000001", "0000003" } },
	    { '4', "d", .device = { "0000403", "0003641" } },
	    { '6', "f" } },
	  NULL,
	  "bin@usr/bin c%1:3 d%259:1953 " BASE_ETC
	  " f| loop@pool pool@loop sbin@/usr/bin " BASE_USR },
	{ "a latin1 name", { { '0', "usr/caf\xe9" } }, NULL, BASE_ALL " usr/caf\xe9=0" },
	{ "a latin1 name in pax",
	  { { 'x', "x", .data = "path=usr/caf\xe9" }, { '0', "y" } },
	  NULL,
	  BASE_ALL " usr/caf\xe9=0" },
	{ "sizes that agree",
	  { { 'x', "x", .data = "size=3" }, { '0', "usr/x", .data = "abc" } },
	  NULL,
	  BASE_ALL " usr/x=3" },

	/* What they may not: names. */
	{ "out of the root", { { '0', "../x" } }, "'../x': '..' in a path", NULL },
	{ "out of the root, later",
	  { { '0', "usr/../../x" } },
	  "'usr/../../x': '..' in a path",
	  NULL },
	{ "no name", { { '0', "" } }, "'': an entry without a name", NULL },
	{ "an empty name in pax",
	  { { 'x', "x", .data = "path=" }, { '0', "y" } },
	  "tar, before byte 1024: an extended header gives an empty name",
	  NULL },
	{ "a NUL in a name",
	  { { 'x', "x", .data = "path=usr/x#y" }, { '0', "y" } },
	  "tar, before byte 1024: an extended header gives a name with a NUL byte",
	  NULL },
	{ "a NUL in a target",
	  { { 'x', "x", .data = "linkpath=usr#y" }, { '2', "y" } },
	  "tar, before byte 1024: an extended header gives a name with a NUL byte",
	  NULL },
	{ "a long component",
	  { { 'x', "x", .data = "path=" HUNDRED HUNDRED HUNDRED }, { '0', "y" } },
	  "'" HUNDRED HUNDRED "': a name of 300 bytes (255 are allowed)",
	  NULL },
	{ "the root as a link",
	  { { '2', "./", "/etc" } },
	  "'./': the root of the image is not a directory",
	  NULL },
	{ "the root as a file",
	  { { '0', "." } },
	  "'.': the root of the image is not a directory",
	  NULL },
	{ "a file as a parent",
	  { { '0', "etc/file/x" } },
	  "'etc/file/x': its parent is not a directory",
	  NULL },
	{ "a loop as a parent",
	  { { '0', "loop/x" } },
	  "'loop/x': its parent leads through more than 40 symbolic links",
	  NULL },

	/* Links. */
	{ "a hard link to nothing",
	  { { '1', "x", "absent" } },
	  "'x': hard link to 'absent': does not exist",
	  NULL },
	{ "a hard link to itself",
	  { { '1', "etc/other", "etc/other" } },
	  "'etc/other': hard link to 'etc/other': does not exist",
	  NULL },
	{ "a hard link to a directory",
	  { { '1', "x", "etc" } },
	  "'x': hard link to 'etc': is a directory",
	  NULL },
	{ "a hard link to the root",
	  { { '1', "x", "/" } },
	  "'x': hard link to '/': is a directory",
	  NULL },
	{ "a hard link outside",
	  { { '1', "x", "../etc/passwd" } },
	  "'x': hard link to '../etc/passwd': '..' in a path",
	  NULL },
	{ "a symbolic link to nothing",
	  { { '2', "x", "" } },
	  "'x': a symbolic link to nothing",
	  NULL },

	/* Whiteouts. */
	{ "a bare whiteout",
	  { { '0', "etc/.wh." } },
	  "'etc/.wh.': a whiteout that names nothing",
	  NULL },
	{ "a whiteout of '.'",
	  { { '0', "etc/.wh.." } },
	  "'etc/.wh..': a whiteout that names nothing",
	  NULL },
	{ "a whiteout of '..'",
	  { { '0', "etc/.wh..." } },
	  "'etc/.wh...': a whiteout that names nothing",
	  NULL },
	{ "a whiteout behind a link",
	  { { '0', "bin/.wh.x" } },
	  "'bin/.wh.x': a whiteout behind a symbolic link",
	  NULL },
	{ "an opaque marker behind a link",
	  { { '0', "bin/.wh..wh..opq" } },
	  "'bin/.wh..wh..opq': an opaque marker behind a symbolic link",
	  NULL },
	{ "an opaque file",
	  { { '0', "etc/file/.wh..wh..opq" } },
	  "'etc/file/.wh..wh..opq': its parent is not a directory",
	  NULL },

	/* Values. */
	{ "an owner beyond 32 bits",
	  { { 'x', "x", .data = "uid=4294967296" }, { '0', "y" } },
	  "'y': owner 4294967296 is out of range",
	  NULL },
	{ "the owner -1",
	  { { 'x', "x", .data = "uid=4294967295" }, { '0', "y" } },
	  "'y': owner 4294967295 is out of range",
	  NULL },
	{ "a group beyond 32 bits",
	  { { 'x', "x", .data = "gid=4294967296" }, { '0', "y" } },
	  "'y': group 4294967296 is out of range",
	  NULL },
	{ "a time beyond 32 bits",
	  { { '0', "y", .mtime = "77777777777" } },
	  "'y': modification time 8589934591 is out of range",
	  NULL },
	{ "a device out of range",
	  { { '3', "y", .device = { "0010000", "0000000" } } },
	  "'y': device 4096:0 is out of range",
	  NULL },
	{ "too many attributes",
	  { { 'x', "x", .data = "SCHILY.xattr.user." HUNDRED HUNDRED HUNDRED "=1" }, { '0', "y" } },
	  "'y': an attribute name of 305 bytes (255 are allowed)",
	  NULL },

	/* The stream. */
	{ "two sizes",
	  { { 'x', "x", .data = "size=0" }, { '0', "y", .data = "hidden" } },
	  "tar, before byte 1536: two sizes for one entry: 6 and 0",
	  NULL },
	{ "two sizes, the other way",
	  { { 'x', "x", .data = "size=1024" }, { '0', "y", .size = "00000000000" } },
	  "tar, before byte 1536: two sizes for one entry: 0 and 1024",
	  NULL },
	{ "a size that is no number",
	  { { 'x', "x", .data = "size=12a" }, { '0', "y" } },
	  "tar, before byte 1024: an extended header gives a size that is no number",
	  NULL },
	{ "a field that is no number",
	  { { '0', "y", .size = "0000000000x" } },
	  "tar, before byte 512: a size that is no number",
	  NULL },
	{ "a link with data",
	  { { '1', "y", "etc/file", .data = "hidden" } },
	  "tar, before byte 512: data where none belongs (entry type '1')",
	  NULL },
	{ "a directory with data",
	  { { '5', "y", .data = "hidden" } },
	  "tar, before byte 512: data where none belongs (entry type '5')",
	  NULL },
	{ "a damaged header",
	  { { '0', "y", .broken = true } },
	  "tar, before byte 512: not a tar header, or a damaged one (wrong checksum)",
	  NULL },
	{ "an unknown type",
	  { { 'D', "y" } },
	  "tar, before byte 512: an unknown type of entry (68)",
	  NULL },
	{ "a huge file",
	  { { '0', "y", .large = (64ULL << 30) + 1 } },
	  "tar, before byte 512: a file of 68719476737 bytes (64 GiB are allowed)",
	  NULL },
	{ "a huge extended header",
	  { { 'x', "y", .large = (1 << 20) + 1 } },
	  "tar, before byte 512: an extended header of 1048577 bytes (1048576 are allowed)",
	  NULL },
	{ "a huge long name",
	  { { 'L', "y", .large = 1ULL << 40 } },
	  "tar, before byte 512: an extended header of 1099511627776 bytes (1048576 are allowed)",
	  NULL },
	{ "a sparse map without end",
	  { { 'x', "x",
	      .data = "GNU.sparse.major=1|GNU.sparse.minor=0|GNU.sparse.name=y|"
		      "GNU.sparse.realsize=9" },
	    { '0', "y", .data = "100000000\n0\n0\n" } },
	  "tar, before byte 2048: a sparse file of more than 262144 pieces",
	  NULL },
	{ "a sparse file without a map",
	  { { 'x', "x", .data = "GNU.sparse.major=1|GNU.sparse.minor=0" },
	    { '0', "y", .data = "nothing" } },
	  "tar, before byte 2048: a sparse file without a map",
	  NULL },
	{ "a cut file",
	  { { '0', "y", .size = "00000010000" } },
	  "tar: the data is cut off at byte 512",
	  NULL },
};

static int merge(struct tree *tree, const struct strbuf *tar, uint32_t layer,
		 struct layers_budget *budget, struct error *err)
{
	struct layer_blob blob = tar_blob(tar->data, tar->length, LAYER_TAR);
	int result;

	memcpy(blob.diff_id, blob.digest, sizeof(blob.diff_id));
	result = tar_merge(tree, &blob, layer, budget, err);
	close(blob.fd);
	return result;
}

static int merge_items(struct tree *tree, const struct tar_item *items, uint32_t layer,
		       struct error *err)
{
	_cleanup_strbuf_ struct strbuf tar = { 0 };
	struct layers_budget budget = { 0 };

	for (; items->type; items++)
		tar_add(&tar, items);
	/* A cut file stays cut: no end, so that nothing pretends to be its contents. */
	if (tar.length != 512 || memcmp(tar.data + 124, "00000010000", 11) != 0)
		tar_end(&tar);
	return merge(tree, &tar, layer, &budget, err);
}

static void list_path(struct strbuf *out, const struct tree_node *node)
{
	if (node->parent && node->parent->parent) {
		list_path(out, node->parent);
		strbuf_putc(out, '/');
	}
	strbuf_puts(out, node->name);
}

static void list_node(struct strbuf *out, const struct tree_node *node)
{
	const struct tree_inode *inode = node->inode;

	list_path(out, node);
	if (S_ISDIR(inode->mode))
		strbuf_putc(out, '/');
	else if (S_ISLNK(inode->mode))
		strbuf_printf(out, "@%s", inode->target);
	else if (S_ISREG(inode->mode))
		strbuf_printf(out, "=%llu", (unsigned long long)inode->file.size);
	else if (S_ISFIFO(inode->mode))
		strbuf_putc(out, '|');
	else
		strbuf_printf(out, "%%%u:%u", inode->device.major, inode->device.minor);
	if (inode->links > 1)
		strbuf_printf(out, "*%u", inode->links);
}

/* Every path with what it is, in order. */
static char *list_tree(struct tree *tree)
{
	struct strbuf out = { 0 };

	tree_sort(tree);
	for (struct tree_node *node = tree_next(tree_root(tree)); node; node = tree_next(node)) {
		if (out.length > 0)
			strbuf_putc(&out, ' ');
		list_node(&out, node);
	}
	return strbuf_take(&out);
}

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(tree_free_cleanup) struct tree *tree = tree_new();
		struct error err = { 0 };
		int result;

		assert_int_equal(merge_items(tree, base_items, 1, &err), 0);
		result = merge_items(tree, cases[i].items, 2, &err);
		if (cases[i].error) {
			if (result == 0 || strcmp(err.text, cases[i].error) != 0)
				print_error("case '%s'\n", cases[i].name);
			assert_int_equal(result, -1);
			assert_string_equal(err.text, cases[i].error);
		} else {
			_cleanup_free_ char *listing = list_tree(tree);

			if (result < 0 || strcmp(listing, cases[i].listing) != 0)
				print_error("case '%s': %s\n", cases[i].name, err.text);
			assert_string_equal(listing, cases[i].listing);
			assert_int_equal(result, 0);
		}
	}
}

/* --- what needs more than a line -----------------------------------------------------------------
 */

static void test_metadata(void **state)
{
	static const struct tar_item items[] = {
		{ 'x', "x",
		  .data = "SCHILY.xattr.user.b=a#b|SCHILY.xattr.security.capability=cap|"
			  "SCHILY.xattr.user.a=first|SCHILY.xattr.security.selinux=label|"
			  "SCHILY.xattr.system.posix_acl_access=acl|uid=4294967294|mtime=-5" },
		{ '0', "file" },
		{ 0 },
	};
	CLEANUP(tree_free_cleanup) struct tree *tree = tree_new();
	struct error err = { 0 };
	const struct tree_inode *inode;
	const struct tree_xattr *xattr;

	(void)state;
	assert_int_equal(merge_items(tree, items, 1, &err), 0);
	inode = tree_lookup(tree, tree_root(tree), "file", 4)->inode;
	assert_int_equal(inode->mode, S_IFREG | 0640);
	assert_int_equal(inode->uid, 4294967294);
	assert_int_equal(inode->mtime, 0);
	xattr = inode->xattrs;
	assert_string_equal(xattr->bytes, "security.capability");
	xattr = xattr->next;
	assert_string_equal(xattr->bytes, "user.a");
	xattr = xattr->next;
	assert_string_equal(xattr->bytes, "user.b");
	assert_int_equal(xattr->length, 3);
	assert_memory_equal(xattr->bytes + xattr->name_length + 1, "a\0b", 3);
	assert_null(xattr->next);
}

static void test_attribute_bytes(void **state)
{
	_cleanup_strbuf_ struct strbuf records = { 0 }, tar = { 0 };
	CLEANUP(tree_free_cleanup) struct tree *tree = tree_new();
	struct layers_budget budget = { 0 };
	struct tar_item header = { 'x', "x" }, file = { '0', "file" };
	struct error err = { 0 };

	(void)state;
	strbuf_puts(&records, "SCHILY.xattr.user.big=");
	for (int i = 0; i < 65536; i++)
		strbuf_putc(&records, 'v');
	header.data = strbuf_text(&records);
	tar_add(&tar, &header);
	tar_add(&tar, &file);
	tar_end(&tar);
	assert_int_equal(merge(tree, &tar, 1, &budget, &err), -1);
	assert_string_equal(err.text, "'file': more than 64 KiB of attributes");
}

/* Each step is allowed, through a link that starts anew; the whole is deeper than any path. */
static void test_depth(void **state)
{
	_cleanup_strbuf_ struct strbuf path = { 0 }, tar = { 0 };
	CLEANUP(tree_free_cleanup) struct tree *tree = tree_new();
	struct layers_budget budget = { 0 };
	struct error err = { 0 };

	(void)state;
	for (int round = 0; round < 2; round++) {
		struct tar_item header = { 'x', "x" }, directory = { '5', "d" };

		strbuf_reset(&path);
		strbuf_puts(&path, round == 0 ? "path=a" : "path=link");
		for (int i = 0; i < 1500; i++)
			strbuf_puts(&path, "/a");
		header.data = strbuf_text(&path);
		tar_add(&tar, &header);
		tar_add(&tar, &directory);
		if (round == 0) {
			_cleanup_free_ char *target = xasprintf("linkpath=%s",
								path.data + strlen("path="));
			struct tar_item link = { '2', "link", "a" };

			header.data = target;
			tar_add(&tar, &header);
			tar_add(&tar, &link);
		}
	}
	tar_end(&tar);
	assert_int_equal(merge(tree, &tar, 1, &budget, &err), -1);
	assert_non_null(strstr(err.text, "': its path is longer than 4096 bytes"));
}

static void test_entries_are_counted(void **state)
{
	_cleanup_strbuf_ struct strbuf tar = { 0 };
	CLEANUP(tree_free_cleanup) struct tree *tree = tree_new();
	struct layers_budget budget = { .entries = LAYERS_ENTRIES_MAX - 1 };
	struct tar_item file = { '0', "file" };
	struct error err = { 0 };

	(void)state;
	tar_add(&tar, &file);
	tar_add(&tar, &file);
	tar_end(&tar);
	assert_int_equal(merge(tree, &tar, 1, &budget, &err), -1);
	assert_string_equal(err.text, "the layers have more than 2000000 entries");
	budget = (struct layers_budget){ .bytes = LAYERS_BYTES_MAX - 1 };
	assert_int_equal(merge(tree, &tar, 2, &budget, &err), -1);
	assert_string_equal(err.text, "the image is larger than 32 GiB uncompressed");
}

static void test_ids_are_counted(void **state)
{
	CLEANUP(tree_free_cleanup) struct tree *tree = tree_new();
	struct error err = { 0 };

	(void)state;
	/* Id 0 is the root's. */
	for (uint32_t id = 1; id <= SQUASH_IDS_MAX; id++) {
		struct tree_node *node;
		char name[16];
		int length = snprintf(name, sizeof(name), "%u", id);

		if (id == SQUASH_IDS_MAX)
			assert_int_equal(squash_check(tree, &err), 0);
		assert_int_equal(tree_add(tree, tree_root(tree), name, (size_t)length, NULL,
					  S_IFREG | 0644, &node, &err),
				 0);
		node->inode->uid = id;
	}
	assert_int_equal(squash_check(tree, &err), -1);
	assert_string_equal(err.text, "the image has more than 65535 different owners and groups");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_attribute_bytes),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_entries_are_counted),
		cmocka_unit_test(test_ids_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
