/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, prefixes, specs and their record, tenant ids and MAC addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "model/address.h"
#include "model/file.h"
#include "model/fleet.h"
#include "model/spec.h"
#include "model/volume.h"

static void addresses(void **state)
{
	static const char *const bad[] = { "",	       "1.2.3",	   "01.2.3.4",	   "1.2.3.256",
					   " 1.2.3.4", "1.2.3.4 ", "fe80::1%eth0", "::ffff:1.2.3.4",
					   "g::" };
	struct address address;
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(address_parse(bad[i], &address), -1);
	assert_int_equal(address_parse("10.20.0.10", &address), 0);
	assert_string_equal(address_format(&address, text), "10.20.0.10");
	assert_int_equal(address_parse("FD00:20:0::A", &address), 0);
	assert_string_equal(address_format(&address, text), "fd00:20::a");
}

static void endpoints(void **state)
{
	static const char *const bad[] = { "",
					   "10.0.0.1",
					   "10.0.0.1:",
					   "10.0.0.1:0",
					   "10.0.0.1:080",
					   "10.0.0.1:x",
					   "10.0.0.1:1x",
					   "10.0.0.1:65536",
					   "[10.0.0.1]:80",
					   "::1:80",
					   "[::1]",
					   "[::1]:",
					   "[::1",
					   "[::1]80",
					   ":80",
					   "[]:80",
					   "localhost:80",
					   "10.0.0.1:99999999999999999999" };
	struct endpoint endpoint;
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (endpoint_parse(bad[i], &endpoint) == 0)
			fail_msg("'%s' was taken", bad[i]);
	assert_int_equal(endpoint_parse("127.0.0.1:9469", &endpoint), 0);
	assert_string_equal(address_format(&endpoint.address, text), "127.0.0.1");
	assert_int_equal(endpoint.port, 9469);
	assert_int_equal(endpoint_parse("[fd00::1]:65535", &endpoint), 0);
	assert_string_equal(address_format(&endpoint.address, text), "fd00::1");
	assert_int_equal(endpoint.port, 65535);
}

static void prefixes(void **state)
{
	static const char *const bad[] = { "10.0.0.0",	  "10.0.0.0/",	 "10.0.0.0/33",
					   "10.0.0.0/08", "10.0.0.0/8x", "fd00::/129",
					   "/8" };
	struct prefix prefix, other;
	struct address address;
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(prefix_parse(bad[i], &prefix), -1);
	assert_int_equal(prefix_parse("10.20.0.5/24", &prefix), -2);
	assert_string_equal(prefix_format(&prefix, text), "10.20.0.0/24");
	assert_int_equal(prefix_parse("fd00:20::/64", &prefix), 0);
	address_parse("fd00:20::ffff", &address);
	assert_true(prefix_contains(&prefix, &address));
	address_parse("fd00:21::1", &address);
	assert_false(prefix_contains(&prefix, &address));
	address_parse("10.0.0.1", &address);
	assert_false(prefix_contains(&prefix, &address));

	prefix_parse("10.0.0.0/8", &prefix);
	prefix_parse("10.20.0.0/24", &other);
	assert_true(prefix_overlaps(&prefix, &other));
	assert_true(prefix_overlaps(&other, &prefix));
	prefix_parse("11.0.0.0/24", &other);
	assert_false(prefix_overlaps(&prefix, &other));
	prefix_parse("0.0.0.0/0", &prefix);
	assert_true(prefix_overlaps(&prefix, &other));
}

static void places_in_a_prefix(void **state)
{
	struct prefix prefix;
	struct address address;
	char text[ADDRESS_TEXT_MAX];

	(void)state;
	prefix_parse("10.20.0.0/24", &prefix);
	assert_true(prefix_nth(&prefix, 255, &address));
	assert_string_equal(address_format(&address, text), "10.20.0.255");
	assert_false(prefix_nth(&prefix, 256, &address));
	prefix_parse("fd00::/64", &prefix);
	assert_true(prefix_nth(&prefix, UINT64_MAX, &address));
	assert_string_equal(address_format(&address, text), "fd00::ffff:ffff:ffff:ffff");
	prefix_parse("10.0.0.1/32", &prefix);
	assert_true(prefix_nth(&prefix, 0, &address));
	assert_false(prefix_nth(&prefix, 1, &address));
}

static struct spec *example(void)
{
	struct spec *spec = spec_new();

	for (size_t i = 0; i < spec_field_count; i++)
		if (spec_fields[i].type == FIELD_STRING)
			*(char **)((char *)spec + spec_fields[i].offset) =
				xstrdup(spec_fields[i].name);
	spec->replica = 2;
	spec->memory_bytes = UINT64_C(64) << 30;
	spec->has_command = true;
	strv_add(&spec->command, "echo");
	strv_add(&spec->command, "\xc3\xa4 b\n");
	address_parse("10.1.2.3", &spec->addresses.items[0]);
	address_parse("fd00::1", &spec->addresses.items[1]);
	spec->addresses.count = 2;
	return spec;
}

