/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of Firecracker's API: what they let pass, and the words with which they refuse. */
#include "tests/fakes/fc_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define DESERIALIZING "An error occurred when deserializing the json body of a request: "
#define NOT_BEFORE    "The requested operation is not supported before starting the microVM."
#define NOT_AFTER     "The requested operation is not supported after starting the microVM."
#define BAD_VCPUS                                                                                  \
	"Machine config error: The number of vCPUs must be greater than 0, less than 32 and must " \
	"be 1 or an even number if SMT is enabled."
#define BAD_MEMORY                                                                           \
	"Machine config error: The memory size (MiB) is either 0, or not a multiple of the " \
	"configured page size."

struct request_case {
	const char *method, *path, *body;
	const char *fault; /* NULL: it passes */
};

static void check_cases(const struct fc_session *session, const struct request_case *cases,
			size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct request_case *c = &cases[i];
		struct error err = { 0 };
		int got = fc_schema_check(session, c->method, c->path, c->body,
					  c->body ? strlen(c->body) : 0, NULL, &err);

		if (got != (c->fault ? -1 : 0) || strcmp(err.text, c->fault ? c->fault : "") != 0)
			fail_msg("%s %s %s: %d '%s'", c->method, c->path, c->body ? c->body : "",
				 got, err.text);
	}
}

#define CHECK(session, cases) check_cases(session, cases, sizeof(cases) / sizeof(*(cases)))

static const struct fc_session fresh = { .release = FC_RELEASE(1, 16) };

/* --- each endpoint ------------------------------------------------------------------------- */

static void every_request_that_stoker_makes_passes(void **state)
{
	static const struct request_case cases[] = {
		{ "GET", "/" },
		{ "GET", "/version" },
		{ "GET", "/machine-config" },
		{ "PUT", "/logger", "{\"log_path\":\"/log\",\"level\":\"Warning\"}" },
		{ "PUT", "/metrics", "{\"metrics_path\":\"/metrics\"}" },
		{ "PUT", "/serial",
		  "{\"serial_out_path\":\"/console\",\"rate_limiter\":{\"size\":65536,"
		  "\"one_time_burst\":1048576,\"refill_time\":1000}}" },
		{ "PUT", "/machine-config",
		  "{\"vcpu_count\":2,\"mem_size_mib\":128,\"smt\":false,"
		  "\"track_dirty_pages\":false,\"huge_pages\":\"2M\"}" },
		{ "PUT", "/boot-source",
		  "{\"kernel_image_path\":\"/k\",\"initrd_path\":\"/i\",\"boot_args\":\"quiet\"}" },
		{ "PUT", "/drives/base",
		  "{\"drive_id\":\"base\",\"path_on_host\":\"/b\",\"is_root_device\":false,"
		  "\"is_read_only\":true,\"cache_type\":\"Unsafe\"}" },
		{ "PUT", "/drives/upper",
		  "{\"drive_id\":\"upper\",\"path_on_host\":\"/u\",\"is_root_device\":false,"
		  "\"is_read_only\":false,\"cache_type\":\"Writeback\",\"rate_limiter\":{"
		  "\"bandwidth\":{\"size\":1048576,\"refill_time\":100},\"ops\":{\"size\":100,"
		  "\"refill_time\":100}}}" },
		{ "PUT", "/network-interfaces/eth0",
		  "{\"iface_id\":\"eth0\",\"host_dev_name\":\"stk1\","
		  "\"guest_mac\":\"02:00:00:00:00:0A\",\"mtu\":1500,\"rx_rate_limiter\":null,"
		  "\"tx_rate_limiter\":{\"ops\":{\"size\":1,\"refill_time\":1}}}" },
		{ "PUT", "/vsock", "{\"guest_cid\":3,\"uds_path\":\"/v.sock\"}" },
		{ "PUT", "/entropy", "{}" },
		{ "PUT", "/balloon",
		  "{\"amount_mib\":0,\"deflate_on_oom\":true,\"stats_polling_interval_s\":0,"
		  "\"free_page_reporting\":true}" },
		{ "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}" },
	};

	(void)state;
	CHECK(&fresh, cases);
}

