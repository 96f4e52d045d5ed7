/* SPDX-License-Identifier: Apache-2.0 */
/* Index, manifest and configuration: what is taken, and the exact words for what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "image/oci.h"

#define HEX_A	      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B	      "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OCI	      "application/vnd.oci.image."
#define DOCKER	      "application/vnd.docker."
#define MANIFEST_TYPE OCI "manifest.v1+json"
#define INDEX_TYPE    OCI "index.v1+json"
#define D(type, hex, size) \
	"{\"mediaType\":\"" type "\",\"digest\":\"sha256:" hex "\",\"size\":" size "}"
#define CONFIG D(OCI "config.v1+json", HEX_A, "10")
#define LAYER  D(OCI "layer.v1.tar+gzip", HEX_B, "20")
#define MANIFEST(config, layers) \
	"{\"schemaVersion\":2,\"config\":" config ",\"layers\":[" layers "]}"
#define ENTRY(hex, platform) \
	"{\"mediaType\":\"" MANIFEST_TYPE "\",\"digest\":\"sha256:" hex "\",\"size\":7" platform "}"
#define PLATFORM(os, arch, more) \
	",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" more "}"
#define NAMED(name)    ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"

static int parse(const char *text, const char *declared, struct oci_document *ret,
		 struct error *err)
{
	return oci_document_parse(text, strlen(text), declared, ret, err);
}

static void test_manifest(void **state)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":" CONFIG
		",\"layers\":[" LAYER "," D(OCI "layer.v1.tar", HEX_A, "1") "," D(
			DOCKER "image.rootfs.foreign.diff.tar.gzip", HEX_A,
			"2") "," D(OCI "layer.v1.tar+zstd", HEX_A, "3") "],\"extra\":[1]}";
	struct oci_document document;
	struct error err;

	(void)state;
	if (parse(text, MANIFEST_TYPE "; charset=utf-8", &document, &err) < 0)
		fail_msg("%s", err.text);
	assert_false(document.is_index);
	assert_string_equal(document.config.digest, "sha256:" HEX_A);
	assert_int_equal(document.config.size, 10);
	assert_int_equal(document.layer_count, 4);
	assert_string_equal(document.layers[0].digest, "sha256:" HEX_B);
	assert_int_equal(document.layers[0].layer_type, LAYER_GZIP);
	assert_int_equal(document.layers[0].size, 20);
	assert_int_equal(document.layers[1].layer_type, LAYER_TAR);
	assert_int_equal(document.layers[2].layer_type, LAYER_GZIP);
	assert_int_equal(document.layers[3].layer_type, LAYER_ZSTD);
	oci_document_reset(&document);
}

/* Only foreign layers may be elsewhere, and only where a URL can be written down. */
static void test_elsewhere(void **state)
{
#define AT(type, urls) \
	"{\"mediaType\":\"" type "\",\"digest\":\"sha256:" HEX_B "\",\"size\":2,\"urls\":" urls "}"
#define OCI_FOREIGN    OCI "layer.nondistributable.v1.tar+gzip"
#define DOCKER_FOREIGN DOCKER "image.rootfs.foreign.diff.tar.gzip"
	static const struct {
		const char *text, *url;
	} cases[] = {
		{ MANIFEST(CONFIG, AT(OCI_FOREIGN, "[\"https://a/b\",\"https://c\"]")),
		  "https://a/b" },
		{ MANIFEST(CONFIG, AT(DOCKER_FOREIGN, "[\"https://a/b\"]")), "https://a/b" },
		{ MANIFEST(CONFIG, AT(OCI "layer.v1.tar+gzip", "[\"https://a/b\"]")), "" },
		{ MANIFEST(CONFIG, AT(OCI_FOREIGN, "[]")), "" },
		{ MANIFEST(CONFIG, AT(OCI_FOREIGN, "[7]")), "" },
		{ MANIFEST(CONFIG, AT(OCI_FOREIGN, "\"https://a/b\"")), "" },
		{ MANIFEST(CONFIG, AT(OCI_FOREIGN, "[\"https://a/ b\"]")), "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct oci_document document;
		struct error err;

		if (parse(cases[i].text, MANIFEST_TYPE, &document, &err) < 0)
			fail_msg("%s: %s", cases[i].text, err.text);
		assert_string_equal(oci_layer_url(&document, "sha256:" HEX_B), cases[i].url);
		assert_string_equal(oci_layer_url(&document, "sha256:" HEX_A), "");
		oci_document_reset(&document);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *declared, *message;
	} cases[] = {
		{ "[]", NULL, "manifest: not an object" },
		{ "{}", NULL, "manifest: 'schemaVersion' is not 2" },
		{ "{\"schemaVersion\":1,\"fsLayers\":[]}", NULL,
		  "manifest: Docker's schema 1, which cannot be verified (push the image again "
		  "with a newer tool)" },
		{ "{\"schemaVersion\":2}", NULL, "manifest: neither an index nor a manifest" },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", NULL,
		  "manifest: index and manifest at once, so it is neither" },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"config\":{}}", NULL,
		  "manifest: index and manifest at once, so it is neither" },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" INDEX_TYPE "\",\"config\":" CONFIG
		  ",\"layers\":[" LAYER "]}",
		  NULL, "manifest: media type '" INDEX_TYPE "' in what is built like a manifest" },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST_TYPE "\",\"config\":" CONFIG
		  ",\"layers\":[" LAYER "]}",
		  DOCKER "distribution.manifest.v2+json",
		  "manifest: media type '" MANIFEST_TYPE "', but declared as '" DOCKER
		  "distribution.manifest.v2+json'" },
		{ "{\"schemaVersion\":2,\"mediaType\":7,\"config\":" CONFIG ",\"layers\":[" LAYER
		  "]}",
		  NULL, "manifest: 'mediaType' is not a string" },
		{ MANIFEST(CONFIG, LAYER), INDEX_TYPE,
		  "manifest: declared as '" INDEX_TYPE "', but built like a manifest" },
		{ INDEX(ENTRY(HEX_A, "")), MANIFEST_TYPE,
		  "manifest: declared as '" MANIFEST_TYPE "', but built like an index" },
		{ MANIFEST(CONFIG, LAYER), "text/html",
		  "manifest: declared as 'text/html', but built like a manifest" },
		{ INDEX(""), NULL, "manifest: 'manifests' is not a list with entries" },
		{ "{\"schemaVersion\":2,\"manifests\":{}}", NULL,
		  "manifest: 'manifests' is not a list with entries" },
		{ INDEX("7"), NULL, "manifest: manifests[0]: not an object" },
		{ MANIFEST(CONFIG, ""), NULL, "manifest: 'layers' is not a list with entries" },
		{ MANIFEST("7", LAYER), NULL, "manifest: config: not an object" },
		{ MANIFEST("{}", LAYER), NULL, "manifest: config: 'mediaType' is missing" },
		{ MANIFEST(D("application/vnd.cncf.helm.config.v1+json", HEX_A, "3"), LAYER), NULL,
		  "manifest: config: media type 'application/vnd.cncf.helm.config.v1+json' is not "
		  "one of a container image" },
		{ MANIFEST(D(OCI "config.v1+json", HEX_A, "8388609"), LAYER), NULL,
		  "manifest: config: a size of 8388609 bytes (allowed: 1 byte to 8 MiB)" },
		{ MANIFEST(D(OCI "config.v1+json", HEX_A, "-1"), LAYER), NULL,
		  "manifest: config: 'size' is not a whole number of 0 or more" },
		{ MANIFEST(D(OCI "config.v1+json", HEX_A, "1.5"), LAYER), NULL,
		  "manifest: config: 'size' is not a whole number of 0 or more" },
		{ MANIFEST(CONFIG, D(OCI "layer.v1.tar", HEX_A, "0")), NULL,
		  "manifest: layers[0]: a size of 0 bytes (allowed: 1 byte to 32 GiB)" },
		{ MANIFEST(CONFIG, D(OCI "layer.v1.tar", HEX_A, "34359738369")), NULL,
		  "manifest: layers[0]: a size of 34359738369 bytes (allowed: 1 byte to 32 GiB)" },
		{ MANIFEST(CONFIG, D(OCI "layer.v1.tar", HEX_A, "34359738368") "," LAYER), NULL,
		  "manifest: layers of more than 32 GiB in all" },
		{ MANIFEST(CONFIG, LAYER "," D("application/x-iso9660-image", HEX_A, "1")), NULL,
		  "manifest: layers[1]: media type 'application/x-iso9660-image' is not one of a "
		  "file system layer" },
		{ MANIFEST(CONFIG, "{\"mediaType\":\"" OCI "layer.v1.tar\",\"size\":1,\"digest\":"
				   "\"sha512:" HEX_A HEX_B "\"}"),
		  NULL,
		  "manifest: layers[0]: 'sha512:aaaaaaaaaaaaa...' is a digest of SHA-512, not of "
		  "SHA-256 (push the image again with sha256 digests)" },
		{ MANIFEST(CONFIG, "{\"mediaType\":\"" OCI "layer.v1.tar\",\"size\":1,\"digest\":"
				   "\"sha256:../../../../etc/passwd\"}"),
		  NULL,
		  "manifest: layers[0]: 'sha256:../../../../etc/passwd' is not a digest of the "
		  "form "
		  "sha256:HEX" },
		{ MANIFEST(CONFIG,
			   "{\"mediaType\":\"a\\u001bb\",\"size\":1,\"digest\":\"sha256:" HEX_A
			   "\"}"),
		  NULL, "manifest: layers[0]: 'a?b' is not a media type" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct oci_document document;
		struct error err = { 0 };

		if (parse(cases[i].text, cases[i].declared, &document, &err) == 0)
			fail_msg("accepted: %s", cases[i].text);
		assert_string_equal(err.text, cases[i].message);
	}
}

