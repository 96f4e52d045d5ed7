/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What loading does beyond the text of manifests: who may have written the files, bounds, leases,
 * and that every example that is shipped loads. Run from the top of the tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "config/load.h"
#include "plan/plan.h"

#define MANIFEST                        \
	"tenants:\n"                    \
	"  acme:\n"                     \
	"    subnets: [10.20.0.0/24]\n" \
	"    vms:\n"                    \
	"      web: {image: nginx}\n"

struct scratch {
	char directory[64];
	struct settings settings;
};

static int set_up(void **state)
{
	struct scratch *scratch = xcalloc(1, sizeof(*scratch));

	strcpy(scratch->directory, "/tmp/stoker-load-XXXXXX");
	assert_non_null(mkdtemp(scratch->directory));
	assert_int_equal(chmod(scratch->directory, 0755), 0);
	settings_defaults(&scratch->settings);
	*state = scratch;
	return 0;
}

static int tear_down(void **state)
{
	struct scratch *scratch = *state;

	fs_remove_tree(scratch->directory, NULL);
	settings_reset(&scratch->settings);
	free(scratch);
	return 0;
}

static char *in(const struct scratch *scratch, const char *name)
{
	return xasprintf("%s/%s", scratch->directory, name);
}

static void put(const struct scratch *scratch, const char *name, const char *text, mode_t mode)
{
	_cleanup_free_ char *path = in(scratch, name);
	struct error err;

	if (fs_write_atomic(path, text, strlen(text), mode, &err) < 0)
		fail_msg("%s", err.text);
}

static void refused_as(const struct scratch *scratch, const char *expected)
{
	struct problems problems = { 0 };
	struct fleet *fleet = NULL;

	assert_int_equal(
		fleet_load(scratch->directory, &scratch->settings, NULL, &fleet, &problems), -1);
	assert_null(fleet);
	assert_string_equal(strbuf_text(&problems.text), expected);
	problems_reset(&problems);
}

static struct fleet *loaded(const struct scratch *scratch, const struct leases *leases)
{
	struct problems problems = { 0 };
	struct fleet *fleet = NULL;

	if (fleet_load(scratch->directory, &scratch->settings, leases, &fleet, &problems) < 0)
		fail_msg("%s", strbuf_text(&problems.text));
	return fleet;
}

static void test_modes(void **state)
{
	const struct scratch *scratch = *state;

	put(scratch, "a.yaml", MANIFEST, 0664);
	put(scratch, "b.yaml", MANIFEST, 0646);
	refused_as(scratch, "a.yaml: writable by its group (chmod g-w a.yaml)\n"
			    "b.yaml: writable by everyone (chmod go-w b.yaml)\n");
}

static void test_owner(void **state)
{
	const struct scratch *scratch = *state;
	_cleanup_free_ char *path = in(scratch, "a.yaml");

	if (geteuid() != 0)
		skip(); /* only root can give a file away */
	put(scratch, "a.yaml", MANIFEST, 0644);
	assert_int_equal(chown(path, 1234, 0), 0);
	refused_as(scratch, "a.yaml: owned by uid 1234 (chown root a.yaml)\n");
}

/* What is adopted from a record in JSON must have fitted into it. */
#define SECRETIVE                                                                                  \
	"tenants:\n  t:\n    subnets: [10.0.0.0/24]\n    vms:\n      web:\n        image: nginx\n" \
	"        secrets: [{source: b.key}, {source: a.key, target: other, mode: 0440}]\n"         \
	"        files: [{path: /etc/x, source: a.key}]\n"

/* Specs hold where a file is and a hash of what is in it, and not that. */
static void test_secrets(void **state)
{
	struct scratch *scratch = *state;
	_cleanup_free_ char *source = in(scratch, "a.key");
	_cleanup_free_ char *text = NULL, *expected = NULL, *path = NULL, *message = NULL;
	_cleanup_json_ json_t *json = NULL;
	struct fleet *fleet;

	put(scratch, "a.yaml", SECRETIVE, 0644);
	put(scratch, "a.key", "a", 0600);
	put(scratch, "b.key", "the secret", 0640);
	fleet = loaded(scratch, NULL);
	expected = xasprintf("other\t0440\t\taf63dc4c8601ec8c\t%s", source);
	assert_int_equal(fleet->specs[0]->secrets.count, 2);
	assert_string_equal(fleet->specs[0]->secrets.items[1], expected);
	assert_int_equal(fleet->specs[0]->files.count, 1);
	json = spec_to_json(fleet->specs[0]);
	text = json_line(json);
	assert_non_null(strstr(text, "b.key"));
	assert_null(strstr(text, "the secret"));
	fleet_free(fleet);

	put(scratch, "b.key", "the secret", 0644);
	path = in(scratch, "b.key");
	message =
		xasprintf("a.yaml:7:28: source: 'b.key': readable by everyone (chmod o-r %s)\n"
			  "        secrets: [{source: b.key}, {source: a.key, target: other, mode: "
			  "0440}]\n                           ^\n",
			  path);
	refused_as(scratch, message);
}