static void live_requests_pass_after_the_start(void **state)
{
	static const struct fc_session started = { .release = FC_RELEASE(1, 16), .started = true };
	static const struct request_case cases[] = {
		{ "GET", "/" },
		{ "PATCH", "/drives/upper",
		  "{\"drive_id\":\"upper\",\"rate_limiter\":{\"ops\":{\"size\":0,"
		  "\"refill_time\":0}}}" },
		{ "PATCH", "/network-interfaces/eth0",
		  "{\"iface_id\":\"eth0\",\"rx_rate_limiter\":{}}" },
		{ "PATCH", "/balloon", "{\"amount_mib\":64}" },
		{ "PATCH", "/vm", "{\"state\":\"Paused\"}" },
		{ "PUT", "/actions", "{\"action_type\":\"FlushMetrics\"}" },
		{ "PUT", "/actions", "{\"action_type\":\"SendCtrlAltDel\"}" },
		{ "PUT", "/actions", "{\"action_type\":\"InstanceStart\"}", NOT_AFTER },
		{ "PUT", "/logger", "{}", NOT_AFTER },
		{ "PUT", "/drives/a",
		  "{\"drive_id\":\"a\",\"path_on_host\":\"d\",\"is_root_device\":false}",
		  "PCI is not enabled" },
		{ "PUT", "/vsock", "{\"guest_cid\":3,\"uds_path\":\"/v\"}", NOT_AFTER },
		{ "PUT", "/vsock", "{\"guest_cid\":3}", DESERIALIZING "missing field `uds_path`." },
	};

	static const struct fc_session before = { .release = FC_RELEASE(1, 15), .started = true };
	static const struct request_case late = { "PUT", "/network-interfaces/e",
						  "{\"iface_id\":\"e\",\"host_dev_name\":\"t\"}",
						  NOT_AFTER };

	(void)state;
	CHECK(&started, cases);
	check_cases(&before, &late, 1);
}

static void what_does_not_deserialize_is_refused(void **state)
{
	static const struct request_case cases[] = {
		{ "PUT", "/logger", NULL, "Empty PUT request." },
		{ "PATCH", "/vm", NULL, "Empty PATCH request." },
		{ "GET", "/version", "{}", "GET request cannot have a body." },
		{ "GET", "/nowhere", NULL, "Invalid request method and/or path: GET nowhere." },
		{ "PUT", "/logger", "{\"levle\":\"Warning\"}",
		  DESERIALIZING "unknown field `levle`, expected one of `log_path`, `level`, "
				"`show_level`, `show_log_origin`, `module`." },
		{ "PUT", "/logger", "{\"level\":\"Loud\"}", DESERIALIZING "Invalid LevelFilter." },
		{ "PUT", "/entropy", "{\"x\":1}",
		  DESERIALIZING "unknown field `x`, expected `rate_limiter`." },
		{ "PUT", "/entropy", "{\"rate_limiter\":{\"bandwith\":{}}}",
		  DESERIALIZING "unknown field `bandwith`, expected `bandwidth` or `ops`." },
		{ "PUT", "/entropy", "{\"rate_limiter\":{\"ops\":{\"size\":1}}}",
		  DESERIALIZING "missing field `refill_time`." },
		{ "PUT", "/machine-config", "{\"vcpu_count\":1}",
		  DESERIALIZING "missing field `mem_size_mib`." },
		{ "PUT", "/machine-config", "{\"vcpu_count\":\"1\"}",
		  DESERIALIZING "invalid type: string \"1\", expected u8." },
		{ "PUT", "/machine-config", "{\"vcpu_count\":256}",
		  DESERIALIZING "invalid value: integer `256`, expected u8." },
		{ "PUT", "/machine-config", "{\"mem_size_mib\":-1}",
		  DESERIALIZING "invalid value: integer `-1`, expected usize." },
		{ "PUT", "/machine-config", "{\"smt\":null}",
		  DESERIALIZING "invalid type: null, expected a boolean." },
		{ "PUT", "/machine-config", "{\"huge_pages\":\"4M\"}",
		  DESERIALIZING "unknown variant `4M`, expected `None` or `2M`." },
		{ "PUT", "/machine-config", "\"x\"",
		  DESERIALIZING "invalid type: string \"x\", expected struct MachineConfig." },
		{ "PUT", "/drives/a",
		  "{\"drive_id\":\"a\",\"path_on_host\":\"d\",\"is_root_device\":false,"
		  "\"cache_type\":\"Writethrough\"}",
		  DESERIALIZING "unknown variant `Writethrough`, expected `Unsafe` or "
				"`Writeback`." },
		{ "PUT", "/network-interfaces/eth0", "{\"guest_mac\":\"02:00:00:00:00:0g\"}",
		  DESERIALIZING "The provided MAC address is invalid.." },
		{ "PUT", "/network-interfaces/eth0", "{\"mtu\":65536}",
		  DESERIALIZING "invalid value: integer `65536`, expected u16." },
		{ "PUT", "/actions", "{\"action_type\":\"Reboot\"}",
		  DESERIALIZING "unknown variant `Reboot`, expected one of `FlushMetrics`, "
				"`InstanceStart`, `SendCtrlAltDel`." },
		{ "PATCH", "/vm", "{\"state\":\"Stopped\"}",
		  DESERIALIZING "unknown variant `Stopped`, expected `Paused` or `Resumed`." },
	};

	(void)state;
	CHECK(&fresh, cases);
}