static void test_syntax(void **state)
{
	static const char *const cases[] = {
		"",
		"{",
		"{\"schemaVersion\":2,\"schemaVersion\":2}",
		MANIFEST(CONFIG, LAYER) "x",
		"{\"schemaVersion\":2,\"mediaType\":\"a\\u0000b\"}",
		"\xff\xfe",
	};
	struct strbuf deep = { 0 };
	struct oci_document document;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i], NULL, &document, &err), -1);
		assert_non_null(strstr(err.text, "not valid JSON"));
	}
	for (int i = 0; i < 100000; i++)
		strbuf_putc(&deep, '[');
	assert_int_equal(parse(deep.data, NULL, &document, &err), -1);
	strbuf_reset(&deep);
}

static void test_limits(void **state)
{
	struct strbuf text = { 0 };
	struct oci_document document;
	struct error err;

	(void)state;
	for (int layers = REPORT_LAYERS_MAX; layers <= REPORT_LAYERS_MAX + 1; layers++) {
		strbuf_puts(&text, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER);
		for (int i = 1; i < layers; i++)
			strbuf_puts(&text, "," LAYER);
		strbuf_puts(&text, "]}");
		if (layers == REPORT_LAYERS_MAX) {
			assert_int_equal(parse(text.data, NULL, &document, &err), 0);
			oci_document_reset(&document);
		} else {
			assert_int_equal(parse(text.data, NULL, &document, &err), -1);
			assert_string_equal(err.text, "manifest: 129 layers, more than 128");
		}
		strbuf_reset(&text);
	}
	strbuf_puts(&text, "{\"schemaVersion\":2,\"manifests\":[1");
	for (int i = 0; i < OCI_INDEX_ENTRIES_MAX; i++)
		strbuf_puts(&text, ",1");
	strbuf_puts(&text, "]}");
	assert_int_equal(parse(text.data, NULL, &document, &err), -1);
	assert_string_equal(err.text, "manifest: 4097 entries in 'manifests', more than 4096");
	strbuf_reset(&text);
	strbuf_puts(&text, MANIFEST(CONFIG, LAYER));
	while (text.length <= OCI_MANIFEST_MAX)
		strbuf_puts(&text, "                                                ");
	assert_int_equal(parse(text.data, NULL, &document, &err), -1);
	assert_string_equal(err.text, "larger than 4 MiB");
	strbuf_reset(&text);
}

