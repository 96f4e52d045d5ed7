/* SPDX-License-Identifier: Apache-2.0 */
/* Every command's answer, as it comes over the socket. */
#include "tests/unit/server_host.h"

static void test_status(void **state)
{
	const char *answer = ask(*state, "{\"command\":\"status\"}\n");

	assert_memory_equal(answer, "{\"daemon\":{\"version\":\"test\"}}\n", 30);
	assert_int_equal(count_of(answer, "{\"instance\":"), 2);
	assert_non_null(strstr(answer, "\"name\":\"acme/db\",\"phase\":\"running\""));
	assert_non_null(strstr(answer, DONE));
}

static void test_status_of_one(void **state)
{
	const char *answer = ask(*state, "{\"command\":\"status\",\"name\":\"acme/web\"}\n");

	assert_int_equal(count_of(answer, "{\"instance\":"), 1);
	assert_non_null(strstr(answer, "\"name\":\"acme/web\""));
	assert_string_equal(ask(*state, "{\"command\":\"status\",\"name\":\"acme/we\"}\n"),
			    "{\"error\":\"there is no instance 'acme/we' (`stokerctl status` lists "
			    "them)\"}\n");
}

static void test_plan(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask(f, "{\"command\":\"plan\"}\n"),
			    "{\"text\":\"create acme/web\\n\"}\n" DONE);
	f->is_invalid = true;
	assert_string_equal(ask(f, "{\"command\":\"plan\"}\n"),
			    "{\"text\":\"web.yaml:1:1: unknown key\\n\"}\n"
			    "{\"error\":\"the manifests are not valid\"}\n");
}