static void test_env_file_encoding(void **state)
{
	const struct scratch *scratch = *state;

	put(scratch, "a.yaml",
	    "tenants:\n"
	    "  acme:\n"
	    "    subnets: [10.20.0.0/24]\n"
	    "    vms:\n"
	    "      web: {image: nginx, env_file: web.env}\n",
	    0644);
	put(scratch, "web.env", "A=caf\xc3\xa9\nB=caf\xe9!\n", 0644);
	refused_as(scratch, "web.env:2:1: env_file: not UTF-8 text (save the file as UTF-8)\n"
			    "B=caf?!\n"
			    "^\n");
}

static void test_directory(void **state)
{
	struct scratch *scratch = *state;
	_cleanup_free_ char *expected = xasprintf("%s: writable by everyone (chmod go-w %s)\n",
						  scratch->directory, scratch->directory);
	struct scratch missing = *scratch;

	assert_int_equal(chmod(scratch->directory, 0777), 0);
	refused_as(scratch, expected);
	strcpy(missing.directory, "/nonexistent/fleet.d");
	refused_as(&missing, "/nonexistent/fleet.d: cannot open: No such file or directory\n");
}

/* What is no manifest is left alone; what only looks like one is refused, and holds up nothing. */
static void test_kinds_of_files(void **state)
{
	const struct scratch *scratch = *state;
	_cleanup_free_ char *fifo = in(scratch, "fifo.yaml"), *dir = in(scratch, "dir.yml");
	_cleanup_free_ char *lost = in(scratch, "lost.yaml");

	put(scratch, "a.yaml", MANIFEST, 0600);
	put(scratch, "a.yaml~", "not: [valid", 0666);
	put(scratch, ".hidden.yaml", "not: [valid", 0666);
	put(scratch, "README", "not: [valid", 0666);
	fleet_free(loaded(scratch, NULL));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(symlink("nowhere", lost), 0);
	refused_as(scratch, "dir.yml: not a regular file\n"
			    "fifo.yaml: not a regular file\n"
			    "lost.yaml: cannot open: No such file or directory\n");
}

static void test_links(void **state)
{
	const struct scratch *scratch = *state;
	_cleanup_free_ char *link = in(scratch, "link.yaml");

	/* The target decides: its mode is what says who can write it. */
	put(scratch, "target", MANIFEST, 0666);
	assert_int_equal(symlink("target", link), 0);
	refused_as(scratch, "link.yaml: writable by everyone (chmod go-w link.yaml)\n");
	put(scratch, "target", MANIFEST, 0644);
	fleet_free(loaded(scratch, NULL));
}

static void test_large_file(void **state)
{
	const struct scratch *scratch = *state;
	_cleanup_strbuf_ struct strbuf text = { 0 };

	strbuf_puts(&text, MANIFEST);
	while (text.length < (1 << 20) - 64)
		strbuf_puts(&text, "# a comment, and many more of them\n");
	put(scratch, "a.yaml", strbuf_text(&text), 0644);
	fleet_free(loaded(scratch, NULL));
	while (text.length <= 1 << 20)
		strbuf_puts(&text, "# a comment, and many more of them\n");
	put(scratch, "a.yaml", strbuf_text(&text), 0644);
	refused_as(scratch, "a.yaml: larger than 1 MiB (split it)\n");
}

static void test_many_files(void **state)
{
	const struct scratch *scratch = *state;
	_cleanup_free_ char *expected = xasprintf("%s: more than 1000 manifests\n",
						  scratch->directory);

	for (int i = 0; i < 1001; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%04d.yaml", scratch->directory, i);
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fclose(file);
		chmod(path, 0644);
	}
	refused_as(scratch, expected);
}

