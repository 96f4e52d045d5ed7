/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's configuration as the guest finds it behind the base: entries of protocol.h. */
#include <endian.h>

#include "cpio.h"
#include "guest-init/protocol.h"
#include "guest/initramfs.h"

struct expected {
	uint32_t tag;
	const char *text;
	size_t length; /* 0: that of the text */
};

static void expect_entries(const char *at, size_t left, const struct expected *expected)
{
	for (; expected->tag; expected++) {
		struct config_entry entry;
		size_t length = expected->length ? expected->length : strlen(expected->text);

		assert_true(left >= sizeof(entry));
		memcpy(&entry, at, sizeof(entry));
		assert_int_equal(le32toh(entry.tag), expected->tag);
		assert_int_equal(le32toh(entry.length), length);
		at += sizeof(entry);
		left -= sizeof(entry);
		assert_true(left >= length);
		assert_memory_equal(at, expected->text, length);
		at += length;
		left -= length;
	}
	assert_int_equal(left, 0);
}

/* The segment begins behind a prefix of every alignment. */
static void expect_config(const struct guest_config *config, const struct expected *expected)
{
	for (size_t before = 0; before < 4; before++) {
		struct strbuf bytes = { 0 };
		struct archive archive;
		struct error err = { 0 };

		strbuf_add(&bytes, "abc", before);
		if (initramfs_config(config, &bytes, &err) < 0)
			fail_msg("%s", err.text);
		assert_memory_equal(bytes.data, "abc", before);
		parse(&bytes, expect_padding(&bytes, before), &archive);
		assert_int_equal(archive.end, bytes.length);
		assert_int_equal(archive.count, 2);
		expect_member(&archive, 0, "stoker/config", S_IFREG | 0400);
		expect_entries(bytes.data + archive.members[0].at, archive.members[0].size,
			       expected);
		expect_member(&archive, 1, "stoker/image", S_IFREG | 0400);
		if (config->image_record_length)
			expect_content(&bytes, &archive.members[1], config->image_record,
				       config->image_record_length);
		assert_int_equal(archive.members[1].size, config->image_record_length);
		strbuf_reset(&bytes);
	}
}

static void add_address(struct spec *spec, const char *text)
{
	assert_int_equal(address_parse(text, &spec->addresses.items[spec->addresses.count++]), 0);
}

static void set(char **field, const char *text)
{
	free(*field);
	*field = strdup(text);
}

static struct spec *full_spec(void)
{
	struct spec *spec = spec_new();

	set(&spec->name, "red/web");
	spec->has_entrypoint = spec->has_command = spec->read_only = true;
	strv_add(&spec->entrypoint, "/bin/sh");
	strv_add(&spec->entrypoint, "");
	strv_add(&spec->command, "-c");
	strv_add(&spec->command, "exec a b");
	strv_add(&spec->environment, "A=1");
	strv_add(&spec->environment, "B=");
	set(&spec->user, "web:www");
	set(&spec->working_dir, "/srv");
	set(&spec->hostname, "web-1");
	set(&spec->stop_signal, "SIGQUIT");
	strv_add(&spec->tmpfs, "/run");
	strv_add(&spec->tmpfs, "/tmp");
	strv_add(&spec->volumes, "data\t67108864\trw\t/var/log/data");
	strv_add(&spec->volumes, "logs\t67108864\tro\t/var/log");
	strv_add(&spec->ulimits, "nofile=1:2");
	strv_add(&spec->sysctls, "net.core.somaxconn=5");
	add_address(spec, "10.20.0.10");
	add_address(spec, "fd00:20::a");
	strv_add(&spec->dns, "10.20.0.1");
	strv_add(&spec->dns, "fd00:20::1");
	strv_add(&spec->extra_hosts, "db=10.20.0.11");
	strv_add(&spec->extra_hosts, "six=fd00::6");
	/* The host's business: not a word of it reaches the guest. */
	set(&spec->image, "docker.io/library/secret");
	strv_add(&spec->labels, "key=value");
	return spec;
}

