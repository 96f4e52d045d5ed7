/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by main.c before the workload starts, and again when the host sends the names of peers.
 * Files are replaced, not edited: a reader sees the old or the new one.
 */
#include "guest-init/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest-init/root.h"

#define BLOCK_BEGIN "# stoker: begin (kept by stoker-init, do not edit)\n"
#define BLOCK_END   "# stoker: end\n"

/* open_memstream grows by itself; when memory is gone PID 1 has nothing left to do. */
static FILE *open_text(char **text, size_t *length)
{
	FILE *out = open_memstream(text, length);

	if (!out)
		abort();
	return out;
}

static void put_lines(FILE *out, const char *lines)
{
	size_t length = lines ? strlen(lines) : 0;

	if (!length)
		return;
	fputs(lines, out);
	if (lines[length - 1] != '\n')
		fputc('\n', out);
}

static void put_block(FILE *out, const struct config *config)
{
	const char *name = config->hostname ? config->hostname : "localhost";

	fputs(BLOCK_BEGIN "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n", out);
	for (size_t i = 0; i < config->addresses.count; i++)
		fprintf(out, "%s %s\n", config->addresses.items[i], name);
	if (!config->addresses.count)
		fprintf(out, "127.0.1.1 %s\n", name);
	for (size_t i = 0; i < config->hosts.count; i++)
		put_lines(out, config->hosts.items[i]);
	put_lines(out, config->peers);
	fputs(BLOCK_END, out);
}

char *names_hosts_text(const char *old, const struct config *config)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_text(&text, &length);
	const char *begin = strstr(old, BLOCK_BEGIN);
	const char *end = begin ? strstr(begin, BLOCK_END) : NULL;

	put_block(out, config);
	if (end) {
		fwrite(old, 1, (size_t)(begin - old), out);
		put_lines(out, end + strlen(BLOCK_END));
	} else {
		put_lines(out, old);
	}
	fclose(out);
	return text;
}

int names_write_hosts(int root, const struct config *config, struct failure *why)
{
	char *old = root_read(root, "/etc/hosts");
	char *text = names_hosts_text(old, config);
	int result = root_replace(root, "/etc", "hosts", text, why);

	free(text);
	free(old);
	return result;
}

static int write_resolv_conf(int root, const struct list *dns, struct failure *why)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_text(&text, &length);
	int result;

	for (size_t i = 0; i < dns->count; i++)
		fprintf(out, "nameserver %s\n", dns->items[i]);
	fclose(out);
	result = root_replace(root, "/etc", "resolv.conf", text, why);
	free(text);
	return result;
}

int names_write(int root, const struct config *config, struct failure *why)
{
	char line[72];

	if (config->hostname) {
		if (sethostname(config->hostname, strlen(config->hostname)) < 0)
			return failure_set(why, "set host name '%.64s': %s", config->hostname,
					   strerror(errno));
		snprintf(line, sizeof(line), "%s\n", config->hostname);
		if (root_replace(root, "/etc", "hostname", line, why) < 0)
			return -1;
	}
	if (config->dns.count && write_resolv_conf(root, &config->dns, why) < 0)
		return -1;
	return names_write_hosts(root, config, why);
}
