/* SPDX-License-Identifier: Apache-2.0 */
/* Image references: what each spelling means, one spelling per image, exact refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "model/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_spellings(void **state)
{
	static const struct {
		const char *text, *host, *canonical;
	} cases[] = {
		{ "alpine", "registry-1.docker.io", "docker.io/library/alpine:latest" },
		{ "alpine:3.20", "registry-1.docker.io", "docker.io/library/alpine:3.20" },
		{ "library/alpine", "registry-1.docker.io", "docker.io/library/alpine:latest" },
		{ "docker.io/alpine", "registry-1.docker.io", "docker.io/library/alpine:latest" },
		{ "index.docker.io/a/b:c", "registry-1.docker.io", "docker.io/a/b:c" },
		{ "registry-1.docker.io/alpine", "registry-1.docker.io",
		  "docker.io/library/alpine:latest" },
		{ "grafana/grafana", "registry-1.docker.io", "docker.io/grafana/grafana:latest" },
		{ "localhost/x", "localhost", "localhost/x:latest" },
		{ "localhost:5000/x", "localhost:5000", "localhost:5000/x:latest" },
		{ "127.0.0.1:5000/a/b-c__d.e:T_1.x", "127.0.0.1:5000",
		  "127.0.0.1:5000/a/b-c__d.e:T_1.x" },
		{ "[::1]:5000/x:1", "[::1]:5000", "[::1]:5000/x:1" },
		{ "quay.io/a/b/c@sha256:" HEX, "quay.io", "quay.io/a/b/c@sha256:" HEX },
		{ "quay.io/a:1@sha256:" HEX, "quay.io", "quay.io/a:1@sha256:" HEX },
		{ "a---b/c", "registry-1.docker.io", "docker.io/a---b/c:latest" },
		{ "oci:/srv/app", NULL, "oci:/srv/app" },
		{ "oci:/srv//./app/:v1", NULL, "oci:/srv/app:v1" },
		{ "oci:/srv/app:example.com/app:1+b", NULL, "oci:/srv/app:example.com/app:1+b" },
		{ "oci-archive:/srv/a.tar", NULL, "oci-archive:/srv/a.tar" },
		{ "docker-archive:/srv/a.tar", NULL, "docker-archive:/srv/a.tar" },
		{ "docker-archive:/srv/a.tar:app", NULL,
		  "docker-archive:/srv/a.tar:docker.io/library/app:latest" },
		{ "docker-archive:/srv/a.tar:localhost:5000/app:2", NULL,
		  "docker-archive:/srv/a.tar:localhost:5000/app:2" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reference reference, again;
		struct error err = { 0 };
		char *text;

		if (reference_parse(cases[i].text, &reference, &err) < 0)
			fail_msg("%s: %s", cases[i].text, err.text);
		text = reference_format(&reference);
		assert_string_equal(text, cases[i].canonical);
		if (cases[i].host)
			assert_string_equal(reference.host, cases[i].host);
		else
			assert_null(reference.host);
		reference_reset(&reference);
		/* The canonical spelling means itself. */
		assert_int_equal(reference_parse(text, &again, &err), 0);
		free(text);
		text = reference_format(&again);
		assert_string_equal(text, cases[i].canonical);
		free(text);
		reference_reset(&again);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "", "image reference '': it is empty" },
		{ "a b", "image reference 'a b': a blank or control character in it" },
		{ "Alpine", "image reference 'Alpine': 'Alpine' is not an image's name (lower-case "
			    "letters and digits, separated by . _ __ - or /)" },
		{ "a//b", "image reference 'a//b': 'a//b' is not an image's name (lower-case "
			  "letters and digits, separated by . _ __ - or /)" },
		{ "a..b", "image reference 'a..b': 'a..b' is not an image's name (lower-case "
			  "letters and digits, separated by . _ __ - or /)" },
		{ "a___b", "image reference 'a___b': 'a___b' is not an image's name (lower-case "
			   "letters and digits, separated by . _ __ - or /)" },
		{ "a/", "image reference 'a/': 'a/' is not an image's name (lower-case letters and "
			"digits, separated by . _ __ - or /)" },
		{ "-a", "image reference '-a': '-a' is not an image's name (lower-case letters and "
			"digits, separated by . _ __ - or /)" },
		{ "a-", "image reference 'a-': 'a-' is not an image's name (lower-case letters and "
			"digits, separated by . _ __ - or /)" },
		{ "../x", "image reference '../x': '..' is not a registry's name (HOST or "
			  "HOST:PORT)" },
		{ "h:x/y", "image reference 'h:x/y': 'h:x' is not a registry's name (HOST or "
			   "HOST:PORT)" },
		{ "h:65536/y", "image reference 'h:65536/y': 'h:65536' is not a registry's name "
			       "(HOST or HOST:PORT)" },
		{ "u@h.io/y", "image reference 'u@h.io/y': 'h.io/y' is not a digest (sha256: and "
			      "64 digits of 0-9a-f)" },
		{ "[::1/y", "image reference '[::1/y': '[::1' is not a registry's name (HOST or "
			    "HOST:PORT)" },
		{ "a:", "image reference 'a:': '' is not a tag (up to 128 of A-Z a-z 0-9 . _ -, "
			"not first . or -)" },
		{ "a:.b", "image reference 'a:.b': '.b' is not a tag (up to 128 of A-Z a-z 0-9 . "
			  "_ -, not first . or -)" },
		{ "a@sha512:00", "image reference 'a@sha512:00': 'sha512:00' is a digest of "
				 "SHA-512 (name the image by its sha256 digest)" },
		{ "a@sha256:../..", "image reference 'a@sha256:../..': 'sha256:../..' is not a "
				    "digest (sha256: and 64 digits of 0-9a-f)" },
		{ "https://quay.io/a", "image reference 'https://quay.io/a': a URL is not a "
				       "reference (write HOST/NAME:TAG)" },
		{ "oci:srv", "image reference 'oci:srv': 'srv' is not an absolute path (start it "
			     "with /)" },
		{ "oci:/", "image reference 'oci:/': the path names no file" },
		{ "oci:/a/../b", "image reference 'oci:/a/../b': a path with '..' (write where it "
				 "leads)" },
		{ "oci:/a:%", "image reference 'oci:/a:%': '%' is not a tag in a layout (letters, "
			      "digits, -._:@/+)" },
		{ "docker-archive:/a:b@sha256:" HEX,
		  "image reference 'docker-archive:/a:b@sha256:" HEX "': 'b@sha256:" HEX
		  "': an archive's image has no digest (use NAME:TAG)" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reference reference;
		struct error err = { 0 };

		if (reference_parse(cases[i].text, &reference, &err) == 0)
			fail_msg("%s: accepted", cases[i].text);
		assert_string_equal(err.text, cases[i].message);
	}
}

