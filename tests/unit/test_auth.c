/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges and tokens of registries, and the waits between two tries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/auth.h"
#include "image/patience.h"

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
		/* one without a realm is none; Basic is for want of something better */
		{ "Bearer service=\"s\", Bearer realm=\"https://a/t\"", "https://a/t", NULL, NULL },
		{ "Basic realm=\"b\"", NULL, NULL, NULL },
		{ "Digest nonce=\"a, Bearer realm=b\", basic realm=\"b\"", NULL, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_challenge challenge;
		struct error err;

		if (auth_challenge_parse(cases[i].header, &challenge, &err) < 0)
			fail_msg("%s: %s", cases[i].header, err.text);
		assert_int_equal(challenge.is_bearer, cases[i].realm != NULL);
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
		"Bearer",
		"Basic realm=\"b",
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
		assert_non_null(strstr(err.text, "not by a token or a password"));
	}
}

static void test_realms(void **state)
{
	static const struct {
		const char *realm;
		bool insecure;
		const char *result;
	} cases[] = {
		{ "https://a/t?x=1", false, "https://a/t?x=1" },
		{ "http://a/t", true, "http://a/t" },
		{ "http://a/t", false, "it names a token server without TLS, 'http://a/t'" },
		{ "file:///etc/passwd", true,
		  "the token server: 'file:///etc/passwd' is neither http nor https" },
		{ "https://u:p@a/t", false,
		  "the token server: 'https://u:p@a/t' is not a URL to follow" },
		{ "token", false, "the token server: 'token' is not a URL to follow" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_challenge challenge = { .realm = (char *)cases[i].realm };
		struct error err = { 0 };
		char *url = auth_realm_url(&challenge, cases[i].insecure, &err);

		assert_string_equal(url ? url : err.text, cases[i].result);
		free(url);
	}
}

static void test_queries(void **state)
{
	static const struct {
		const char *service, *scope, *result;
	} cases[] = {
		{ "reg istry", "repository:x:pull",
		  "service=reg%20istry&scope=repository%3Ax%3Apull" },
		{ NULL, NULL, "scope=repository%3Alibrary%2Fy%3Apull" },
		{ NULL, "s&x", "scope=s%26x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct auth_challenge challenge = { .service = (char *)cases[i].service,
						    .scope = (char *)cases[i].scope };
		char *query = auth_token_query(&challenge, "library/y");

		assert_string_equal(query, cases[i].result);
		free(query);
	}
}

/* Who may see a credential. */
static void test_neighbours(void **state)
{
	static const struct {
		const char *registry, *realm;
		bool is_near;
	} cases[] = {
		{ "registry-1.docker.io", "auth.docker.io", true },
		{ "registry.gitlab.com", "gitlab.com", true },
		{ "quay.io", "quay.io", true },
		{ "localhost:5000", "localhost:5001", true },
		{ "a.example.co.uk", "auth.example.co.uk", true },
		{ "127.0.0.1:5000", "127.0.0.1:6000", true },
		{ "Registry.example.com", "registry.EXAMPLE.com", true },
		{ "registry.example.com", "evil.com", false },
		{ "registry.example.com", "registry.example.com.evil.net", false },
		{ "registry.example.com", "badexample.com", false },
		{ "a.co.uk", "b.co.uk", false },
		{ "a.com", "b.com", false },
		{ "localhost", "127.0.0.1", false },
		{ "10.0.0.1", "9.9.0.1", false },
		{ "[::1]:5000", "[::2]:5000", false },
		{ "[::1]:5000", "[::1]:5000", true },
		{ "registry.example.com", "", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (auth_realm_is_near(cases[i].registry, cases[i].realm) != cases[i].is_near)
			fail_msg("%s and %s", cases[i].registry, cases[i].realm);
}

static void test_tokens(void **state)
{
	static const struct {
		const char *answer, *token;
		uint64_t lifetime_ms;
	} cases[] = {
		{ "{\"token\":\"abc\"}", "abc", 60000 },
		{ "{\"access_token\":\"def\",\"expires_in\":300}", "def", 300000 },
		{ "{\"token\":\"abc\",\"access_token\":\"def\",\"expires_in\":0}", "abc", 0 },
		{ "{\"token\":\"\",\"access_token\":\"def\",\"expires_in\":99999999999999}", "def",
		  86400000 },
		{ "{\"token\":\"abc\",\"expires_in\":-5}", "abc", 60000 },
		{ "{}", NULL, 7 },
		{ "{\"token\":\"\"}", NULL, 7 },
		{ "{\"token\":7}", NULL, 7 },
		{ "[]", NULL, 7 },
		{ "no", NULL, 7 },
		{ "{\"token\":\"a\\r\\nX-Evil: 1\"}", NULL, 7 },
		{ "{\"token\":\"a b\"}", NULL, 7 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t lifetime_ms = 7;
		char *token = auth_token_parse(cases[i].answer, strlen(cases[i].answer),
					       &lifetime_ms, NULL);

		assert_text(token, cases[i].token);
		assert_int_equal(lifetime_ms, cases[i].lifetime_ms);
		free(token);
	}
}

/* 2026-11-25 20:00:00 UTC */
static const time_t now = 1795636800;

static void test_retry_after(void **state)
{
	static const struct {
		const char *header;
		uint64_t wait_ms;
	} cases[] = {
		{ NULL, 0 },
		{ "", 0 },
		{ "soon", 0 },
		{ "7", 7000 },
		{ "-7", 0 },
		{ "1000000", 60000 },
		{ "99999999999999999999999", 60000 },
		{ "Wed, 25 Nov 2026 20:00:09 GMT", 9000 },
		{ "Wed, 25 Nov 2026 19:00:00 GMT", 0 },
		{ "Fri, 25 Dec 2026 20:00:00 GMT", 60000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(patience_asked_ms(cases[i].header, now), cases[i].wait_ms);
}

static void test_backoff(void **state)
{
	static const struct {
		uint32_t failures;
		uint64_t most_ms;
	} cases[] = { { 1, 500 }, { 2, 1000 }, { 3, 2000 }, { 7, 30000 }, { 1000000, 30000 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t least = UINT64_MAX, most = 0;

		for (int try = 0; try < 100; try++) {
			uint64_t wait_ms = patience_backoff_ms(cases[i].failures);

			least = wait_ms < least ? wait_ms : least;
			most = wait_ms > most ? wait_ms : most;
		}
		assert_in_range(least, cases[i].most_ms / 2, cases[i].most_ms);
		assert_in_range(most, cases[i].most_ms / 2, cases[i].most_ms);
		assert_true(least < most); /* by chance alike: once in 10^239 */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenges),  cmocka_unit_test(test_no_challenge),
		cmocka_unit_test(test_realms),	    cmocka_unit_test(test_queries),
		cmocka_unit_test(test_neighbours),  cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_retry_after), cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
