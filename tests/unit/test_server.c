/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control/server over a real socket, with the roster of tests/fakes: every command's answer, and
 * what clients may not do. The test is client and loop in one thread: `turn` runs the loop until
 * the client has what it waits for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "control/protocol.h"
#include "control/server.h"

#include "tests/fakes/roster.c"

struct fixture {
	char dir[64];
	struct loop *loop;
	struct settings settings;
	struct roster roster;
	struct server *server;
	struct strbuf received;
	bool is_invalid; /* the manifests are */
};

/* --- the daemon's side -------------------------------------------------------------------------
 */

static int on_plan(void *data, char **ret_text)
{
	struct fixture *f = data;

	*ret_text = xstrdup(f->is_invalid ? "web.yaml:1:1: unknown key\n" : "create acme/web\n");
	return f->is_invalid ? -1 : 0;
}

static json_t *on_describe(void *data)
{
	(void)data;
	return json_pack("{s:s}", "version", "test");
}

static void set_phase(struct fixture *f, size_t index, enum phase phase)
{
	f->roster.instances[index].phase = phase;
	server_publish(f->server, &f->roster.instances[index]);
}

static int on_reload(void *data, char **ret_text)
{
	struct fixture *f = data;
	int result = on_plan(data, ret_text);

	if (result == 0)
		set_phase(f, 0, PHASE_BOOTING);
	return result;
}

static const struct fleet *on_fleet(void *data)
{
	(void)data;
	return NULL;
}

static const struct control_handlers handlers = { on_plan, on_reload, on_describe, on_fleet };

