/* SPDX-License-Identifier: Apache-2.0 */
/* Called by message.c. */
#include "forward/structured.h"

#include <stdint.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 32, ELEMENTS_MAX = 16 };

struct cursor {
	const char *at, *end;
};

struct name {
	const char *at;
	size_t length;
};

static bool take(struct cursor *in, char c)
{
	if (in->at == in->end || *in->at != c)
		return false;
	in->at++;
	return true;
}

/* SD-NAME: printable ASCII without "=", " ", "]" and quotation marks. */
static bool take_name(struct cursor *in, struct name *ret)
{
	*ret = (struct name){ in->at, 0 };
	while (in->at<in->end && * in->at> ' ' && *in->at < 0x7f && !strchr("=]\"", *in->at))
		in->at++;
	ret->length = (size_t)(in->at - ret->at);
	return ret->length > 0 && ret->length <= NAME_MAX_LENGTH;
}

/* `"` and "]" are escaped; a backslash before anything else is itself. */
static bool take_value(struct cursor *in)
{
	if (!take(in, '"'))
		return false;
	while (in->at < in->end && *in->at != '"') {
		if (*in->at == ']')
			return false;
		if (*in->at == '\\' && in->end - in->at > 1 && strchr("\"\\]", in->at[1]))
			in->at++;
		in->at++;
	}
	return take(in, '"');
}

static bool take_element(struct cursor *in, struct name *ret_id)
{
	struct name parameter;

	if (!take(in, '[') || !take_name(in, ret_id))
		return false;
	while (take(in, ' '))
		if (!take_name(in, &parameter) || !take(in, '=') || !take_value(in))
			return false;
	return take(in, ']');
}

static bool is_same(struct name a, struct name b)
{
	return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

bool structured_is_fit(const char *bytes, size_t length)
{
	struct cursor in = { bytes, bytes + length };
	struct name ids[ELEMENTS_MAX + 1] = { { STRUCTURED_ID, sizeof(STRUCTURED_ID) - 1 } };
	size_t count = 1;

	while (in.at < in.end) {
		if (count > ELEMENTS_MAX || !take_element(&in, &ids[count]) ||
		    !memchr(ids[count].at, '@', ids[count].length))
			return false;
		for (size_t i = 0; i < count; i++)
			if (is_same(ids[i], ids[count]))
				return false;
		count++;
	}
	return length > 0;
}

void structured_add(struct strbuf *out, const char *name, const char *value, size_t length)
{
	if (!length)
		return;
	strbuf_printf(out, " %s=\"", name);
	for (size_t i = 0; i < length; i++) {
		if (value[i] && strchr("\"\\]", value[i]))
			strbuf_putc(out, '\\');
		strbuf_putc(out, value[i]);
	}
	strbuf_putc(out, '"');
}