/* A thousand mistakes are counted, not printed. */
static void test_many_problems(void **state)
{
	const struct scratch *scratch = *state;
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct problems problems = { 0 };
	struct fleet *fleet = NULL;

	for (int i = 0; i < 1000; i++)
		strbuf_printf(&text, "key%d: x\n", i);
	put(scratch, "a.yaml", strbuf_text(&text), 0644);
	assert_int_equal(
		fleet_load(scratch->directory, &scratch->settings, NULL, &fleet, &problems), -1);
	assert_int_equal(problems.count, 1000);
	assert_non_null(strstr(strbuf_text(&problems.text), "\n... and 800 more\n"));
	problems_reset(&problems);
}

/* What expands or merges is bounded before it costs time: the text stays small, the work would not.
 */
static void test_yaml_bounds(void **state)
{
	const struct scratch *scratch = *state;
	_cleanup_strbuf_ struct strbuf anchors = { 0 }, merges = { 0 };

	for (int i = 0; i < 1001; i++)
		strbuf_printf(&anchors, "x-%d: &a%d 1\n", i, i);
	put(scratch, "a.yaml", strbuf_text(&anchors), 0644);
	strbuf_puts(&merges, "x-a: &a {");
	for (int i = 0; i < 2000; i++)
		strbuf_printf(&merges, "k%d: 1, ", i);
	strbuf_puts(&merges, "}\nx-b: {<<: [*a, *a]}\n");
	put(scratch, "b.yaml", strbuf_text(&merges), 0644);
	refused_as(scratch, "a.yaml:1001:9: more than 1000 anchors\n"
			    "x-1000: &a1000 1\n"
			    "        ^\n"
			    "b.yaml:1:6: '<<' merges too many keys (split the file)\n"
			    "x-a: &a {k0: 1, k1: 1, k2: 1, k3: 1, k4: 1, k5: 1, k6: 1, k7: 1, k8: "
			    "1, k9: 1, k10: 1, k11: 1, k12: 1, k13: 1, k14: 1, k...\n"
			    "     ^\n");
}

static void test_named_files(void **state)
{
	const struct scratch *scratch = *state;
	_cleanup_free_ char *path = in(scratch, "any.name");
	_cleanup_free_ char *expected = xasprintf(
		"%s:1:1: unknown key 'x' in a manifest (see stoker-fleet(5))\nx: 1\n^\n", path);
	_cleanup_strv_ struct strv paths = { 0 };
	struct problems problems = { 0 };
	struct fleet *fleet = NULL;

	strv_add(&paths, path);
	put(scratch, "any.name", MANIFEST, 0644);
	assert_int_equal(fleet_load_files(&paths, &scratch->settings, NULL, &fleet, &problems), 0);
	assert_non_null(fleet_find(fleet, "acme/web"));
	fleet_free(fleet);
	fleet = NULL;
	put(scratch, "any.name", "x: 1\n", 0644);
	assert_int_equal(fleet_load_files(&paths, &scratch->settings, NULL, &fleet, &problems), -1);
	assert_string_equal(strbuf_text(&problems.text), expected);
	problems_reset(&problems);
}

static void test_defaults_of_settings(void **state)
{
	struct scratch *scratch = *state;
	struct fleet *fleet;

	free(scratch->settings.default_vmm);
	scratch->settings.default_vmm = xstrdup("qemu");
	free(scratch->settings.default_kernel);
	scratch->settings.default_kernel = xstrdup("/boot/k");
	put(scratch, "a.yaml", MANIFEST, 0644);
	fleet = loaded(scratch, NULL);
	assert_string_equal(fleet->specs[0]->vmm, "qemu");
	assert_string_equal(fleet->specs[0]->kernel, "/boot/k");
	assert_string_equal(fleet->specs[0]->place, "a.yaml:5:7");
	assert_int_equal(fleet->tenants[0].id, tenant_id("acme"));
	fleet_free(fleet);
}

static struct leases *leases_from(const struct scratch *scratch, const char *text)
{
	_cleanup_free_ char *path = in(scratch, "leases");
	struct leases *leases = NULL;
	struct error err;

	put(scratch, "leases", text, 0600);
	if (leases_read(path, &leases, &err) < 0)
		fail_msg("%s", err.text);
	return leases;
}