static void the_record_holds_every_field(void **state)
{
	struct spec *spec = example(), *copy = spec_copy(spec), *back = NULL;
	json_t *json = spec_to_json(spec);
	struct error err;

	(void)state;
	assert_int_equal(spec_from_json(json, &back, &err), 0);
	for (size_t i = 0; i < spec_field_count; i++) {
		assert_true(spec_field_equal(&spec_fields[i], spec, copy));
		assert_true(spec_field_equal(&spec_fields[i], spec, back));
	}
	back = spec_free(back);
	json_object_del(json, "working_dir"); /* as if it were of an older version */
	assert_int_equal(spec_from_json(json, &back, &err), 0);
	assert_string_equal(back->working_dir, "");
	assert_string_equal(back->hostname, spec->hostname);
	json_object_set_new(json, "memory", json_true());
	assert_int_equal(spec_from_json(json, &copy, &err), -1);
	json_object_del(json, "memory");
	json_object_del(json, "tenant");
	assert_int_equal(spec_from_json(json, &copy, &err), -1);
	assert_string_equal(err.text, "spec: 'tenant' is missing");
	json_decref(json);
	spec_free(spec);
	spec_free(copy);
	spec_free(back);
}

static void every_difference_is_seen(void **state)
{
	struct spec *a = example(), *b = example();

	(void)state;
	b->addresses.items[1].bytes[15] = 9;
	strv_add(&b->command, "more");
	b->has_command = false;
	b->memory_bytes++;
	for (size_t i = 0; i < spec_field_count; i++) {
		const char *name = spec_fields[i].name;
		int differs = !strcmp(name, "addresses") || !strcmp(name, "command") ||
			      !strcmp(name, "has_command") || !strcmp(name, "memory");

		assert_int_equal(!spec_field_equal(&spec_fields[i], a, b), differs);
	}
	spec_free(a);
	spec_free(b);
}

static void macs_are_local_unicast_and_stable(void **state)
{
	uint8_t a[6], b[6];

	(void)state;
	spec_mac("acme/web", a);
	spec_mac("acme/web", b);
	assert_memory_equal(a, b, 6);
	assert_int_equal(a[0] & 3, 2);
	spec_mac("acme/web.2", b);
	assert_memory_not_equal(a, b, 6);
	assert_int_not_equal(tenant_id("acme"), tenant_id("beta"));
}

static void a_file_is_a_line(void **state)
{
	static const char *const bad[] = { "",
					   "/x",
					   "/x\t0644\troot\tinline",
					   "\t0644\troot\tinline\tx",
					   "/x\t1000\troot\tinline\tx",
					   "/x\t\troot\tinline\tx",
					   "/x\t08\troot\tinline\tx",
					   "/x\t0644\troot\t00000000000000000\tx" };
	struct spec_file file = { .path = xstrdup("/etc/x"),
				  .mode = 0640,
				  .user = xstrdup("app:app"),
				  .is_inline = true,
				  .text = xstrdup("a\tb\n") };
	_cleanup_free_ char *line = spec_file_format(&file), *again = NULL;
	struct error err;

	(void)state;
	spec_file_reset(&file);
	assert_string_equal(line, "/etc/x\t0640\tapp:app\tinline\ta\tb\n");
	assert_int_equal(spec_file_parse(line, &file, &err), 0);
	assert_true(file.is_inline);
	assert_string_equal(file.text, "a\tb\n");
	again = spec_file_format(&file);
	assert_string_equal(again, line);
	spec_file_reset(&file);
	assert_int_equal(spec_file_parse("key\t0400\t\tcbf29ce484222325\t/source", &file, &err), 0);
	assert_false(file.is_inline);
	assert_string_equal(file.hash, "cbf29ce484222325");
	assert_string_equal(file.text, "/source");
	spec_file_hash("", 0, file.hash);
	assert_string_equal(file.hash, "cbf29ce484222325"); /* the basis of FNV-1a */
	spec_file_hash("a", 1, file.hash);
	assert_string_equal(file.hash, "af63dc4c8601ec8c");
	spec_file_reset(&file);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(spec_file_parse(bad[i], &file, &err), -1);
	assert_non_null(strstr(err.text, "does not describe a file"));
}

static void a_volume_is_a_line(void **state)
{
	static const char *const bad[] = { "",
					   "data",
					   "\t1\trw\t/srv",
					   "data\t\trw\t/srv",
					   "data\t1\trx\t/srv",
					   "data\t1\trw\tsrv" };
	struct spec_volume volume = { .name = xstrdup("data"),
				      .target = xstrdup("/srv/a b"),
				      .size_bytes = 67108864,
				      .read_only = true };
	_cleanup_free_ char *line = spec_volume_format(&volume), *first = NULL, *second = NULL;
	struct spec spec = { .tenant = (char *)"acme", .replica = 1 };
	struct error err;

	(void)state;
	assert_string_equal(line, "data\t67108864\tro\t/srv/a b");
	spec_volume_reset(&volume);
	assert_int_equal(spec_volume_parse(line, &volume, &err), 0);
	assert_string_equal(volume.target, "/srv/a b");
	assert_int_equal(volume.size_bytes, 67108864);
	assert_true(volume.read_only);
	first = spec_volume_id(&spec, &volume);
	assert_string_equal(first, "acme/data");
	strv_add(&spec.volumes, line);
	assert_true(spec_has_volume(&spec, "acme/data"));
	assert_false(spec_has_volume(&spec, "acme/data.2"));
	spec.replica = 2;
	second = spec_volume_id(&spec, &volume);
	assert_string_equal(second, "acme/data.2");
	assert_false(spec_has_volume(&spec, "acme/data"));
	strv_reset(&spec.volumes);
	spec_volume_reset(&volume);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(spec_volume_parse(bad[i], &volume, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(places_in_a_prefix),
		cmocka_unit_test(the_record_holds_every_field),
		cmocka_unit_test(every_difference_is_seen),
		cmocka_unit_test(macs_are_local_unicast_and_stable),
		cmocka_unit_test(a_file_is_a_line),
		cmocka_unit_test(a_volume_is_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