static void ids_of_path_and_body_agree(void **state)
{
	static const struct request_case cases[] = {
		{ "PUT", "/drives/a", "{\"drive_id\":\"b\",\"is_root_device\":false}",
		  "The id from the path does not match the id from the body!" },
		{ "PUT", "/network-interfaces/eth0",
		  "{\"iface_id\":\"eth1\",\"host_dev_name\":\"t\"}",
		  "The id from the path [eth0] does not match the id from the body [eth1]!" },
		{ "PUT", "/drives/a-b", "{}",
		  "API Resource IDs can only contain alphanumeric characters and underscores." },
		{ "PUT", "/drives/", "{}", "The ID cannot be empty." },
	};

	(void)state;
	CHECK(&fresh, cases);
}

static void ranges_are_kept(void **state)
{
	static const struct request_case cases[] = {
		{ "PUT", "/machine-config", "{\"vcpu_count\":0,\"mem_size_mib\":1}", BAD_VCPUS },
		{ "PUT", "/machine-config", "{\"vcpu_count\":32,\"mem_size_mib\":1}" },
		{ "PUT", "/machine-config", "{\"vcpu_count\":33,\"mem_size_mib\":1}", BAD_VCPUS },
		{ "PUT", "/machine-config", "{\"vcpu_count\":3,\"mem_size_mib\":1,\"smt\":true}",
		  BAD_VCPUS },
		{ "PUT", "/machine-config", "{\"vcpu_count\":1,\"mem_size_mib\":0}", BAD_MEMORY },
		{ "PUT", "/machine-config",
		  "{\"vcpu_count\":1,\"mem_size_mib\":3,\"huge_pages\":\"2M\"}", BAD_MEMORY },
		{ "PUT", "/network-interfaces/eth0",
		  "{\"iface_id\":\"eth0\",\"host_dev_name\":\"t\",\"mtu\":68}" },
		{ "PUT", "/network-interfaces/eth0",
		  "{\"iface_id\":\"eth0\",\"host_dev_name\":\"t\",\"mtu\":67}",
		  "Network config error: Could not create the network device: MTU 67 is out of "
		  "range [68, 65535]" },
		{ "PUT", "/drives/a", "{\"drive_id\":\"a\",\"is_root_device\":false}",
		  "Drive config error: Unable to create the virtio block device: Invalid block "
		  "config." },
	};

	(void)state;
	CHECK(&fresh, cases);
}