static void expect_address(const struct fleet *fleet, const char *name, const char *expected)
{
	const struct spec *spec = fleet_find(fleet, name);
	_cleanup_strbuf_ struct strbuf text = { 0 };
	char address[ADDRESS_TEXT_MAX];

	assert_non_null(spec);
	for (uint32_t i = 0; i < spec->addresses.count; i++)
		strbuf_printf(&text, "%s%s", i ? " " : "",
			      address_format(&spec->addresses.items[i], address));
	assert_string_equal(strbuf_text(&text), expected);
}

static void test_leases(void **state)
{
	const struct scratch *scratch = *state;
	struct leases *leases;
	struct fleet *fleet;

	put(scratch, "a.yaml",
	    "tenants:\n"
	    "  acme:\n"
	    "    subnets: [10.20.0.0/24, \"fd00:20::/64\"]\n"
	    "    vms:\n"
	    "      both: {image: a}\n"	/* holds its lease */
	    "      clash: {image: a}\n" /* its lease is another's own address */
	    "      own: {image: a, addresses: [10.20.0.50]}\n"
	    "      outside: {image: a}\n"   /* its lease is in no subnet any more */
	    "      broadcast: {image: a}\n" /* its lease is not for hosts */
	    "      late: {image: a}\n"	    /* its lease went to one that came before */
	    "      half: {image: a}\n",	    /* leased IPv6 only */
	    0644);
	leases = leases_from(scratch, "acme/both 10.20.0.77 fd00:20::77\n"
				      "acme/broadcast 10.20.0.255\n"
				      "acme/clash 10.20.0.50\n"
				      "acme/gone 10.20.0.2\n"
				      "acme/half fd00:20::99\n"
				      "acme/late 10.20.0.77\n"
				      "acme/outside 10.99.0.5 fe80::1\n");
	fleet = loaded(scratch, leases);
	expect_address(fleet, "acme/both", "10.20.0.77 fd00:20::77");
	expect_address(fleet, "acme/broadcast", "10.20.0.2 fd00:20::2");
	expect_address(fleet, "acme/clash", "10.20.0.3 fd00:20::3");
	expect_address(fleet, "acme/half", "10.20.0.4 fd00:20::99");
	expect_address(fleet, "acme/late", "10.20.0.5 fd00:20::4");
	expect_address(fleet, "acme/outside", "10.20.0.6 fd00:20::5");
	expect_address(fleet, "acme/own", "10.20.0.50");
	leases_free(leases);
	fleet_free(fleet);
}

static void test_leases_round_trip(void **state)
{
	const struct scratch *scratch = *state;
	_cleanup_free_ char *path = in(scratch, "leases");
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct fleet *fleet;
	struct error err;

	put(scratch, "a.yaml",
	    "tenants:\n  acme:\n    subnets: [10.20.0.0/24, \"fd00:20::/64\"]\n"
	    "    vms: {web: {image: a, replicas: 2}}\n",
	    0644);
	fleet = loaded(scratch, NULL);
	assert_int_equal(leases_write(path, fleet, &err), 0);
	assert_int_equal(fs_read(path, 4096, &text, &err), 0);
	assert_string_equal(strbuf_text(&text), "acme/web 10.20.0.2 fd00:20::2\n"
						"acme/web.2 10.20.0.3 fd00:20::3\n");
	fleet_free(fleet);
}

static void test_leases_broken(void **state)
{
	static const char *const cases[][2] = {
		{ "nobody 10.0.0.1\n", "line 1: no instance's name" },
		{ "acme/a 10.0.0.1\n\nacme/b 10.0.0.300\n",
		  "line 3: '10.0.0.300' is not an address" },
		{ "acme/a 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4 1.1.1.5 1.1.1.6 1.1.1.7 1.1.1.8 "
		  "1.1.1.9\n",
		  "line 1: too many addresses" },
	};
	const struct scratch *scratch = *state;
	_cleanup_free_ char *path = in(scratch, "leases");
	struct leases *leases = NULL;
	struct error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		_cleanup_free_ char *expected = xasprintf("%s: %s", path, cases[i][1]);

		put(scratch, "leases", cases[i][0], 0600);
		assert_int_equal(leases_read(path, &leases, &err), -1);
		assert_string_equal(err.text, expected);
		assert_null(leases);
	}
	unlink(path);
	assert_int_equal(leases_read(path, &leases, &err), 0);
	assert_non_null(leases);
	leases_free(leases);
}

