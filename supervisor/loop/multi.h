/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi handle on the loop, through its socket interface (CURLMOPT_SOCKETFUNCTION(3),
 * CURLMOPT_TIMERFUNCTION(3)). Private to loop/: http.c and connection.c have one each.
 */
#ifndef STOKER_LOOP_MULTI_H
#define STOKER_LOOP_MULTI_H

#include <curl/curl.h>

#include "base/error.h"
#include "loop/loop.h"

struct multi;

/* One handle at work. CURLOPT_PRIVATE is its address, and the caller owns both. */
struct multi_transfer {
	CURL *easy;
	/* Fires once, never from inside a call to this module. The handle is still in the multi
	 * handle, and may be taken out from inside, others put in; `multi` may not be freed. */
	void (*done)(struct multi_transfer *transfer, CURLcode code);
};

struct multi *multi_new(struct loop *loop, struct error *err);
struct multi *multi_free(struct multi *multi); /* every transfer must be out; NULL is fine */

CURLMcode multi_add(struct multi *multi, struct multi_transfer *transfer);
void multi_remove(struct multi *multi, struct multi_transfer *transfer); /* twice is fine */

#endif
