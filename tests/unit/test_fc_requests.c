/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests that boot a VM, word for word, for releases that differ; all that the driver sends,
 * against the tables of Firecracker's API.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "tests/fakes/fc_schema.h"
#include "vmm/fc_requests.h"

static const struct vmm_config plain = {
	.name = "acme/web",
	.tenant = "acme",
	.id = "stk0",
	.cpus = 2,
	.memory_bytes = 256 << 20,
	.disks = { { .serial = "base", .read_only = true },
		   { .serial = "upper", .is_ephemeral = true } },
	.disk_count = 2,
	.tap_name = "stk0",
	.mac = { 0x06, 0x3d, 0x72, 0x62, 0x5c, 0xdd },
};

static void print(const struct api_requests *requests, struct strbuf *out)
{
	for (size_t i = 0; i < requests->count; i++)
		strbuf_printf(out, "%s %s %s\n", requests->items[i].method, requests->items[i].path,
			      requests->items[i].body);
}

#ifdef __x86_64__
#define ARGUMENTS                                                                  \
	"console=ttyS0 quiet panic=-1 reboot=k cryptomgr.notests 8250.nr_uarts=1 " \
	"i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce"
#else
#define ARGUMENTS "console=ttyS0 quiet panic=-1 cryptomgr.notests 8250.nr_uarts=1"
#endif

#define HEAD                                                                                 \
	"PUT /logger {\"log_path\":\"console\",\"level\":\"Warning\",\"show_level\":true}\n" \
	"PUT /metrics {\"metrics_path\":\"metrics\"}\n"
#define MACHINE                                                                          \
	"PUT /machine-config {\"vcpu_count\":2,\"mem_size_mib\":256,\"smt\":false}\n"    \
	"PUT /boot-source {\"kernel_image_path\":\"kernel\",\"initrd_path\":\"initrd\"," \
	"\"boot_args\":\"" ARGUMENTS "\"}\n"                                             \
	"PUT /drives/base {\"drive_id\":\"base\",\"path_on_host\":\"base\","             \
	"\"is_root_device\":false,\"is_read_only\":true,\"cache_type\":\"Unsafe\"}\n"
#define UPPER                                                                       \
	"PUT /drives/upper {\"drive_id\":\"upper\",\"path_on_host\":\"upper\","     \
	"\"is_root_device\":false,\"is_read_only\":false,\"cache_type\":\"Unsafe\"" \
	"}\n"
#define NETWORK                                                \
	"PUT /network-interfaces/net0 {\"iface_id\":\"net0\"," \
	"\"host_dev_name\":\"stk0\",\"guest_mac\":\"06:3d:72:62:5c:dd\""
#define TAIL                                                        \
	"PUT /balloon {\"amount_mib\":0,\"deflate_on_oom\":true}\n" \
	"PUT /vsock {\"guest_cid\":3,\"uds_path\":\"v.sock\"}\n"    \
	"PUT /entropy {}\n"                                         \
	"PUT /actions {\"action_type\":\"InstanceStart\"}\n"