static void test_choose(void **state)
{
	static const struct {
		const char *entries, *platform, *ref_name, *result;
	} cases[] = {
		/* the first that matches, others and attestations passed over */
		{ ENTRY(HEX_A, PLATFORM("unknown", "unknown", "")) "," ENTRY(
			  HEX_A,
			  PLATFORM("linux", "arm64",
				   "")) "," ENTRY(HEX_B,
						  PLATFORM("linux", "amd64",
							   "")) "," ENTRY(HEX_A,
									  PLATFORM("linux", "amd64",
										   "")),
		  "linux/amd64", NULL, "sha256:" HEX_B },
		{ ENTRY(HEX_A, PLATFORM("windows", "amd64", "")) "," ENTRY(
			  HEX_B, PLATFORM("linux", "amd64", "")),
		  "linux/amd64", NULL, "sha256:" HEX_B },
		/* arm64 is v8 */
		{ ENTRY(HEX_B, PLATFORM("linux", "arm64", ",\"variant\":\"v8\"")), "linux/arm64",
		  NULL, "sha256:" HEX_B },
		{ ENTRY(HEX_B, PLATFORM("linux", "arm64", "")), "linux/arm64/v8", NULL,
		  "sha256:" HEX_B },
		/* a newer level than the baseline may not run here */
		{ ENTRY(HEX_A, PLATFORM("linux", "amd64", ",\"variant\":\"v3\"")), "linux/amd64",
		  NULL, "no image for linux/amd64 in the index" },
		{ ENTRY(HEX_A, PLATFORM("linux", "s390x", "")), "linux/amd64", NULL,
		  "no image for linux/amd64 in the index" },
		/* without a platform: its configuration tells */
		{ ENTRY(HEX_B, ""), "linux/amd64", NULL, "sha256:" HEX_B },
		{ ENTRY(HEX_A, "") "," ENTRY(HEX_B, ""), "linux/amd64", NULL,
		  "2 images in the index (append :TAG to name one)" },
		/* by name */
		{ ENTRY(HEX_A, NAMED("a")) "," ENTRY(HEX_B, NAMED("b")), "linux/amd64", "b",
		  "sha256:" HEX_B },
		{ ENTRY(HEX_A, NAMED("a")), "linux/amd64", "b", "no image named 'b' in the index" },
		/* something else than an image */
		{ D("application/vnd.in-toto+json", HEX_A, "3"), "linux/amd64", NULL,
		  "no image for linux/amd64 in the index" },
		/* a platform that fits in no field matches nothing */
		{ ENTRY(HEX_A, PLATFORM("linuxlinuxlinuxlinux", "amd64", "")), "linux/amd64", NULL,
		  "no image for linux/amd64 in the index" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct strbuf text = { 0 };
		struct oci_document document;
		struct oci_platform platform;
		struct oci_descriptor chosen;
		struct error err = { 0 };
		int result;

		strbuf_printf(&text, "{\"schemaVersion\":2,\"manifests\":[%s]}", cases[i].entries);
		if (parse(text.data, NULL, &document, &err) < 0)
			fail_msg("%s: %s", text.data, err.text);
		assert_int_equal(oci_platform_parse(cases[i].platform, &platform, NULL), 0);
		result = oci_index_choose(&document, &platform, cases[i].ref_name, &chosen, &err);
		assert_string_equal(result == 0 ? chosen.digest : err.text, cases[i].result);
		oci_document_reset(&document);
		strbuf_reset(&text);
	}
}

static void test_config(void **state)
{
#define ROOTFS(ids) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}"
#define AMD64	    "\"os\":\"linux\",\"architecture\":\"amd64\","
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "{" AMD64 ROOTFS("\"sha256:" HEX_A "\"") "}", NULL },
		{ "{" AMD64 "\"variant\":\"v2\"," ROOTFS("\"sha256:" HEX_A "\"") "}", NULL },
		{ "[]", "config: not an object" },
		{ "{" AMD64 ROOTFS("") "}", "config: 0 'rootfs.diff_ids' for 1 layers" },
		{ "{" AMD64 ROOTFS("1") "}", "config: 'rootfs.diff_ids[0]' is not sha256:HEX" },
		{ "{" AMD64 ROOTFS("\"sha256:AA\"") "}",
		  "config: 'rootfs.diff_ids[0]' is not sha256:HEX" },
		{ "{" AMD64 ROOTFS("\"sha512:" HEX_A HEX_B "\"") "}",
		  "config: 'rootfs.diff_ids[0]' is a digest of SHA-512, not of SHA-256 (push the "
		  "image again with sha256 digests)" },
		{ "{" AMD64 "\"rootfs\":{}}", "config: 'rootfs.type' is not 'layers'" },
		{ "{" AMD64 "\"rootfs\":7}", "config: 'rootfs.type' is not 'layers'" },
		{ "{\"os\":\"linux\",\"architecture\":\"arm64\"," ROOTFS("\"sha256:" HEX_A
									 "\"") "}",
		  "config: the image is for linux/arm64, not for linux/amd64" },
		{ "{" ROOTFS("\"sha256:" HEX_A "\"") "}",
		  "config: the image is for /, not for linux/amd64" },
		{ "{\"os\":\"linuxlinuxlinuxlinux\"}", "config: a platform that is none" },
	};
	struct oci_platform platform;

	(void)state;
	assert_int_equal(oci_platform_parse("linux/amd64", &platform, NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char diff_ids[1][OCI_DIGEST_SIZE];
		struct error err = { 0 };
		int result = oci_config_check(cases[i].text, strlen(cases[i].text), 1, &platform,
					      diff_ids, &err);

		assert_string_equal(err.text, cases[i].message ? cases[i].message : "");
		assert_int_equal(result, cases[i].message ? -1 : 0);
		if (result == 0)
			assert_string_equal(diff_ids[0], "sha256:" HEX_A);
	}
}

static void test_platforms_and_digests(void **state)
{
	struct oci_platform platform;

	(void)state;
	assert_int_equal(oci_platform_parse("linux/arm64/v8", &platform, NULL), 0);
	assert_string_equal(platform.variant, "v8");
	assert_int_equal(oci_platform_parse("linux", &platform, NULL), -1);
	assert_int_equal(oci_platform_parse("linux/", &platform, NULL), -1);
	assert_int_equal(oci_platform_parse("a/b/c/d", &platform, NULL), -1);
	assert_int_equal(oci_platform_parse("/amd64", &platform, NULL), -1);
	oci_platform_host(&platform);
	assert_string_equal(platform.os, "linux");
	assert_true(oci_digest_valid("sha256:" HEX_A));
	assert_false(oci_digest_valid("sha256:" HEX_A "a"));
	assert_false(oci_digest_valid("sha256:A" HEX_A));
	assert_false(oci_digest_valid("sha512:" HEX_A));
	assert_false(oci_digest_valid(""));
	assert_false(oci_digest_valid("sha256:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest), cmocka_unit_test(test_elsewhere),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_limits),	 cmocka_unit_test(test_choose),
		cmocka_unit_test(test_config),	 cmocka_unit_test(test_platforms_and_digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