static void copy_example(const struct scratch *scratch, const char *path, const char *name)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct error err;

	if (fs_read(path, 1 << 20, &text, &err) < 0)
		fail_msg("%s", err.text);
	/* A secret must not be for everyone to read. */
	put(scratch, name, strbuf_text(&text), strstr(name, ".key") ? 0600 : 0644);
}

/* Together they are one fleet, as after `cp config-examples/fleet.d/... /etc/stoker/fleet.d`. */
static void test_examples(void **state)
{
	struct scratch *scratch = *state;
	DIR *dir = opendir("config-examples/fleet.d");
	struct dirent *entry;
	struct fleet *fleet;
	size_t count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *path = xasprintf("config-examples/fleet.d/%s", entry->d_name);

		if (entry->d_name[0] == '.')
			continue;
		copy_example(scratch, path, entry->d_name);
		count++;
	}
	closedir(dir);
	assert_true(count >= 4);
	fleet = loaded(scratch, NULL);
	assert_true(fleet->spec_count >= count - 3); /* app.* are for manifests */
	fleet_free(fleet);
}

/* The example shows every setting with its default, so it must load as the defaults do. */
static void test_example_settings(void **state)
{
	struct scratch *scratch = *state;
	_cleanup_free_ char *path = in(scratch, "stoker.ini");
	struct problems problems = { 0 };
	struct settings settings;

	copy_example(scratch, "config-examples/stoker.ini", "stoker.ini");
	if (settings_load(path, &settings, &problems) < 0)
		fail_msg("%s", strbuf_text(&problems.text));
	assert_string_equal(settings.fleet_dir, "/etc/stoker/fleet.d");
	assert_string_equal(settings.state_dir, scratch->settings.state_dir);
	assert_int_equal(settings.uid_base, scratch->settings.uid_base);
	assert_int_equal(settings.boot_timeout_ms, scratch->settings.boot_timeout_ms);
	assert_int_equal(settings.log_file_bytes, scratch->settings.log_file_bytes);
	settings_reset(&settings);
}

static double now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* A thousand VMs in ten files. The time is printed, not judged: machines differ. That nothing is
 * quadratic is: ten times the VMs may not cost a hundred times as much. */
static double time_fleet(const struct scratch *scratch, int per_file)
{
	struct fleet_status observed = { 0 };
	double start, best = 1e9;

	for (int file = 0; file < 10; file++) {
		_cleanup_strbuf_ struct strbuf text = { 0 };
		_cleanup_free_ char *name = xasprintf("%d.yaml", file);

		strbuf_printf(&text, "tenants:\n  t%d:\n    subnets: [10.%d.0.0/16]\n    vms:\n",
			      file, file);
		for (int i = 0; i < per_file; i++)
			strbuf_printf(&text,
				      "      vm%d:\n        image: registry.example.com/app:1\n"
				      "        cpus: 2\n        memory: 256MiB\n"
				      "        environment: {PORT: 80, NAME: vm%d}\n"
				      "        restart: on-failure:3\n",
				      i, i);
		put(scratch, name, strbuf_text(&text), 0644);
	}
	for (int round = 0; round < 3; round++) {
		struct fleet *fleet;
		struct plan plan;

		start = now_ms();
		fleet = loaded(scratch, NULL);
		plan_make(fleet, &observed, &plan);
		if (now_ms() - start < best)
			best = now_ms() - start;
		assert_int_equal(plan.counts[ACTION_CREATE], 10 * per_file);
		plan_reset(&plan);
		fleet_free(fleet);
	}
	return best;
}

static void test_time(void **state)
{
	const struct scratch *scratch = *state;
	double small = time_fleet(scratch, 100), large = time_fleet(scratch, 1000);

	print_message("1000 VMs: %.1f ms; 10000 VMs: %.1f ms (CPU: load, check, plan)\n", small,
		      large);
	assert_true(large < 40 * (small + 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_env_file_encoding),
		TEST(test_secrets),
		TEST(test_modes),
		TEST(test_owner),
		TEST(test_directory),
		TEST(test_kinds_of_files),
		TEST(test_links),
		TEST(test_large_file),
		TEST(test_many_files),
		TEST(test_many_problems),
		TEST(test_yaml_bounds),
		TEST(test_named_files),
		TEST(test_defaults_of_settings),
		TEST(test_leases),
		TEST(test_leases_round_trip),
		TEST(test_leases_broken),
		TEST(test_examples),
		TEST(test_example_settings),
		TEST(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
