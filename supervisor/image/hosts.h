/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fetcher was told of hosts: registries, mirrors and wherever they send it. Filled from its
 * arguments before it is confined, then only read.
 */
#ifndef STOKER_IMAGE_HOSTS_H
#define STOKER_IMAGE_HOSTS_H

#include <stdbool.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "image/credential.h"

enum { HOSTS_MAX = 128 };

struct host {
	char *name;		      /* owned; "docker.io", "localhost:5000": as in references */
	bool is_insecure;	      /* may be spoken to without TLS */
	struct strbuf ca;	      /* PEM: who vouches for it; empty: the system's authorities */
	char *token_server;	      /* owned; gets its credential though far from it; or NULL */
	struct credential credential; /* user NULL: none */
};

struct hosts { /* zero-initialise it */
	struct host items[HOSTS_MAX];
	size_t count;
};

/* By name, or by the authority of a URL: Docker Hub has two. NULL: nothing was said of it. */
const struct host *hosts_find(const struct hosts *hosts, const char *name);
bool hosts_is_insecure(const struct hosts *hosts, const char *name);

/* The authorities to believe for a URL; NULL: the system's. */
const struct strbuf *hosts_ca(const struct hosts *hosts, const char *url);

/* From the arguments HOST, HOST=FD (read to its end and closed) and HOST=HOST. */
int hosts_add_insecure(struct hosts *hosts, const char *argument, struct error *err);
int hosts_add_ca(struct hosts *hosts, const char *argument, struct error *err);
int hosts_add_credential(struct hosts *hosts, const char *argument, struct error *err);
int hosts_add_token_server(struct hosts *hosts, const char *argument, struct error *err);
void hosts_reset(struct hosts *hosts);

#endif