static void lengths_are_kept(void **state)
{
	_cleanup_free_ char *args = xcalloc(1, FC_BOOT_ARGS_MAX + 2);
	_cleanup_free_ char *big = xcalloc(1, FC_BODY_MAX + 2);
	_cleanup_free_ char *body = NULL, *longer = NULL;
	struct error err = { 0 };

	(void)state;
	memset(args, 'a', FC_BOOT_ARGS_MAX);
	body = xasprintf("{\"kernel_image_path\":\"k\",\"boot_args\":\"%s\"}", args);
	longer = xasprintf("{\"kernel_image_path\":\"k\",\"boot_args\":\"%sa\"}", args);
	assert_int_equal(
		fc_schema_check(&fresh, "PUT", "/boot-source", body, strlen(body), NULL, &err), 0);
	assert_int_equal(
		fc_schema_check(&fresh, "PUT", "/boot-source", longer, strlen(longer), NULL, &err),
		-1);
	assert_string_equal(err.text, "Boot source error: The kernel command line is invalid: "
				      "Invalid cmdline capacity provided.");

	memset(big, ' ', FC_BODY_MAX + 1);
	memcpy(big, "{}", 2);
	assert_int_equal(fc_schema_check(&fresh, "PUT", "/entropy", big, FC_BODY_MAX, NULL, &err),
			 0);
	assert_int_equal(
		fc_schema_check(&fresh, "PUT", "/entropy", big, FC_BODY_MAX + 1, NULL, &err), -1);
	assert_string_equal(err.text, "Request payload with size 51201 is larger than the limit of "
				      "51200 allowed by server.");
}

/* --- releases ------------------------------------------------------------------------------ */

static void releases_know_what_they_brought(void **state)
{
	static const char limiter[] =
		"{\"serial_out_path\":\"c\",\"rate_limiter\":{\"size\":1,\"refill_time\":1}}";
	static const char mtu[] = "{\"iface_id\":\"e\",\"host_dev_name\":\"t\",\"mtu\":1400}";
	static const char pathless[] = "{\"drive_id\":\"a\",\"is_root_device\":false,"
				       "\"path_on_host\":\"d\"}";
	static const struct {
		const char *method, *path, *body;
		unsigned since;
		const char *fault; /* of the release before */
	} cases[] = {
		{ "PUT", "/serial", "{\"serial_out_path\":\"c\"}", FC_RELEASE(1, 14),
		  "Invalid request method and/or path: PUT serial." },
		{ "PUT", "/serial", limiter, FC_RELEASE(1, 16),
		  DESERIALIZING "unknown field `rate_limiter`, expected `serial_out_path`." },
		{ "PUT", "/network-interfaces/e", mtu, FC_RELEASE(1, 16),
		  DESERIALIZING "unknown field `mtu`, expected one of `iface_id`, "
				"`host_dev_name`, `guest_mac`, `rx_rate_limiter`, "
				"`tx_rate_limiter`." },
		{ "PUT", "/entropy", "{}", FC_RELEASE(1, 4),
		  "Invalid request method and/or path: PUT entropy." },
		{ "PUT", "/machine-config",
		  "{\"vcpu_count\":1,\"mem_size_mib\":2,\"huge_pages\":\"2M\"}", FC_RELEASE(1, 7),
		  DESERIALIZING "unknown field `huge_pages`, expected one of `vcpu_count`, "
				"`mem_size_mib`, `smt`, `cpu_template`, `track_dirty_pages`." },
		{ "PUT", "/balloon",
		  "{\"amount_mib\":0,\"deflate_on_oom\":true,\"free_page_reporting\":true}",
		  FC_RELEASE(1, 14),
		  DESERIALIZING "unknown field `free_page_reporting`, expected one of "
				"`amount_mib`, `deflate_on_oom`, `stats_polling_interval_s`." },
		{ "PUT", "/drives/a", pathless, FC_RELEASE(1, 6),
		  DESERIALIZING "missing field `is_read_only`." },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fc_session session = { .release = cases[i].since };
		struct request_case c = { cases[i].method, cases[i].path, cases[i].body };

		check_cases(&session, &c, 1);
		session.release--;
		c.fault = cases[i].fault;
		check_cases(&session, &c, 1);
	}
}

static void releases_are_read(void **state)
{
	(void)state;
	assert_int_equal(fc_release_parse("1.16.1"), FC_RELEASE(1, 16));
	assert_int_equal(fc_release_parse("v1.5.0"), FC_RELEASE(1, 5));
	assert_int_equal(fc_release_parse("1.17.0-dev"), FC_RELEASE(1, 17));
	assert_int_equal(fc_release_parse("1.16"), 0);
	assert_int_equal(fc_release_parse(""), 0);
	assert_true(FC_RELEASE(1, 9) < FC_RELEASE(1, 10));
}

/* --- sequences ----------------------------------------------------------------------------- */

