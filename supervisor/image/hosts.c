/* SPDX-License-Identifier: Apache-2.0 */
/* Called by fetch.c for its arguments, by registry.c and token.c for each request. */
#include "image/hosts.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "loop/http.h"
#include "loop/loop.h"

enum { CA_MAX = 1 << 20, HELPER_TIMEOUT_MS = 30000 };

static struct host *find(const struct hosts *hosts, const char *name)
{
	if (strcmp(name, "registry-1.docker.io") == 0)
		name = "docker.io";
	for (size_t i = 0; i < hosts->count; i++)
		if (strcmp(hosts->items[i].name, name) == 0)
			return (struct host *)&hosts->items[i];
	return NULL;
}

const struct host *hosts_find(const struct hosts *hosts, const char *name)
{
	return find(hosts, name);
}

bool hosts_is_insecure(const struct hosts *hosts, const char *name)
{
	const struct host *host = find(hosts, name);

	return host && host->is_insecure;
}

const struct strbuf *hosts_ca(const struct hosts *hosts, const char *url)
{
	_cleanup_free_ char *authority = http_url_authority(url);
	const struct host *host = find(hosts, authority);

	return host && host->ca.length > 0 ? &host->ca : NULL;
}

/* Splits HOST or HOST=VALUE; the host's entry is made when it is not there. */
static struct host *host_of(struct hosts *hosts, const char *argument, const char **ret_value,
			    struct error *err)
{
	const char *equals = strchr(argument, '=');
	_cleanup_free_ char *name = xstrndup(argument, equals ? (size_t)(equals - argument)
							      : strlen(argument));
	struct host *host = find(hosts, name);

	*ret_value = equals ? equals + 1 : NULL;
	if (!*name || (*ret_value && !**ret_value)) {
		error_set(err, "'%s' is not HOST=VALUE", argument);
		return NULL;
	}
	if (!host && hosts->count == HOSTS_MAX) {
		error_set(err, "more than %d hosts", HOSTS_MAX);
		return NULL;
	}
	if (!host) {
		host = &hosts->items[hosts->count++];
		host->name = take_ptr(name);
	}
	return host;
}

/* Reads it to its end: a file, or a pipe into which a helper writes. */
static int read_all(int fd, size_t max, struct strbuf *ret, struct error *err)
{
	uint64_t deadline = loop_now_ms() + HELPER_TIMEOUT_MS;
	char chunk[4096];
	ssize_t n;

	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		uint64_t now = loop_now_ms();

		if (now >= deadline || poll(&ready, 1, (int)(deadline - now)) == 0)
			return error_set(err, "nothing comes to its end within %d s",
					 HELPER_TIMEOUT_MS / 1000);
		n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno != EINTR)
			return error_errno(err, errno, "cannot read it");
		if (n == 0)
			return 0;
		if (n < 0)
			continue;
		if (ret->length + (size_t)n > max)
			return error_set(err, "larger than %zu KiB", max >> 10);
		strbuf_add(ret, chunk, (size_t)n);
	}
}

static int read_value(const char *value, size_t max, struct strbuf *ret, struct error *err)
{
	_cleanup_close_ int fd = value ? atoi(value) : -1;

	if (fd < 3) {
		fd = -1;
		return error_set(err, "'%s' is not a descriptor", value ? value : "");
	}
	return read_all(fd, max, ret, err);
}

int hosts_add_insecure(struct hosts *hosts, const char *argument, struct error *err)
{
	const char *value;
	struct host *host = host_of(hosts, argument, &value, err);

	if (!host)
		return -1;
	host->is_insecure = true;
	return 0;
}

int hosts_add_ca(struct hosts *hosts, const char *argument, struct error *err)
{
	const char *value;
	struct host *host = host_of(hosts, argument, &value, err);

	if (!host)
		return -1;
	strbuf_reset(&host->ca);
	if (read_value(value, CA_MAX, &host->ca, err) < 0)
		return error_wrap(err, "registry '%s': its ca", host->name);
	if (host->ca.length == 0)
		return error_set(err, "registry '%s': its ca is empty", host->name);
	return 0;
}

int hosts_add_credential(struct hosts *hosts, const char *argument, struct error *err)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	const char *value;
	struct host *host = host_of(hosts, argument, &value, err);

	if (!host)
		return -1;
	credential_reset(&host->credential);
	if (read_value(value, CREDENTIAL_TEXT_MAX, &text, err) < 0 ||
	    credential_parse(strbuf_text(&text), text.length, &host->credential, err) < 0)
		return error_wrap(err, "registry '%s': its credential", host->name);
	return 0;
}

int hosts_add_token_server(struct hosts *hosts, const char *argument, struct error *err)
{
	const char *value;
	struct host *host = host_of(hosts, argument, &value, err);

	if (!host)
		return -1;
	if (!value)
		return error_set(err, "'%s' is not HOST=HOST", argument);
	free(host->token_server);
	host->token_server = xstrdup(value);
	return 0;
}

void hosts_reset(struct hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++) {
		struct host *host = &hosts->items[i];

		free(host->name);
		strbuf_reset(&host->ca);
		free(host->token_server);
		credential_reset(&host->credential);
	}
	*hosts = (struct hosts){ 0 };
}