static void test_lengths(void **state)
{
	char name[300], tagged[300];
	struct reference reference;
	struct error err;

	(void)state;
	memset(name, 'a', sizeof(name));
	/* 255 with "docker.io/library/" in front, which every spelling gets. */
	name[237] = '\0';
	assert_int_equal(reference_parse(name, &reference, &err), 0);
	reference_reset(&reference);
	name[237] = 'a';
	name[238] = '\0';
	assert_int_equal(reference_parse(name, &reference, &err), -1);
	assert_non_null(strstr(err.text, "the image's name is longer than 255 bytes"));

	memset(tagged, 't', sizeof(tagged));
	memcpy(tagged, "a:", 2);
	tagged[2 + 128] = '\0';
	assert_int_equal(reference_parse(tagged, &reference, &err), 0);
	reference_reset(&reference);
	tagged[2 + 128] = 't';
	tagged[2 + 129] = '\0';
	assert_int_equal(reference_parse(tagged, &reference, &err), -1);
}

static void test_tag_and_digest(void **state)
{
	struct reference reference;

	(void)state;
	assert_int_equal(reference_parse("quay.io/a@sha256:" HEX, &reference, NULL), 0);
	assert_null(reference.tag);
	assert_string_equal(reference.digest, "sha256:" HEX);
	assert_string_equal(reference.registry, "quay.io");
	assert_string_equal(reference.repository, "a");
	reference_reset(&reference);
	assert_int_equal(reference_parse("oci:/x:t", &reference, NULL), 0);
	assert_int_equal(reference.kind, REFERENCE_OCI);
	assert_string_equal(reference.path, "/x");
	assert_string_equal(reference.tag, "t");
	reference_reset(&reference);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_tag_and_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
