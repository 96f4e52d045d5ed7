/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to a token server: the registry's challenge -> what goes into the Authorization
 * header (distribution's token and OAuth2 specifications). Called by registry.c, one at a time for
 * each of its gets.
 */
#ifndef STOKER_IMAGE_TOKEN_H
#define STOKER_IMAGE_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/auth.h"
#include "image/hosts.h"
#include "loop/http.h"

struct token_request;

/* Exactly one of token and err is set. `token` is borrowed, good for `lifetime_ms`. `retry`: asking
 * again may help, after `wait_ms` if the server said so. Fires once, never from inside a call. */
typedef void token_fn(void *data, const char *token, uint64_t lifetime_ms, const struct error *err,
		      bool retry, uint64_t wait_ms);

struct token_options {
	struct http *http; /* borrowed, like all here */
	const struct hosts *hosts;
	const char *registry;  /* its name; its credential is sent, if there is one */
	const char *authority; /* "host:port" that is spoken to */
	const char *repository;
	const struct auth_challenge *challenge; /* a Bearer one */
};

/* -1: the server is not one to be trusted, or with the credential. */
int token_ask(const struct token_options *options, token_fn *fn, void *data,
	      struct token_request **ret, struct error *err);
struct token_request *token_request_free(struct token_request *request); /* fn will not fire */

#endif
