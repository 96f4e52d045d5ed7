/* SPDX-License-Identifier: Apache-2.0 */
/* What the store holds and what of it may go: the choice as a table, the rest on a disk. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "image/prune.h"
#include "image/sha256.h"
#include "image/store.h"

/* --- the choice --------------------------------------------------------------------------------
 */

/* Letters name images: lower case for those that somebody uses. Each is 100 bytes large. */
static char *choose(const char *images, const struct prune_rules *rules)
{
	struct catalog catalog = { .count = strlen(images) };
	struct strbuf gone = { 0 };

	catalog.images = xcalloc(catalog.count, sizeof(*catalog.images));
	for (size_t i = 0; i < catalog.count; i++) {
		struct catalog_image *image = &catalog.images[i];

		image->id = xasprintf("%c", images[i]);
		image->created = xstrdup("");
		image->size = 100;
		image->used_s = (images[i] & 0x1f) * 10; /* 'A' and 'a' at 10, 'B' and 'b' at 20 */
		if (images[i] >= 'a')
			strv_add(&image->users, "acme/web");
	}
	prune_choose(&catalog, rules);
	for (size_t i = 0; i < catalog.count; i++)
		if (catalog.images[i].is_doomed)
			strbuf_puts(&gone, catalog.images[i].id);
	catalog_reset(&catalog);
	return strbuf_take(&gone);
}

