/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers, sizes, durations and names; called through fields.c for manifests and by settings.c.
 * Sizes and durations follow stoker-fleet(5), which states them as grammar.
 */
#include "config/scalar.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Reads digits at *at and moves it behind them; false when there are none or they overflow. */
static bool take_digits(const char **at, uint64_t *ret)
{
	const char *start = *at;
	uint64_t value = 0;

	for (; is_digit(**at); (*at)++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
			return false;
	*ret = value;
	return *at > start;
}

int scalar_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct error *err)
{
	const char *at = text;
	uint64_t value;

	if (!is_digit(*text))
		return error_set(err, "'%s' is not a whole number (%llu to %llu)", text,
				 (unsigned long long)min, (unsigned long long)max);
	if (!take_digits(&at, &value))
		value = UINT64_MAX;
	while (is_digit(*at))
		at++;
	if (*at)
		return error_set(err, "'%s' is not a whole number (%llu to %llu)", text,
				 (unsigned long long)min, (unsigned long long)max);
	if (value < min || value > max)
		return error_set(err, "%s is out of range (%llu to %llu)", text,
				 (unsigned long long)min, (unsigned long long)max);
	*ret = value;
	return 0;
}

struct size_unit {
	const char *name;
	unsigned shift;
};

static const struct size_unit size_units[] = {
	{ "B", 0 },  { "K", 10 },   { "KiB", 10 }, { "M", 20 },	  { "MiB", 20 },
	{ "G", 30 }, { "GiB", 30 }, { "T", 40 },   { "TiB", 40 },
};

/* The unit to propose for what was written: "mb" and "MB" most likely mean MiB. */
static const char *meant_unit(const char *text)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };

	for (size_t i = 0; i < 4; i++)
		if (tolower((unsigned char)*text) == tolower((unsigned char)units[i][0]) &&
		    (!text[1] || strcasecmp(text + 1, "b") == 0 || strcasecmp(text + 1, "ib") == 0))
			return units[i];
	return strcmp(text, "b") == 0 ? "B" : NULL;
}

int scalar_size(const char *text, uint64_t *ret, struct error *err)
{
	const char *unit = text;
	uint64_t value;

	if (!take_digits(&unit, &value))
		return error_set(
			err, "'%s' is not a size (write a whole number and a unit: 256MiB)", text);
	if (!*unit)
		return error_set(err, "'%s' has no unit (write %sMiB, or %sB for bytes)", text,
				 text, text);
	for (size_t i = 0; i < sizeof(size_units) / sizeof(*size_units); i++) {
		if (strcmp(unit, size_units[i].name) != 0)
			continue;
		if (value > UINT64_MAX >> 1 >> size_units[i].shift)
			return error_set(err, "'%s' is too large", text);
		*ret = value << size_units[i].shift;
		return 0;
	}
	if (meant_unit(unit))
		return error_set(err, "'%s' has an unknown unit (write %.*s%s)", text,
				 (int)(unit - text), text, meant_unit(unit));
	return error_set(
		err, "'%s' is not a size (write a whole number and B, KiB, MiB, GiB or TiB)", text);
}