static void test_sequences(void **state)
{
	static const struct {
		struct fc_release release;
		const char *text;
	} cases[] = {
		{ { 1, 8, 0 }, HEAD MACHINE UPPER NETWORK "}\n" TAIL },
		{ { 1, 13, 1 }, HEAD MACHINE UPPER NETWORK "}\n" TAIL },
		{ { 1, 14, 0 },
		  HEAD "PUT /serial {\"serial_out_path\":\"console\"}\n" MACHINE UPPER NETWORK
		       "}\n" TAIL },
		{ { 1, 16, 0 },
		  HEAD "PUT /serial {\"serial_out_path\":\"console\",\"rate_limiter\":"
		       "{\"size\":65536,\"refill_time\":1000}}\n" MACHINE UPPER NETWORK
		       ",\"mtu\":1500}\n" TAIL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_strbuf_ struct strbuf text = { 0 };
		struct api_requests requests;

		fc_requests_boot(&plain, &cases[i].release, &requests);
		print(&requests, &text);
		assert_string_equal(strbuf_text(&text), cases[i].text);
		fc_requests_reset(&requests);
	}
}

static void test_disks(void **state)
{
	struct vmm_config config = plain;
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct api_requests requests;

	(void)state;
	config.limits = (struct vmm_limits){ .disk_bandwidth = 50 << 20,
					     .balloon_bytes = 64 << 20 };
	config.disks[1].is_ephemeral = false;
	fc_requests_boot(&config, &(struct fc_release){ 1, 16, 1 }, &requests);
	print(&requests, &text);
	/* What must last is flushed when the guest says so; only what is written is limited. */
	assert_non_null(
		strstr(strbuf_text(&text), "\"is_read_only\":true,\"cache_type\":\"Unsafe\"}\n"));
	assert_non_null(strstr(strbuf_text(&text),
			       "\"is_read_only\":false,\"cache_type\":\"Writeback\","
			       "\"rate_limiter\":{\"bandwidth\":{\"size\":52428800,"
			       "\"refill_time\":1000},\"ops\":{\"size\":0,\"refill_time\":0}}}\n"));
	assert_non_null(strstr(strbuf_text(&text), "{\"amount_mib\":64,\"deflate_on_oom\":true}"));
	fc_requests_reset(&requests);
}

static void test_changes(void **state)
{
	static const struct vmm_limits limits = { .disk_iops = 1000, .balloon_bytes = 32 << 20 };
	_cleanup_strbuf_ struct strbuf text = { 0 };
	_cleanup_strv_ struct strv disks = { 0 };
	struct api_requests requests;

	(void)state;
	strv_add(&disks, "upper");
	fc_requests_limit(&limits, &disks, &requests);
	print(&requests, &text);
	fc_requests_reset(&requests);
	assert_string_equal(strbuf_text(&text),
			    "PATCH /drives/upper {\"drive_id\":\"upper\",\"rate_limiter\":"
			    "{\"bandwidth\":{\"size\":0,\"refill_time\":0},"
			    "\"ops\":{\"size\":1000,\"refill_time\":1000}}}\n"
			    "PATCH /balloon {\"amount_mib\":32}\n");
}

static void test_tap_is_marked(void **state)
{
	struct vmm_config config = plain;
	struct api_requests requests;
	size_t marked = 0;

	(void)state;
	fc_requests_boot(&config, &(struct fc_release){ 1, 16, 1 }, &requests);
	for (size_t i = 0; i < requests.count; i++) {
		bool is_network = strstr(requests.items[i].path, "/network-interfaces/") != NULL;

		assert_int_equal(requests.items[i].opens_tap, is_network);
		marked += requests.items[i].opens_tap;
	}
	assert_int_equal(marked, 1);
	fc_requests_reset(&requests);
	config.tap_name = NULL;
	fc_requests_boot(&config, &(struct fc_release){ 1, 16, 1 }, &requests);
	for (size_t i = 0; i < requests.count; i++)
		assert_false(requests.items[i].opens_tap);
	fc_requests_reset(&requests);
}

/* --- against the tables ---------------------------------------------------------------------- */

static void take(struct fc_session *session, struct api_requests *requests)
{
	for (size_t i = 0; i < requests->count; i++) {
		const struct api_request *request = &requests->items[i];
		struct error err = { 0 };

		if (fc_schema_step(session, request->method, request->path, request->body, &err))
			fail_msg("%s %s %s: %s", request->method, request->path, request->body,
				 err.text);
	}
	fc_requests_reset(requests);
}

/* Every release takes the life of a VM that the driver makes for it, and no release older than the
 * one that a field came with would. */
static void test_every_release(void **state)
{
	struct vmm_config config = plain;
	_cleanup_strv_ struct strv disks = { 0 };

	(void)state;
	config.limits = (struct vmm_limits){ 1 << 20, 100, 1 << 20 };
	strv_add(&disks, "upper");
	for (unsigned minor = 8; minor <= 16; minor++) {
		const struct fc_release release = { 1, minor, 0 };
		struct fc_session session = { .release = FC_RELEASE(1, minor), .strict = true };
		struct api_requests requests;

		fc_requests_boot(&config, &release, &requests);
		take(&session, &requests);
		assert_true(session.started);
		fc_requests_limit(&config.limits, &disks, &requests);
		take(&session, &requests);
		fc_requests_limit(&(struct vmm_limits){ 0 }, &disks, &requests);
		take(&session, &requests);
	}
}

static int first_refusal(const struct fc_release *release, unsigned schema, const char **ret_path)
{
	struct fc_session session = { .release = schema, .strict = true };
	struct api_requests requests;
	int result = 0;

	fc_requests_boot(&plain, release, &requests);
	for (size_t i = 0; i < requests.count && result == 0; i++) {
		result = fc_schema_step(&session, requests.items[i].method, requests.items[i].path,
					requests.items[i].body, NULL);
		if (result)
			*ret_path = strstr(requests.items[i].path, "/serial")	 ? "/serial"
				    : strstr(requests.items[i].path, "/network") ? "/network"
										 : "?";
	}
	fc_requests_reset(&requests);
	return result;
}

static void test_versions_matter(void **state)
{
	const char *path = NULL;

	(void)state;
	assert_int_equal(first_refusal(&(struct fc_release){ 1, 14, 0 }, FC_RELEASE(1, 13), &path),
			 -1);
	assert_string_equal(path, "/serial");
	assert_int_equal(first_refusal(&(struct fc_release){ 1, 16, 0 }, FC_RELEASE(1, 15), &path),
			 -1);
	assert_string_equal(path, "/serial");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequences),     cmocka_unit_test(test_disks),
		cmocka_unit_test(test_changes),	      cmocka_unit_test(test_tap_is_marked),
		cmocka_unit_test(test_every_release), cmocka_unit_test(test_versions_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
