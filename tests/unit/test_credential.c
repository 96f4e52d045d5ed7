/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's config.json, containers' auth.json and what helpers answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/credential.h"

/* user:pass */
#define AUTH "\"auth\":\"dXNlcjpwYXNz\""

static const char *or_none(const char *text)
{
	return text ? text : "none";
}

static void test_found(void **state)
{
	static const struct {
		const char *file, *registry, *user, *secret, *helper, *server;
		bool is_token, is_needed;
	} cases[] = {
		{ "{\"auths\":{\"r.io\":{" AUTH "}}}", "r.io", "user", "pass", NULL, NULL },
		/* letter for letter: neither a longer nor a shorter name, nor another port */
		{ "{\"auths\":{\"r.io:5000\":{" AUTH "},\"io\":{" AUTH "}}}", "r.io", NULL, NULL,
		  NULL, NULL },
		{ "{\"auths\":{\"https://r.io\":{" AUTH "}}}", "r.io", NULL, NULL, NULL, NULL },
		/* the longest part of the repository's name, as podman keeps them */
		{ "{\"auths\":{\"r.io\":{\"auth\":\"eDp5\"},\"r.io/team\":{" AUTH "}}}", "r.io",
		  "user", "pass", NULL, NULL },
		{ "{\"auths\":{\"r.io\":{" AUTH "},\"r.io/te\":{\"auth\":\"eDp5\"}}}", "r.io",
		  "user", "pass", NULL, NULL },
		/* Docker Hub has a key of its own */
		{ "{\"auths\":{\"https://index.docker.io/v1/\":{" AUTH "}}}", "docker.io", "user",
		  "pass", NULL, NULL },
		{ "{\"auths\":{\"https://index.docker.io/v1/\":{" AUTH "}}}", "r.io", NULL, NULL,
		  NULL, NULL },
		{ "{\"auths\":{\"docker.io\":{" AUTH "}}}", "docker.io", "user", "pass", NULL,
		  NULL },
		/* a colon in the password; no padding */
		{ "{\"auths\":{\"r.io\":{\"auth\":\"YTpiOmM=\"}}}", "r.io", "a", "b:c", NULL,
		  NULL },
		{ "{\"auths\":{\"r.io\":{\"auth\":\"YTpiOmM\"}}}", "r.io", "a", "b:c", NULL, NULL },
		{ "{\"auths\":{\"r.io\":{\"username\":\"a\",\"password\":\"b\"}}}", "r.io", "a",
		  "b", NULL, NULL },
		{ "{\"auths\":{\"r.io\":{\"auth\":\"eDo=\",\"identitytoken\":\"t\"}}}", "r.io",
		  "<token>", "t", NULL, NULL, .is_token = true },
		{ "{\"auths\":{\"r.io\":{}}}", "r.io", NULL, NULL, NULL, NULL },
		{ "{}", "r.io", NULL, NULL, NULL, NULL },
		/* helpers: the host's own first */
		{ "{\"credHelpers\":{\"r.io\":\"ecr\"},\"credsStore\":\"pass\"}", "r.io", NULL,
		  NULL, "ecr", "r.io", .is_needed = true },
		{ "{\"credHelpers\":{\"q.io\":\"ecr\"},\"credsStore\":\"pass\"}", "r.io", NULL,
		  NULL, "pass", "r.io" },
		{ "{\"credsStore\":\"pass\",\"auths\":{\"r.io\":{}}}", "r.io", NULL, NULL, "pass",
		  "r.io", .is_needed = true },
		{ "{\"credsStore\":\"pass\",\"auths\":{\"r.io\":{" AUTH "}}}", "r.io", "user",
		  "pass", "pass", "r.io" },
		{ "{\"credsStore\":\"pass\"}", "docker.io", NULL, NULL, "pass",
		  "https://index.docker.io/v1/" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct credential_entry entry;
		struct error err;

		if (credential_find(cases[i].file, strlen(cases[i].file), cases[i].registry,
				    "team/app", &entry, &err) < 0)
			fail_msg("%s: %s", cases[i].file, err.text);
		assert_string_equal(or_none(entry.credential.user), or_none(cases[i].user));
		assert_string_equal(or_none(entry.credential.secret), or_none(cases[i].secret));
		assert_int_equal(entry.credential.is_identity_token, cases[i].is_token);
		assert_string_equal(or_none(entry.helper), or_none(cases[i].helper));
		assert_string_equal(or_none(entry.server), or_none(cases[i].server));
		assert_int_equal(entry.is_needed, cases[i].is_needed);
		credential_entry_reset(&entry);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *file, *message;
	} cases[] = {
		{ "[]", "not a file as `docker login` or `podman login` writes it" },
		{ "{\"auths\":{\"r.io\":7}}",
		  "not a file as `docker login` or `podman login` writes it" },
		{ "{\"credHelpers\":{\"r.io\":7}}",
		  "not a file as `docker login` or `podman login` writes it" },
		{ "{\"auths\":{\"r.io\":{\"auth\":\"dXNlcg==\"}}}",
		  "auths: r.io: 'auth' is not user:password in base64" },
		{ "{\"auths\":{\"r.io\":{\"auth\":\"dXNl!jpwYXNz\"}}}",
		  "auths: r.io: 'auth' is not user:password in base64" },
		{ "{\"auths\":{\"r.io\":{\"auth\":\"YToAYg==\"}}}",
		  "auths: r.io: 'auth' is not user:password in base64" },
		{ "{\"auths\":{\"r.io\":{\"auth\":\"YTo=\"}}}", "auths: r.io: an empty secret" },
		{ "{\"auths\":{\"r.io\":{\"auth\":\"YTpiCmM=\"}}}",
		  "auths: r.io: a control character in user or secret" },
		{ "{\"auths\":{\"r.io\":{\"username\":\"a:b\",\"password\":\"c\"}}}",
		  "auths: r.io: a colon in the user's name" },
		{ "{\"credsStore\":\"../x\"}", "'../x' is not the name of a helper" },
		{ "{\"credsStore\":\"\"}", "'' is not the name of a helper" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct credential_entry entry;
		struct error err = { 0 };

		if (credential_find(cases[i].file, strlen(cases[i].file), "r.io", "team/app",
				    &entry, &err) == 0)
			fail_msg("accepted: %s", cases[i].file);
		assert_string_equal(err.text, cases[i].message);
	}
}

static void test_answers(void **state)
{
	static const struct {
		const char *answer, *user, *message;
	} cases[] = {
		{ "{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"s\"}", "u", NULL },
		{ "credentials not found in native keychain\n", NULL, NULL },
		{ "", NULL, "the helper says nothing" },
		{ "sealed\nstack trace\n", NULL, "the helper says 'sealed'" },
		{ "{\"Username\":\"u\"}", NULL, "the helper's answer: 'Secret' is missing" },
		{ "{\"Username\":\"u\",\"Secret\":\"\"}", NULL,
		  "the helper's answer: an empty secret" },
		{ "{\"Username\":\"u\",\"Secret\":\"a\\r\\nb\"}", NULL,
		  "the helper's answer: a control character in user or secret" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct credential credential = { 0 };
		struct error err = { 0 };
		int result = credential_parse(cases[i].answer, strlen(cases[i].answer), &credential,
					      &err);

		assert_string_equal(or_none(credential.user), or_none(cases[i].user));
		assert_string_equal(err.text, cases[i].message ? cases[i].message : "");
		assert_int_equal(result, cases[i].message ? -1 : 0);
		credential_reset(&credential);
	}
}

/* RFC 7617's own example, RFC 4648's lengths, and what goes through the pipe. */
static void test_there_and_back(void **state)
{
	static const struct {
		const char *user, *secret, *header;
	} cases[] = {
		{ "Aladdin", "open sesame", "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
		{ "a", "b", "Authorization: Basic YTpi" },
		{ "a", "bc", "Authorization: Basic YTpiYw==" },
		{ "a", "bcd", "Authorization: Basic YTpiY2Q=" },
		{ "", "\"\\\xc3\xa4", "Authorization: Basic OiJcw6Q=" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct credential credential = { .user = (char *)cases[i].user,
						 .secret = (char *)cases[i].secret };
		char *header = credential_header(&credential);
		char *text = credential_format(&credential);
		struct credential again;

		assert_string_equal(header, cases[i].header);
		assert_int_equal(credential_parse(text, strlen(text), &again, NULL), 0);
		assert_string_equal(again.user, cases[i].user);
		assert_string_equal(again.secret, cases[i].secret);
		credential_reset(&again);
		free(header);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
