/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/health.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "guest-init/protocol.h"

static void add_entry(struct strbuf *out, const char *text)
{
	struct config_entry entry = { htole32(CONFIG_COMMAND), htole32((uint32_t)strlen(text)) };

	strbuf_add(out, &entry, sizeof(entry));
	strbuf_puts(out, text);
}

/* Nothing is longer than a day: config/ saw to that. */
static uint32_t to_wire(uint64_t ms)
{
	return htole32(ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX);
}

void health_put(const struct spec *spec, uint32_t serial, struct strbuf *out)
{
	const struct strv *check = &spec->healthcheck;
	struct frame_health how = { .serial = htole32(serial),
				    .interval_ms = to_wire(spec->health_interval_ms),
				    .timeout_ms = to_wire(spec->health_timeout_ms),
				    .start_period_ms = to_wire(spec->health_start_period_ms) };
	const char *kind = check->count > 1 ? check->items[0] : "";
	bool has_port = strcmp(kind, "tcp") == 0 || strcmp(kind, "http") == 0;
	char *rest = NULL;

	if (has_port)
		how.port = htole32((uint32_t)strtoul(check->items[1] + 1, &rest, 10));
	if (strcmp(kind, "exec") == 0)
		how.kind = htole32(HEALTH_EXEC);
	else if (has_port)
		how.kind = htole32(*rest ? HEALTH_HTTP : HEALTH_TCP);
	strbuf_add(out, &how, sizeof(how));
	if (has_port && *rest)
		add_entry(out, rest);
	for (size_t i = 1; !has_port && i < check->count; i++)
		add_entry(out, check->items[i]);
}

int health_read(const void *payload, size_t length, uint32_t serial, struct channel_health *ret,
		struct error *err)
{
	struct frame_health_result result;
	size_t i;

	_Static_assert(sizeof(ret->message) == sizeof(result.message), "one limit");
	if (length == sizeof(result))
		memcpy(&result, payload, sizeof(result));
	if (length != sizeof(result) || le32toh(result.successes) > 1)
		return error_set(err,
				 "guest sent a result of its health check that makes no sense");
	if (le32toh(result.serial) != serial)
		return 0;
	ret->has_succeeded = le32toh(result.successes);
	ret->failures = le32toh(result.failures);
	for (i = 0; i + 1 < sizeof(ret->message) && result.message[i]; i++)
		ret->message[i] = result.message[i];
	ret->message[i] = '\0';
	channel_make_printable(ret->message);
	return 1;
}