static void every_field_reaches_the_guest(void **state)
{
	static const struct expected expected[] = {
		{ CONFIG_HAS_ENTRYPOINT, "" },
		{ CONFIG_ENTRYPOINT, "/bin/sh" },
		{ CONFIG_ENTRYPOINT, "" },
		{ CONFIG_HAS_COMMAND, "" },
		{ CONFIG_COMMAND, "-c" },
		{ CONFIG_COMMAND, "exec a b" },
		{ CONFIG_ENVIRONMENT, "A=1" },
		{ CONFIG_ENVIRONMENT, "B=" },
		{ CONFIG_USER, "web:www" },
		{ CONFIG_WORKING_DIR, "/srv" },
		{ CONFIG_STOP_SIGNAL, "SIGQUIT" },
		{ CONFIG_HOSTNAME, "web-1" },
		{ CONFIG_TMPFS, "/run" },
		{ CONFIG_TMPFS, "/tmp" },
		{ CONFIG_ULIMIT, "nofile=1:2" },
		{ CONFIG_SYSCTL, "net.core.somaxconn=5" },
		{ CONFIG_VOLUME, "volume1\tlogs\tro\t/var/log" },
		{ CONFIG_VOLUME, "volume0\tdata\trw\t/var/log/data" },
		{ CONFIG_FILE, "\xa0\1\0\0\2\0\0\0/fa\0b", 8 + 5 },
		{ CONFIG_SECRET, "\0\1\0\0\3\0\3\0keyapp", 8 + 6 },
		{ CONFIG_VERIFY, "" },
		{ CONFIG_READ_ONLY, "" },
		{ CONFIG_ADDRESS, "10.20.0.10" },
		{ CONFIG_ADDRESS, "fd00:20::a" },
		{ CONFIG_GATEWAY, "169.254.1.1" },
		{ CONFIG_GATEWAY, "fe80::1" },
		{ CONFIG_GATEWAY_MAC, "\x02\xfc\x01\x02\x03\x04" },
		{ CONFIG_DNS, "10.20.0.1" },
		{ CONFIG_DNS, "fd00:20::1" },
		{ CONFIG_HOSTS, "10.20.0.11 db" },
		{ CONFIG_HOSTS, "fd00::6 six" },
		{ CONFIG_PEERS, "10.20.0.12 cache\n10.20.0.13 queue\n" },
		{ 0 },
	};
	static const struct guest_file files[] = { { "/f", "", 0640, false, "a\0b", 3 },
						   { "key", "app", 0400, true, "", 0 } };
	struct spec *spec = full_spec();
	struct guest_config config = { .spec = spec,
				       .files = files,
				       .file_count = 2,
				       .gateway4 = "169.254.1.1",
				       .gateway6 = "fe80::1",
				       .gateway_mac = "\x02\xfc\x01\x02\x03\x04",
				       .hosts = "10.20.0.12 cache\n10.20.0.13 queue\n",
				       .is_verified = true,
				       .image_record = "im\0ge",
				       .image_record_length = 5 };

	(void)state;
	expect_config(&config, expected);
	spec_free(spec);
}

static void a_minimal_spec_says_next_to_nothing(void **state)
{
	static const struct expected nothing[] = { { 0 } };
	static const struct expected emptied[] = { { CONFIG_HAS_ENTRYPOINT, "" },
						   { CONFIG_HAS_COMMAND, "" },
						   { 0 } };
	struct spec *spec = spec_new();
	struct guest_config config = { .spec = spec };

	(void)state;
	expect_config(&config, nothing);
	/* No entrypoint is something else than the image's. */
	spec->has_entrypoint = spec->has_command = true;
	expect_config(&config, emptied);
	spec_free(spec);
}

static void refuse_config(const struct guest_config *config, const char *text)
{
	struct strbuf out = { 0 };
	struct error err = { 0 };

	strbuf_puts(&out, "base");
	assert_int_equal(initramfs_config(config, &out, &err), -1);
	assert_string_equal(err.text, text);
	assert_string_equal(out.data, "base"); /* nothing was begun */
	strbuf_reset(&out);
}

static void what_the_guest_would_refuse_is_refused(void **state)
{
	struct spec *spec = spec_new();
	struct guest_config config = { .spec = spec, .image_record = "" };
	char *word = calloc(1, CONFIG_ENTRY_MAX + 2);

	(void)state;
	set(&spec->name, "red/web");
	strv_add(&spec->extra_hosts, "nothing");
	refuse_config(&config, "extra_hosts 'nothing': no '=' between name and address");
	strv_reset(&spec->extra_hosts);
	config.image_record_length = CONFIG_FILE_MAX + 1;
	refuse_config(&config, "image record of 'red/web' has 8388609 bytes (at most 8388608)");
	config.image_record_length = 0;
	memset(word, 'w', CONFIG_ENTRY_MAX);
	for (int i = 0; i < 8; i++)
		strv_add(&spec->command, word);
	refuse_config(&config, "configuration of 'red/web' has 8388672 bytes (at most 8388608)");
	strv_reset(&spec->command);
	word[CONFIG_ENTRY_MAX] = 'w';
	strv_add(&spec->command, word);
	refuse_config(&config,
		      "configuration of 'red/web': entry 2 has 1048577 bytes (at most 1048576)");
	free(word);
	spec_free(spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_field_reaches_the_guest),
		cmocka_unit_test(a_minimal_spec_says_next_to_nothing),
		cmocka_unit_test(what_the_guest_would_refuse_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
