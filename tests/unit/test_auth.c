/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges and tokens of registries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/auth.h"

static void assert_text(const char *have, const char *want)
{
	if (want)
		assert_string_equal(have, want);
	else
		assert_null(have);
}

static void test_challenges(void **state)
{
	static const struct {
		const char *header, *realm, *service, *scope;
	} cases[] = {
		{ "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
		  "scope=\"repository:library/alpine:pull\"",
		  "https://auth.docker.io/token", "registry.docker.io",
		  "repository:library/alpine:pull" },
		/* a comma inside quotes */
		{ "Bearer realm=\"https://a/t\",scope=\"repository:x:pull,push\",service=s",
		  "https://a/t", "s", "repository:x:pull,push" },
		/* several challenges, either order; schemes and names in any case */
		{ "Basic realm=\"b\", bEaReR  Realm=\"https://a/t\"", "https://a/t", NULL, NULL },
		{ "Bearer realm=\"https://a/t\", Basic realm=\"b\", scope=\"x\"", "https://a/t",
		  NULL, NULL },
		{ "Negotiate, Bearer realm=\"https://a/t\"", "https://a/t", NULL, NULL },
		/* blanks around '=' and stray commas are allowed */
		{ "Bearer , realm = \"https://a/t\" ,, service = \"s\"", "https://a/t", "s", NULL },
		/* escapes; the first of two wins */
		{ "Bearer realm=\"https://a/\\t\",realm=\"https://b/\"", "https://a/t", NULL,
		  NULL },
		{ "Bearer error=\"x\", realm=https://a/t", "https://a/t", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_challenge challenge;
		struct error err;

		if (auth_challenge_parse(cases[i].header, &challenge, &err) < 0)
			fail_msg("%s: %s", cases[i].header, err.text);
		assert_text(challenge.realm, cases[i].realm);
		assert_text(challenge.service, cases[i].service);
		assert_text(challenge.scope, cases[i].scope);
		auth_challenge_reset(&challenge);
	}
}

static void test_no_challenge(void **state)
{
	static const char *const cases[] = {
		"",
		"Basic realm=\"b\"",
		"Bearer",
		"Bearer service=\"s\"",
		"Bearer realm=\"unterminated",
		"Bearer realm=\"a\\",
		"\"Bearer\" realm=\"a\"",
		"Bearer (realm=\"a\")",
		"Bearerx realm=\"a\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_challenge challenge;
		struct error err;

		if (auth_challenge_parse(cases[i], &challenge, &err) == 0)
			fail_msg("accepted: %s", cases[i]);
		assert_non_null(strstr(err.text, "not by a token"));
	}
}

static void test_token_url(void **state)
{
	static const struct {
		const char *realm, *service, *scope;
		bool insecure;
		const char *result;
	} cases[] = {
		{ "https://a/t", "reg istry", "repository:x:pull", false,
		  "https://a/t?service=reg%20istry&scope=repository%3Ax%3Apull" },
		{ "https://a/t?x=1", NULL, NULL, false,
		  "https://a/t?x=1&scope=repository%3Alibrary%2Fy%3Apull" },
		{ "http://a/t", NULL, "s&x", true, "http://a/t?scope=s%26x" },
		{ "http://a/t", NULL, NULL, false,
		  "it names a token server without TLS, 'http://a/t'" },
		{ "file:///etc/passwd", NULL, NULL, true,
		  "the token server: 'file:///etc/passwd' is neither http nor https" },
		{ "https://u:p@a/t", NULL, NULL, false,
		  "the token server: 'https://u:p@a/t' is not a URL to follow" },
		{ "token", NULL, NULL, false, "the token server: 'token' is not a URL to follow" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_challenge challenge = { .realm = (char *)cases[i].realm,
						    .service = (char *)cases[i].service,
						    .scope = (char *)cases[i].scope };
		struct error err = { 0 };
		char *url = auth_token_url(&challenge, "library/y", cases[i].insecure, &err);

		assert_string_equal(url ? url : err.text, cases[i].result);
		free(url);
	}
}

static void test_tokens(void **state)
{
	static const struct {
		const char *answer, *token;
	} cases[] = {
		{ "{\"token\":\"abc\"}", "abc" },
		{ "{\"access_token\":\"def\",\"expires_in\":300}", "def" },
		{ "{\"token\":\"abc\",\"access_token\":\"def\"}", "abc" },
		{ "{}", NULL },
		{ "{\"token\":\"\"}", NULL },
		{ "{\"token\":7}", NULL },
		{ "[]", NULL },
		{ "no", NULL },
		{ "{\"token\":\"a\\r\\nX-Evil: 1\"}", NULL },
		{ "{\"token\":\"a b\"}", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *token = auth_token_parse(cases[i].answer, strlen(cases[i].answer), NULL);

		assert_text(token, cases[i].token);
		free(token);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_no_challenge),
		cmocka_unit_test(test_token_url),
		cmocka_unit_test(test_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