static void test_choice(void **state)
{
	static const struct {
		const char *what, *images;
		struct prune_rules rules;
		const char *gone;
	} cases[] = {
		{ "nothing kept", "ABCD", { .now_s = 1000 }, "ABCD" },
		{ "what is used stays", "aBcD", { .now_s = 1000 }, "BD" },
		{ "none there", "", { .now_s = 1000 }, "" },
		{ "the last used two stay", "BDAC", { .keep = 2, .now_s = 1000 }, "BA" },
		{ "used ones do not count", "abCD", { .keep = 2, .now_s = 1000 }, "" },
		{ "the young stay", "ABCD", { .keep_for_s = 970, .now_s = 1000 }, "ABC" },
		{ "either is enough",
		  "ABCD",
		  { .keep = 1, .keep_for_s = 980, .now_s = 1000 },
		  "AB" },
		{ "a clock that went back keeps all", "AB", { .keep_for_s = 1, .now_s = 5 }, "" },
		{ "no room: the oldest first",
		  "DCBA",
		  { .keep = 10, .now_s = 1000, .missing_bytes = 101 },
		  "BA" },
		{ "no room: never what is used",
		  "abCd",
		  { .keep = 10, .now_s = 1000, .missing_bytes = 1 << 20 },
		  "C" },
		{ "no room counts what goes anyway",
		  "ABCD",
		  { .keep = 3, .now_s = 1000, .missing_bytes = 100 },
		  "A" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *gone = choose(cases[i].images, &cases[i].rules);

		if (strcmp(gone, cases[i].gone) != 0)
			fail_msg("%s: '%s' goes, not '%s'", cases[i].what, gone, cases[i].gone);
		free(gone);
	}
}

/* --- on a disk ---------------------------------------------------------------------------------
 */

struct fixture {
	char directory[64];
	struct store store;
};

static void reopen(struct fixture *fixture)
{
	struct error err;

	store_close(&fixture->store);
	if (store_open(fixture->directory, geteuid(), &fixture->store, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	struct error err;

	strcpy(fixture->directory, "/tmp/stoker-prune-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	assert_int_equal(store_open(fixture->directory, geteuid(), &fixture->store, &err), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	store_close(&fixture->store);
	fs_remove_tree(fixture->directory, NULL);
	free(fixture);
	return 0;
}

static void write_file(const char *directory, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", directory, name);

	assert_int_equal(fs_write_atomic(path, text, strlen(text), 0600, NULL), 0);
}

static size_t count(const char *directory)
{
	DIR *dir = opendir(directory);
	size_t found = 0;

	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		found += entry->d_name[0] != '.';
	closedir(dir);
	return found;
}

static void blob(const struct fixture *fixture, const char *text, char ret[OCI_DIGEST_SIZE])
{
	sha256_digest(text, strlen(text), ret);
	write_file(fixture->store.blobs, ret + 7, text);
}

/* Publishes an image of that name with its manifest and config in the cache. */
static void publish(const struct fixture *fixture, const char *name, char ret_id[STORE_ID_SIZE])
{
	_cleanup_free_ char *reference = xasprintf("r.io/team/%s:1", name);
	_cleanup_free_ char *config_text = xasprintf("config of %s", name);
	char config[OCI_DIGEST_SIZE], manifest[OCI_DIGEST_SIZE];
	struct oci_descriptor layer = { .size = 5, .layer_type = LAYER_GZIP };
	struct store_build build;
	struct image *image;
	struct error err;

	blob(fixture, config_text, config);
	blob(fixture, name, manifest);
	strcpy(layer.digest, manifest);
	store_image_id(config, &layer, 1, &(struct compression){ COMPRESSION_ZSTD, 3 }, false,
		       ret_id);
	assert_int_equal(store_begin(&fixture->store, &build, &err), 0);
	assert_int_equal(fs_write_all(build.fds[STORE_SQUASHFS], "squash", 6, &err), 0);
	assert_int_equal(fs_write_all(build.fds[STORE_NOTES],
				      "\x80\0\0\0\12\0\0\0"
				      "2024-02-29",
				      18, &err),
			 0);
	assert_int_equal(store_write_facts(&fixture->store, ret_id, config, &layer, 1, false, &err),
			 0);
	assert_int_equal(store_publish(&fixture->store, &build, ret_id, &err), 0);
	store_abandon(&build);
	image = store_find(&fixture->store, ret_id, manifest);
	assert_non_null(image);
	assert_int_equal(store_write_reference(&fixture->store, reference, image, &err), 0);
	image_free(image);
}

static void test_catalog(void **state)
{
	struct fixture *fixture = *state;
	char app[STORE_ID_SIZE], other[STORE_ID_SIZE];
	const struct catalog_image *image;
	struct catalog catalog = { 0 };
	_cleanup_free_ char *digits = NULL;
	struct error err = { 0 };
	json_t *shown;

	publish(fixture, "app", app);
	publish(fixture, "other", other);
	write_file(fixture->store.squashfs, "no-image.sqfs", "x");
	assert_int_equal(catalog_read(&fixture->store, &catalog, &err), 0);
	assert_int_equal(catalog.count, 2);
	image = catalog_find(&catalog, "r.io/team/app:1");
	assert_non_null(image);
	assert_string_equal(image->id, app);
	assert_string_equal(image->created, "2024-02-29");
	assert_int_equal(image->size, 6);
	assert_ptr_equal(catalog_choose(&catalog, "r.io/team/app:1", &err), image);
	assert_ptr_equal(catalog_choose(&catalog, image->manifests.items[0], &err), image);
	digits = xstrndup(image->manifests.items[0] + 7, 8);
	assert_ptr_equal(catalog_choose(&catalog, digits, &err), image);
	assert_null(catalog_choose(&catalog, "app", &err));
	assert_string_equal(err.text, "there is no image 'docker.io/library/app:latest' in the "
				      "store (`stokerctl image list` lists them)");
	assert_null(catalog_choose(&catalog, "UPPER", &err));
	assert_non_null(strstr(err.text, "UPPER"));
	shown = catalog_describe(&fixture->store, image);
	assert_string_equal(json_string_or(shown, "created", ""), "2024-02-29");
	assert_int_equal(json_array_size(json_object_get(shown, "layers")), 1);
	assert_int_equal(strlen(json_string_or(shown, "config", "")), OCI_DIGEST_SIZE - 1);
	json_decref(shown);
	catalog_reset(&catalog);
}

static void test_removing(void **state)
{
	struct fixture *fixture = *state;
	struct prune_report report = { 0 };
	char app[STORE_ID_SIZE], other[STORE_ID_SIZE], stray[OCI_DIGEST_SIZE];
	struct catalog catalog = { 0 };
	struct error err;

	publish(fixture, "app", app);
	publish(fixture, "other", other);
	blob(fixture, "a layer of nobody's", stray);
	write_file(fixture->store.blobs, "part-of-something", "x");
	assert_int_equal(catalog_read(&fixture->store, &catalog, &err), 0);
	catalog_find(&catalog, app)->is_doomed = true;
	for (int is_dry_run = 1; is_dry_run >= 0; is_dry_run--) {
		prune_report_reset(&report);
		assert_int_equal(prune_images(&fixture->store, &catalog, is_dry_run, &report, &err),
				 0);
		assert_int_equal(prune_blobs(&fixture->store, &catalog, is_dry_run, &report, &err),
				 0);
		assert_int_equal(report.images.count, 1);
		assert_string_equal(report.images.items[0], "r.io/team/app:1");
		assert_int_equal(report.image_bytes, 6);
		assert_int_equal(report.blobs, 4); /* its manifest and config, and two strays */
		assert_int_equal(count(fixture->store.squashfs), is_dry_run ? 8 : 4);
		assert_int_equal(count(fixture->store.refs), is_dry_run ? 2 : 1);
		assert_int_equal(count(fixture->store.blobs), is_dry_run ? 6 : 2);
	}
	prune_report_reset(&report);
	catalog_reset(&catalog);
	assert_int_equal(catalog_read(&fixture->store, &catalog, &err), 0);
	assert_int_equal(catalog.count, 1);
	assert_string_equal(catalog.images[0].id, other);
	catalog_reset(&catalog);
}

/* Every state that a crash can leave: whole images stay, anything else goes at the next start. */
static void test_crashes(void **state)
{
	static const char *const parts[] = { "sqfs", "record", "notes", "json" };
	struct fixture *fixture = *state;
	char app[STORE_ID_SIZE], id[STORE_ID_SIZE];

	publish(fixture, "app", app);
	for (size_t first = 1; first < 4; first++) {
		/* Removed as far as that part; or published as far, where the squashfs is last. */
		publish(fixture, "other", id);
		for (size_t i = 0; i < first; i++) {
			_cleanup_free_ char *path = xasprintf("%s/%s.%s", fixture->store.squashfs,
							      id, parts[i]);

			assert_int_equal(unlink(path), 0);
		}
		reopen(fixture);
		assert_int_equal(count(fixture->store.squashfs), 4);
		assert_int_equal(count(fixture->store.refs), 1);
	}
	/* Temporary names of fs_write_atomic, and what was being built. */
	publish(fixture, "other", id);
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *name = xasprintf("%s.json.new", i ? id : app);

		write_file(fixture->store.squashfs, name, "half");
	}
	write_file(fixture->store.refs, "0123.new", "{\"refer");
	write_file(fixture->store.refs, "4567", "{\"refer");
	write_file(fixture->store.tmp, "1.sqfs", "half");
	reopen(fixture);
	assert_int_equal(count(fixture->store.squashfs), 8);
	assert_int_equal(count(fixture->store.refs), 2);
	assert_int_equal(count(fixture->store.tmp), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test_setup_teardown(test_catalog, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crashes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