static void a_call_that_is_once_only_is_refused_twice(void **state)
{
	struct fc_session session = { .release = FC_RELEASE(1, 16) };
	const char *metrics = "{\"metrics_path\":\"m\"}";
	struct error err = { 0 };

	(void)state;
	assert_int_equal(fc_schema_step(&session, "PUT", "/metrics", metrics, &err), 0);
	assert_int_equal(fc_schema_step(&session, "PUT", "/metrics", metrics, &err), -1);
	assert_string_equal(err.text, "Metrics error: Cannot initialize the metrics system due to "
				      "bad user input: Reinitialization of metrics not allowed.");
	/* All else may be said again, with other words. */
	assert_int_equal(fc_schema_step(&session, "PUT", "/logger", "{}", &err), 0);
	assert_int_equal(fc_schema_step(&session, "PUT", "/logger", "{}", &err), 0);
}

static void the_start_divides_the_life(void **state)
{
	struct fc_session session = { .release = FC_RELEASE(1, 16) };
	const char *start = "{\"action_type\":\"InstanceStart\"}";
	const char *pause = "{\"state\":\"Paused\"}";
	struct error err = { 0 };

	(void)state;
	assert_int_equal(fc_schema_step(&session, "PATCH", "/vm", pause, &err), -1);
	assert_string_equal(err.text, NOT_BEFORE);
	assert_int_equal(fc_schema_step(&session, "PUT", "/actions", start, &err), 0);
	assert_true(session.started);
	assert_int_equal(fc_schema_step(&session, "PATCH", "/vm", pause, &err), 0);
	assert_int_equal(fc_schema_step(&session, "PUT", "/actions", start, &err), -1);
	assert_string_equal(err.text, NOT_AFTER);
}

static void strictness_finds_what_the_program_lets_pass(void **state)
{
	static const struct {
		const char *path, *body, *fault;
	} cases[] = {
		{ "/vsock", "{\"guest_cid\":2,\"uds_path\":\"v\"}",
		  "guest_cid is at least 3 (not that Firecracker says so)" },
		{ "/metrics", "{\"metrics_path\":\"m\",\"x\":1}",
		  DESERIALIZING "unknown field `x`, expected `metrics_path`." },
		{ "/serial", "{\"rate_limiter\":{\"size\":1,\"refill_time\":1,\"burst\":1}}",
		  DESERIALIZING "unknown field `burst`, expected one of `size`, "
				"`one_time_burst`, `refill_time`." },
		{ "/entropy/x", "{}", "the path has a component too many" },
		{ "/entropy/x/y", "{}", "the path has a component too many" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fc_session session = { .release = FC_RELEASE(1, 16) };
		struct request_case c = { "PUT", cases[i].path, cases[i].body };

		check_cases(&session, &c, 1);
		session.strict = true;
		c.fault = cases[i].fault;
		check_cases(&session, &c, 1);
	}
}

static void a_request_is_handed_over(void **state)
{
	const char *body = "{\"drive_id\":\"upper\",\"is_root_device\":false,"
			   "\"path_on_host\":\"/u\"}";
	struct fc_request request;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(
		fc_schema_check(&fresh, "PUT", "/drives/upper", body, strlen(body), &request, &err),
		0);
	assert_int_equal(request.call, FC_PUT_DRIVE);
	assert_string_equal(request.id, "upper");
	assert_string_equal(json_string_or(request.body, "path_on_host", ""), "/u");
	fc_request_reset(&request);
	assert_null(request.body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_that_stoker_makes_passes),
		cmocka_unit_test(live_requests_pass_after_the_start),
		cmocka_unit_test(what_does_not_deserialize_is_refused),
		cmocka_unit_test(ids_of_path_and_body_agree),
		cmocka_unit_test(ranges_are_kept),
		cmocka_unit_test(lengths_are_kept),
		cmocka_unit_test(releases_know_what_they_brought),
		cmocka_unit_test(releases_are_read),
		cmocka_unit_test(a_call_that_is_once_only_is_refused_twice),
		cmocka_unit_test(the_start_divides_the_life),
		cmocka_unit_test(strictness_finds_what_the_program_lets_pass),
		cmocka_unit_test(a_request_is_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