static void test_reload_waits_until_settled(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	f->roster.is_settled = false;
	say(fd, "{\"command\":\"reload\",\"timeout_ms\":60000}\n");
	await(f, fd, "booting");
	assert_memory_equal(strbuf_text(&f->received), "{\"text\":\"create acme/web\\n\"}\n", 29);
	turn(f, 300);
	assert_int_equal(recv(fd, &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	set_phase(f, 0, PHASE_RUNNING);
	f->roster.is_settled = true;
	await(f, fd, "settled");
	assert_int_equal(count_of(strbuf_text(&f->received), "{\"event\":"), 1);
	assert_int_equal(count_of(strbuf_text(&f->received), "{\"result\":"), 1);
	assert_non_null(strstr(strbuf_text(&f->received), "{\"result\":{\"name\":\"acme/db\""));
	assert_non_null(strstr(strbuf_text(&f->received), "{\"done\":true,\"settled\":true}\n"));
	close(fd);
}

static void test_reload_gives_up_waiting(void **state)
{
	struct fixture *f = *state;

	f->roster.is_settled = false;
	assert_non_null(strstr(ask(f, "{\"command\":\"reload\",\"timeout_ms\":200}\n"),
			       "{\"done\":true,\"settled\":false}\n"));
}

static void test_reload_of_invalid_manifests(void **state)
{
	struct fixture *f = *state;

	f->is_invalid = true;
	assert_string_equal(ask(f, "{\"command\":\"reload\"}\n"),
			    "{\"text\":\"web.yaml:1:1: unknown key\\n\"}\n"
			    "{\"error\":\"the manifests are not valid: nothing was changed\"}\n");
}

static void test_guard(void **state)
{
	assert_string_equal(ask(*state, "{\"command\":\"guard\",\"name\":\"acme/db\"}\n"),
			    "{\"guard\":{\"name\":\"acme/db\",\"attachment\":\"tcx\","
			    "\"accepted_bytes\":4242,\"delivered_bytes\":17,\"shielded\":9,"
			    "\"shield\":true,\"policy\":{"
			    "\"mac\":\"06:01:02:03:04:ff\",\"addresses\":[\"10.20.0.10\"],"
			    "\"tenant\":9,\"mtu\":1500,\"rate_bits\":100000000,"
			    "\"rate_packets\":0,\"egress\":[\"counter drop\"],"
			    "\"ingress\":[],\"ports\":[\"8080:80/tcp\"]},\"counters\":["
			    "{\"name\":\"accept\",\"packets\":41,\"drop\":false,"
			    "\"per_second\":3},"
			    "{\"name\":\"source-mac\",\"packets\":7,\"drop\":true,"
			    "\"per_second\":0}],\"events\":["
			    "{\"time_ms\":1700000000000,\"guard\":\"drop\","
			    "\"reason\":\"source-mac\",\"to_guest\":false,\"bytes\":60,"
			    "\"frame\":\"0253ff\"}]}}\n" DONE);
	assert_string_equal(ask(*state, "{\"command\":\"guard\",\"name\":\"x/y\"}\n"),
			    "{\"error\":\"there is no instance 'x/y'\"}\n");
}

#define STATS                                                                               \
	"\"stats\":{\"uptime_ms\":0,\"memory_total_bytes\":0,\"memory_available_bytes\":0," \
	"\"load_1\":0.0,\"load_5\":0.0,\"load_15\":0.0,\"tasks\":7,\"disk_total_bytes\":0," \
	"\"disk_used_bytes\":0,\"pressure_cpu_percent\":0.0,\"pressure_memory_percent\":0.0}"

static void test_stats(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(ask(f, "{\"command\":\"stats\",\"name\":\"acme/db\"}\n"),
			    "{\"guest\":{\"name\":\"acme/db\",\"phase\":\"running\"," STATS
			    "}}\n" DONE);
	assert_string_equal(ask(f, "{\"command\":\"stats\",\"name\":\"x/y\"}\n"),
			    "{\"error\":\"there is no instance 'x/y' "
			    "(`stokerctl status` lists them)\"}\n");
	/* What does not run is not waited for, what does not answer for a while. */
	f->roster.instances[0].phase = PHASE_PAUSED;
	f->roster.mute = "acme/web";
	assert_string_equal(ask(f, "{\"command\":\"stats\"}\n"),
			    "{\"guest\":{\"name\":\"acme/db\",\"phase\":\"paused\"}}\n"
			    "{\"guest\":{\"name\":\"acme/web\",\"phase\":\"running\"}}\n" DONE);
}

/* A store without images, and one in which an image waits to be looked at. */
static void test_images(void **state)
{
	static const char image[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct fixture *f = *state;
	const char *answer;

	free(f->settings.state_dir);
	f->settings.state_dir = xasprintf("%s/state", f->dir);
	f->settings.uid_base = geteuid();
	f->settings.image_keep = 0;
	f->settings.image_keep_for_ms = 0;
	f->settings.image_min_free = 0;
	assert_int_equal(image_store_open(f->loop, &f->settings, &f->roster.images, NULL), 0);
	assert_string_equal(ask(f, "{\"command\":\"image-list\"}\n"), DONE);
	assert_string_equal(ask(f, "{\"command\":\"image-inspect\",\"image\":\"app\"}\n"),
			    "{\"error\":\"there is no image 'docker.io/library/app:latest' in the "
			    "store (`stokerctl image list` lists them)\"}\n");
	assert_string_equal(ask(f, "{\"command\":\"image-pull\",\"image\":\"oci:/none\"}\n"),
			    "{\"progress\":{\"progress_stage\":\"resolve\",\"progress_done\":0,"
			    "\"progress_total\":0,\"progress_rate\":0}}\n"
			    "{\"error\":\"/none: No such file or directory\"}\n");
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *path = xasprintf("%s/images/squashfs/%s.%s",
						      f->settings.state_dir, image,
						      i ? "record" : "sqfs");

		assert_int_equal(fs_write_atomic(path, "\4\0\0\0\4\0\0\0\33[2J", 12, 0444, NULL),
				 0);
	}
	answer = ask(f, "{\"command\":\"image-list\"}\n");
	assert_int_equal(count_of(answer, "{\"image\":{\"id\":\"0123456789abcdef"), 1);
	answer = ask(f, "{\"command\":\"image-inspect\",\"image\":\"01234567\"}\n");
	assert_int_equal(count_of(answer, "\"user\":\"\\\\x1b[2J\""), 1);
	assert_string_equal(ask(f, "{\"command\":\"image-prune\",\"dry_run\":false}\n"),
			    "{\"pruned\":{\"images\":[\"0123456789abcdef0123456789abcdef"
			    "0123456789abcdef0123456789abcdef\"],\"image_bytes\":12,\"blobs\":0,"
			    "\"blob_bytes\":0,\"blobs_kept\":false}}\n" DONE);
	assert_string_equal(ask(f, "{\"command\":\"image-list\"}\n"), DONE);
	image_store_close(f->roster.images);
}

static void test_volumes(void **state)
{
	static const char *const names[] = { "unused", "used" };
	struct fixture *f = *state;
	_cleanup_free_ char *tenant = xasprintf("%s/state/volumes/acme", f->dir);

	free(f->settings.state_dir);
	f->settings.state_dir = xasprintf("%s/state", f->dir);
	assert_string_equal(ask(f, "{\"command\":\"volume-list\"}\n"), DONE);
	assert_int_equal(fs_mkdir_p(tenant, 0700, NULL), 0);
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s.ext4", tenant, names[i]);

		assert_int_equal(fs_write_atomic(path, "", 0, 0600, NULL), 0);
	}
	assert_string_equal(ask(f, "{\"command\":\"volume-list\"}\n"),
			    "{\"volume\":{\"volume\":\"acme/unused\",\"size\":0,\"used\":0,"
			    "\"used_by\":\"\"}}\n"
			    "{\"volume\":{\"volume\":\"acme/used\",\"size\":0,\"used\":0,"
			    "\"used_by\":\"acme/web\"}}\n" DONE);
	/* Nobody knows what is wanted. */
	assert_string_equal(
		ask(f, "{\"command\":\"volume-prune\"}\n"),
		"{\"error\":\"no manifests are loaded (`stokerctl check` says why)\"}\n");
	f->roster.has_fleet = true;
	for (int i = 0; i < 2; i++)
		assert_string_equal(ask(f, i ? "{\"command\":\"volume-prune\"}\n"
					     : "{\"command\":\"volume-prune\",\"dry_run\":true}\n"),
				    "{\"pruned\":{\"volume\":\"acme/unused\",\"size\":0,\"used\":0,"
				    "\"used_by\":\"\"}}\n" DONE);
	assert_string_equal(ask(f, "{\"command\":\"volume-prune\"}\n"), DONE);
	f->roster.has_fleet = false;
}

/* Whoever goes away while it pulls, pulls no longer. */
static void test_pull_of_a_client_that_leaves(void **state)
{
	struct fixture *f = *state;
	int fd;

	free(f->settings.state_dir);
	f->settings.state_dir = xasprintf("%s/state", f->dir);
	f->settings.uid_base = geteuid();
	assert_int_equal(image_store_open(f->loop, &f->settings, &f->roster.images, NULL), 0);
	fd = dial(f);
	say(fd, "{\"command\":\"image-pull\",\"image\":\"oci:/none\"}\n");
	await(f, fd, "resolve");
	close(fd);
	turn(f, 50);
	image_store_close(f->roster.images);
}

static void test_verbs(void **state)
{
	static const char *const verbs[] = { "restart", "pause", "resume" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		_cleanup_free_ char *good = xasprintf("{\"command\":\"%s\",\"name\":\"acme/db\"}\n",
						      verbs[i]);
		_cleanup_free_ char *bad = xasprintf("{\"command\":\"%s\",\"name\":\"x/y\"}\n",
						     verbs[i]);
		_cleanup_free_ char *told = xasprintf("%s acme/db", verbs[i]);

		assert_string_equal(ask(f, good), DONE);
		assert_string_equal(f->roster.told, told);
		assert_string_equal(ask(f, bad), "{\"error\":\"there is no instance 'x/y'\"}\n");
	}
}

static void test_logs(void **state)
{
	struct fixture *f = *state;
	char *older = xasprintf("%s.1", f->roster.log_path);
	int fd;

	fs_write_atomic(f->roster.log_path, "1\n2\n3\n", 6, 0600, NULL);
	assert_string_equal(ask(f, "{\"command\":\"logs\",\"name\":\"acme/db\",\"lines\":2}\n"),
			    "{\"log\":\"2\\n3\\n\"}\n" DONE);

	fd = dial(f);
	say(fd, "{\"command\":\"logs\",\"name\":\"acme/db\",\"lines\":1,\"follow\":true}\n");
	assert_string_equal(await(f, fd, "now\":true}\n"), "{\"log\":\"3\\n\"}\n{\"now\":true}\n");
	assert_int_equal(rename(f->roster.log_path, older), 0);
	fs_write_atomic(f->roster.log_path, "bad \xff byte\n", 11, 0600, NULL);
	assert_string_equal(await(f, fd, "\n"), "{\"log\":\"bad ? byte\\n\"}\n");
	close(fd);

	fs_write_atomic(older, "2026-11-26T06:30:00.000Z stdout 1\n", 34, 0600, NULL);
	fs_write_atomic(f->roster.log_path, "2026-11-26T06:30:00.001Z stdout 2\n", 34, 0600, NULL);
	assert_string_equal(ask(f, "{\"command\":\"logs\",\"name\":\"acme/db\",\"lines\":0,"
				   "\"since_ms\":1795674600001}\n"),
			    "{\"log\":\"2026-11-26T06:30:00.001Z stdout 2\\n\"}\n" DONE);
	free(older);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_status),
		TEST(test_status_of_one),
		TEST(test_plan),
		TEST(test_reload_waits_until_settled),
		TEST(test_reload_gives_up_waiting),
		TEST(test_reload_of_invalid_manifests),
		TEST(test_guard),
		TEST(test_stats),
		TEST(test_images),
		TEST(test_volumes),
		TEST(test_pull_of_a_client_that_leaves),
		TEST(test_verbs),
		TEST(test_logs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