static void add_instance(struct fixture *f, const char *name)
{
	struct spec *spec = spec_new();

	spec->name = xstrdup(name);
	spec->image = xstrdup("docker.io/library/busybox:1");
	f->roster.instances[f->roster.count++] =
		(struct instance_status){ .spec = spec, .phase = PHASE_RUNNING, .pid = 77 };
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/stoker-server-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	settings_defaults(&f->settings);
	free(f->settings.run_dir);
	f->settings.run_dir = xasprintf("%s/run", f->dir);
	f->roster.log_path = xasprintf("%s/vm.log", f->dir);
	f->roster.is_settled = true;
	add_instance(f, "acme/db");
	add_instance(f, "acme/web");
	f->loop = loop_new(NULL);
	assert_int_equal(
		server_open(f->loop, &f->settings, &f->roster, &handlers, f, &f->server, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	server_close(f->server);
	loop_free(f->loop);
	for (size_t i = 0; i < f->roster.count; i++)
		spec_free((struct spec *)f->roster.instances[i].spec);
	free(f->roster.log_path);
	settings_reset(&f->settings);
	strbuf_reset(&f->received);
	fs_remove_tree(f->dir, NULL);
	free(f);
	return 0;
}

/* --- the client's side -------------------------------------------------------------------------
 */

static struct sockaddr_un address_of(const struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" PROTOCOL_SOCKET,
		 f->settings.run_dir);
	return address;
}

static int dial(const struct fixture *f)
{
	struct sockaddr_un address = address_of(f);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void on_stop(struct watch *watch, unsigned events, void *data)
{
	(void)watch;
	(void)events;
	loop_stop(data);
}

/* Lets the server work for a moment. */
static void turn(const struct fixture *f, uint64_t ms)
{
	struct watch *timer = loop_timer(f->loop, ms, on_stop, f->loop);

	loop_run(f->loop);
	watch_free(timer);
}

/* All that came until `wanted` is in it, or the connection was closed; "" after 20 s without. */
static const char *await(struct fixture *f, int fd, const char *wanted)
{
	uint64_t until_ms = loop_now_ms() + 20000;
	char bytes[65536];

	strbuf_reset(&f->received);
	while (loop_now_ms() < until_ms) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return strbuf_text(&f->received);
		if (n > 0)
			strbuf_add(&f->received, bytes, (size_t)n);
		if (wanted && strstr(strbuf_text(&f->received), wanted))
			return strbuf_text(&f->received);
		turn(f, 1);
	}
	return "";
}

static const char *ask(struct fixture *f, const char *request)
{
	int fd = dial(f);

	say(fd, request);
	shutdown(fd, SHUT_WR);
	await(f, fd, NULL);
	close(fd);
	return strbuf_text(&f->received);
}

static size_t count_of(const char *text, const char *word)
{
	size_t count = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		count++;
	return count;
}

#define DONE "{\"done\":true}\n"

/* --- commands ----------------------------------------------------------------------------------
 */

static void test_version(void **state)
{
	assert_string_equal(ask(*state, "{\"command\":\"version\"}\n"),
			    "{\"version\":\"" STOKER_VERSION "\"}\n" DONE);
}

static void test_requests_in_a_row(void **state)
{
	const char *answer = ask(*state, "{\"command\":\"version\"}\n{\"command\":\"nonsense\"}\n"
					 "{\"command\":\"version\"}\n");

	assert_int_equal(count_of(answer, DONE), 2);
	assert_int_equal(count_of(answer, "{\"error\":\"unknown command 'nonsense'"), 1);
}

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

/* Far more than the queue holds, to a reader that takes its time; meanwhile another is served. */
static void test_status_of_many_to_a_slow_reader(void **state)
{
	struct fixture *f = *state;
	int slow = dial(f);
	char name[32];

	for (int i = 2; i < 1500; i++) {
		snprintf(name, sizeof(name), "acme/web.%d", i);
		add_instance(f, name);
	}
	say(slow, "{\"command\":\"status\"}\n");
	turn(f, 300);
	assert_non_null(strstr(ask(f, "{\"command\":\"version\"}\n"), DONE));
	await(f, slow, DONE);
	assert_int_equal(count_of(strbuf_text(&f->received), "{\"instance\":"), 1500);
	assert_int_equal(count_of(strbuf_text(&f->received), "\"name\":\"acme/web.1499\""), 1);
	close(slow);
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

static void test_events(void **state)
{
	struct fixture *f = *state;
	const char *answer;
	int fd;

	set_phase(f, 1, PHASE_STOPPING);
	f->roster.instances[1].reason = REASON_EXITED;
	f->roster.instances[1].exit_code = 3;
	set_phase(f, 1, PHASE_BACKOFF);
	answer = ask(f, "{\"command\":\"events\"}\n");
	assert_int_equal(count_of(answer, "{\"event\":"), 2);
	assert_non_null(strstr(answer, "\"phase\":\"backoff\",\"reason\":\"exited\","
				       "\"exit_code\":3"));

	fd = dial(f);
	say(fd, "{\"command\":\"events\",\"follow\":true}\n");
	await(f, fd, "backoff");
	set_phase(f, 1, PHASE_PREPARING);
	assert_non_null(strstr(await(f, fd, "preparing"), "\"number\":3"));
	close(fd);
}

/* A guest that floods does not push out what happened to VMs. */
static void test_drops_leave_room(void **state)
{
	const struct net_event drop = { .kind = NET_EVENT_DROP, .reason = "gso", .message = "" };
	const struct net_event lost = { .kind = NET_EVENT_LOST, .reason = "", .message = "gone" };
	struct fixture *f = *state;
	const char *answer;

	set_phase(f, 1, PHASE_BACKOFF);
	for (int i = 0; i < 1000; i++)
		server_publish_guard(f->server, "acme/web", &drop);
	server_publish_guard(f->server, "acme/web", &lost);
	set_phase(f, 1, PHASE_BOOTING);
	answer = ask(f, "{\"command\":\"events\"}\n");
	assert_int_equal(count_of(answer, "\"phase\":"), 2);
	assert_int_equal(count_of(answer, "\"guard\":\"drop\""), 128);
	assert_int_equal(count_of(answer, "\"guard\":\"lost\""), 1);
	assert_int_equal(count_of(answer, "{\"dropped\":"), 0);
	/* In order, whichever place they were in. */
	for (uint64_t number = 0, next; (answer = strstr(answer, "\"number\":")); number = next) {
		next = strtoull(answer + strlen("\"number\":"), NULL, 10);
		assert_true(next > number);
		answer++;
	}
}

static void test_events_to_a_slow_reader_are_counted(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	say(fd, "{\"command\":\"events\",\"follow\":true}\n");
	turn(f, 50);
	for (int i = 0; i < 20000; i++) {
		set_phase(f, 0, i % 2 ? PHASE_BACKOFF : PHASE_BOOTING);
		if (i % 100 == 0)
			turn(f, 1);
	}
	set_phase(f, 0, PHASE_FAILED);
	assert_int_equal(count_of(await(f, fd, "failed"), "{\"dropped\":"), 1);
	close(fd);
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

/* --- what clients may not do -------------------------------------------------------------------
 */

static void test_endless_request(void **state)
{
	struct fixture *f = *state;
	char junk[PROTOCOL_REQUEST_MAX * 3];
	int fd = dial(f);

	memset(junk, 'j', sizeof(junk) - 1);
	junk[sizeof(junk) - 1] = '\0';
	say(fd, junk);
	assert_string_equal(await(f, fd, NULL),
			    "{\"error\":\"the request is longer than 32768 bytes\"}\n");
	close(fd);
}

static void test_too_many_clients(void **state)
{
	struct fixture *f = *state;
	int fds[33];

	for (size_t i = 0; i < 33; i++) {
		fds[i] = dial(f);
		turn(f, 1);
	}
	assert_string_equal(await(f, fds[32], NULL),
			    "{\"error\":\"32 clients are connected, no more are served (end some)"
			    "\"}\n");
	close(fds[0]);
	turn(f, 50);
	assert_non_null(strstr(ask(f, "{\"command\":\"version\"}\n"), DONE));
	for (size_t i = 1; i < 33; i++)
		close(fds[i]);
}

static void test_a_client_that_leaves_frees_its_place(void **state)
{
	struct fixture *f = *state;

	f->roster.is_settled = false;
	for (int i = 0; i < 40; i++) {
		int fd = dial(f);

		say(fd, i % 2 ? "{\"command\":\"reload\",\"timeout_ms\":86400000}\n"
			      : "{\"command\":\"events\",\"follow\":true}\n");
		turn(f, 5);
		close(fd);
		turn(f, 5);
	}
	assert_non_null(strstr(ask(f, "{\"command\":\"version\"}\n"), DONE));
}

static void test_other_users_are_refused(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = address_of(f);
	struct stat st;
	int ends[2];
	pid_t pid;

	assert_int_equal(lstat(address.sun_path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0666);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	pid = fork();
	if (pid == 0) {
		char bytes[256];
		ssize_t n;
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (setgid(65534) < 0 || setuid(65534) < 0 ||
		    connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
			_exit(1);
		n = recv(fd, bytes, sizeof(bytes), 0);
		_exit(n > 0 && send(ends[1], bytes, (size_t)n, 0) == n ? 0 : 1);
	}
	close(ends[1]);
	assert_string_equal(
		await(f, ends[0], NULL),
		"{\"error\":\"user 65534 may not use stokerd (root may, the group 'stoker' may "
		"look, the operators of a tenant may see to that tenant)\"}\n");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(ends[0]);
}

/* --- the socket itself -------------------------------------------------------------------------
 */

static void test_a_dead_socket_is_replaced(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = address_of(f);
	struct stat st;
	int dead;

	f->server = server_close(f->server);
	assert_int_equal(lstat(address.sun_path, &st), -1);
	dead = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(dead, 1), 0);
	/* Still held, as by a child of the dead daemon that has not reached its exec. */
	assert_int_equal(lstat(address.sun_path, &st), 0);
	assert_int_equal(
		server_open(f->loop, &f->settings, &f->roster, &handlers, f, &f->server, NULL), 0);
	assert_non_null(strstr(ask(f, "{\"command\":\"version\"}\n"), DONE));
	close(dead);
}

static void test_what_is_no_socket_is_left_alone(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = address_of(f);
	struct error err = { 0 };
	char expected[256];
	struct stat st;

	f->server = server_close(f->server);
	assert_int_equal(fs_write_atomic(address.sun_path, "mine", 4, 0600, NULL), 0);
	assert_int_equal(
		server_open(f->loop, &f->settings, &f->roster, &handlers, f, &f->server, &err), -1);
	snprintf(expected, sizeof(expected), "%s: is in the way and no socket (move it)",
		 address.sun_path);
	assert_string_equal(err.text, expected);
	assert_int_equal(lstat(address.sun_path, &st), 0);
	assert_int_equal(st.st_size, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_version),
		TEST(test_requests_in_a_row),
		TEST(test_status),
		TEST(test_status_of_one),
		TEST(test_status_of_many_to_a_slow_reader),
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
		TEST(test_events),
		TEST(test_drops_leave_room),
		TEST(test_events_to_a_slow_reader_are_counted),
		TEST(test_logs),
		TEST(test_endless_request),
		TEST(test_too_many_clients),
		TEST(test_a_client_that_leaves_frees_its_place),
		TEST(test_other_users_are_refused),
		TEST(test_a_dead_socket_is_replaced),
		TEST(test_what_is_no_socket_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