void scalar_print_size(uint64_t bytes, struct strbuf *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	size_t unit = 0;

	while (bytes && bytes % 1024 == 0 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	strbuf_printf(out, "%llu%s", (unsigned long long)bytes, units[unit]);
}

static const char *const bit_units[] = { "bit", "kbit", "Mbit", "Gbit" };

enum { BIT_UNITS = sizeof(bit_units) / sizeof(*bit_units) };

/* The unit to propose for "mbit", "Mb" or "Mbps". */
static const char *meant_bits(const char *text)
{
	for (size_t i = 1; i < BIT_UNITS; i++)
		if (tolower((unsigned char)*text) == tolower((unsigned char)bit_units[i][0]) &&
		    (!text[1] || strcasecmp(text + 1, "b") == 0 ||
		     strcasecmp(text + 1, "bit") == 0 || strcasecmp(text + 1, "bps") == 0))
			return bit_units[i];
	return NULL;
}

int scalar_bits(const char *text, uint64_t *ret, struct error *err)
{
	const char *unit = text;
	uint64_t value, factor = 1;

	if (!take_digits(&unit, &value))
		return error_set(
			err, "'%s' is not a bit rate (write a whole number and a unit: 100Mbit)",
			text);
	if (!*unit)
		return error_set(err, "'%s' has no unit (write %sMbit, or %sbit for bits)", text,
				 text, text);
	for (size_t i = 0; i < BIT_UNITS; i++, factor *= 1000) {
		if (strcmp(unit, bit_units[i]) != 0)
			continue;
		if (__builtin_mul_overflow(value, factor, &value))
			return error_set(err, "'%s' is too large", text);
		*ret = value;
		return 0;
	}
	if (meant_bits(unit))
		return error_set(err, "'%s' has an unknown unit (write %.*s%s)", text,
				 (int)(unit - text), text, meant_bits(unit));
	return error_set(
		err, "'%s' is not a bit rate (write a whole number and bit, kbit, Mbit or Gbit)",
		text);
}

void scalar_print_bits(uint64_t bits, struct strbuf *out)
{
	size_t unit = 0;

	while (bits && bits % 1000 == 0 && unit + 1 < BIT_UNITS) {
		bits /= 1000;
		unit++;
	}
	strbuf_printf(out, "%llu%s", (unsigned long long)bits, bit_units[unit]);
}

int scalar_duration(const char *text, uint64_t *ret, struct error *err)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "h", 3600000 }, { "ms", 1 }, { "m", 60000 }, { "s", 1000 } };
	uint64_t total = 0, last_ms = UINT64_MAX;
	const char *at = text;

	do {
		uint64_t value;
		size_t i = 0, length;

		if (!take_digits(&at, &value))
			return error_set(err, "'%s' is not a duration (such as 500ms, 10s, 1m30s)",
					 text);
		if (!*at)
			return error_set(err, "'%s' has no unit (write %ss for seconds)", text,
					 text);
		length = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
		while (i < 4 &&
		       (strlen(units[i].name) != length || strncmp(units[i].name, at, length) != 0))
			i++;
		if (i == 4)
			return error_set(err, "'%s' is not a duration (units are h, m, s and ms)",
					 text);
		if (units[i].ms >= last_ms)
			return error_set(
				err, "'%s' is not a duration (larger units come first, each once)",
				text);
		if (__builtin_mul_overflow(value, units[i].ms, &value) ||
		    __builtin_add_overflow(total, value, &total) || total > UINT32_MAX)
			return error_set(err, "'%s' is too long (at most %lluh)", text,
					 (unsigned long long)UINT32_MAX / 3600000);
		last_ms = units[i].ms;
		at += length;
	} while (*at);
	*ret = total;
	return 0;
}

int scalar_bool(const char *text, bool *ret, struct error *err)
{
	if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
		return error_set(err, "'%s' is neither true nor false", text);
	*ret = text[0] == 't';
	return 0;
}

static bool is_label(const char *text, size_t length)
{
	if (length == 0 || length > 63 || text[0] == '-' || text[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && text[i] != '-')
			return false;
	return true;
}

int scalar_name(const char *text, struct error *err)
{
	size_t length = strlen(text);

	if (length > SPEC_NAME_MAX)
		return error_set(err, "the name '%s' is %zu bytes long (at most %d)", text, length,
				 SPEC_NAME_MAX);
	if (!is_label(text, length) ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") != length)
		return error_set(err, "'%s' is not a name (a-z, 0-9 and '-' inside)", text);
	return 0;
}

int scalar_hostname(const char *text, size_t max, struct error *err)
{
	size_t length = strlen(text);

	if (length > max)
		return error_set(err, "the host name '%s' is %zu bytes long (at most %zu)", text,
				 length, max);
	for (const char *at = text;; at++) {
		size_t part = strcspn(at, ".");

		if (!is_label(at, part))
			return error_set(err,
					 "'%s' is not a host name (letters, digits, '-' and '.')",
					 text);
		at += part;
		if (!*at)
			return 0;
	}
}

int scalar_path(const char *text, struct error *err)
{
	if (text[0] != '/')
		return error_set(err, "'%s' is not an absolute path (begin it with '/')", text);
	if (strlen(text) >= 4096)
		return error_set(err, "the path is longer than 4095 bytes");
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return error_set(err, "'%s' holds a control character", text);
	for (const char *at = text; *at;) {
		size_t part;

		at += strspn(at, "/");
		part = strcspn(at, "/");
		if ((part == 1 && at[0] == '.') || (part == 2 && at[0] == '.' && at[1] == '.'))
			return error_set(err, "'%s' holds '.' or '..' (write the path itself)",
					 text);
		at += part;
	}
	return 0;
}

bool scalar_path_is_within(const char *path, const char *directory)
{
	for (;;) {
		size_t part;

		path += strspn(path, "/");
		directory += strspn(directory, "/");
		part = strcspn(directory, "/");
		if (part == 0)
			return true;
		if (strcspn(path, "/") != part || memcmp(path, directory, part) != 0)
			return false;
		path += part;
		directory += part;
	}
}

int scalar_user(const char *text, struct error *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t user = strspn(text, allowed), group;

	if (user > 0 && user <= 64 && !text[user])
		return 0;
	if (user > 0 && user <= 64 && text[user] == ':') {
		group = strspn(text + user + 1, allowed);
		if (group > 0 && group <= 64 && !text[user + 1 + group])
			return 0;
	}
	return error_set(err, "'%s' is not a user (name, uid, name:group or uid:gid)", text);
}

int scalar_pull_policy(const char *text, uint32_t *ret, struct error *err)
{
	static const char *const known[] = {
		[PULL_MISSING] = "missing", [PULL_ALWAYS] = "always", [PULL_NEVER] = "never", NULL
	};
	const char *nearest = scalar_nearest(text, known);

	for (uint32_t i = 0; known[i]; i++) {
		if (strcmp(text, known[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	if (nearest)
		return error_set(err, "'%s' is not a policy (did you mean '%s'?)", text, nearest);
	return error_set(err, "'%s' is not a policy (missing, always or never)", text);
}

int scalar_vmm(const char *text, struct error *err)
{
	static const char *const known[] = { "auto", "firecracker", "qemu", NULL };
	const char *nearest = scalar_nearest(text, known);

	for (size_t i = 0; known[i]; i++)
		if (strcmp(text, known[i]) == 0)
			return 0;
	if (nearest)
		return error_set(err, "'%s' is not known (did you mean '%s'?)", text, nearest);
	return error_set(err, "'%s' is not known (auto, firecracker or qemu)", text);
}

int scalar_restart(const char *text, uint32_t *ret_policy, uint32_t *ret_limit, struct error *err)
{
	static const char on_failure[] = "on-failure:";
	uint64_t limit = 0;

	if (strncmp(text, on_failure, sizeof(on_failure) - 1) == 0) {
		if (scalar_u64(text + sizeof(on_failure) - 1, 1, 1000000, &limit, err) < 0)
			return -1;
		*ret_policy = RESTART_ON_FAILURE;
	} else if (strcmp(text, "on-failure") == 0) {
		*ret_policy = RESTART_ON_FAILURE;
	} else if (strcmp(text, "always") == 0) {
		*ret_policy = RESTART_ALWAYS;
	} else if (strcmp(text, "no") == 0) {
		*ret_policy = RESTART_NO;
	} else {
		return error_set(
			err, "'%s' is not a policy (always, on-failure, on-failure:N or no)", text);
	}
	*ret_limit = (uint32_t)limit;
	return 0;
}

int scalar_registry(const char *text, struct error *err)
{
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : strlen(text);
	_cleanup_free_ char *host = xstrndup(text, length);
	uint64_t port;

	for (const char *c = text; *c; c++)
		if (isupper((unsigned char)*c))
			return error_set(err, "'%s' has capital letters (registries have none)",
					 text);
	if (scalar_hostname(host, 253, NULL) < 0 ||
	    (colon && scalar_u64(colon + 1, 1, 65535, &port, NULL) < 0))
		return error_set(err, "'%s' is not a registry (docker.io, localhost:5000)", text);
	return 0;
}

int scalar_key(const char *text, size_t length, struct error *err)
{
	if (length == 0)
		return error_set(err, "nothing stands before the '='");
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f || text[i] == '=')
			return error_set(err,
					 "the name '%.*s' holds a blank, '=' or control character",
					 (int)length, text);
	return 0;
}

/* The bytes of the character at `at`, by the table of RFC 3629, section 4; 0: none. */
static size_t utf8_character(const uint8_t *at, size_t left)
{
	uint8_t first = at[0], low = 0x80, high = 0xbf;
	size_t length;

	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (first == 0xe0)
		low = 0xa0;
	if (first == 0xed)
		high = 0x9f;
	if (first == 0xf0)
		low = 0x90;
	if (first == 0xf4)
		high = 0x8f;
	if (left < length || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

size_t scalar_utf8(const char *text, size_t length)
{
	size_t at = 0, step;

	while (at < length && (step = utf8_character((const uint8_t *)text + at, length - at)) > 0)
		at += step;
	return at;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Damerau-Levenshtein distance in its restricted form: "imgae" is one step from "image". */
static size_t distance(const char *a, const char *b)
{
	enum { LENGTH_MAX = 32 };
	size_t rows[3][LENGTH_MAX + 1], a_length = strlen(a), b_length = strlen(b);

	if (a_length > LENGTH_MAX || b_length > LENGTH_MAX)
		return LENGTH_MAX;
	for (size_t j = 0; j <= b_length; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			row[j] = smallest(above[j] + 1, row[j - 1] + 1,
					  above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    above2[j - 2] + 1 < row[j])
				row[j] = above2[j - 2] + 1;
		}
	}
	return rows[a_length % 3][b_length];
}

const char *scalar_nearest(const char *text, const char *const *words)
{
	size_t best = strlen(text) <= 4 ? 2 : 3; /* at most one or two mistakes */
	const char *nearest = NULL;

	for (; *words; words++) {
		size_t steps = distance(text, *words);

		if (steps < best) {
			best = steps;
			nearest = *words;
		}
	}
	return nearest;
}
