/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passwd(5) and group(5) as an image wrote them: lines that do not parse are skipped, nothing is
 * believed to have a bound. Called by service.c; libc's getpwnam would want NSS and the real /etc.
 */
#include "guest-init/user.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 7 };

struct field {
	const char *text;
	size_t length;
};

/* Splits the next line of *text at colons; returns the number of fields, -1 at the end. */
static int next_line(const char **text, struct field fields[FIELDS_MAX])
{
	const char *at = *text, *end;
	int count = 0;

	if (!*at)
		return -1;
	end = at + strcspn(at, "\n");
	*text = *end ? end + 1 : end;
	while (count < FIELDS_MAX) {
		const char *colon = memchr(at, ':', (size_t)(end - at));

		/* The last field takes the rest of the line. */
		if (!colon || count == FIELDS_MAX - 1) {
			fields[count++] = (struct field){ at, (size_t)(end - at) };
			break;
		}
		fields[count++] = (struct field){ at, (size_t)(colon - at) };
		at = colon + 1;
	}
	return count;
}

static bool field_is(const struct field *field, const char *text, size_t length)
{
	return field->length == length && !memcmp(field->text, text, length);
}

/* Decimal, below 2^32 - 1: that one means "no id" to the kernel. */
static bool parse_id(const char *text, size_t length, unsigned *ret)
{
	unsigned long long value = 0;

	if (!length || length > 10)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	if (value >= UINT_MAX)
		return false;
	*ret = (unsigned)value;
	return true;
}

struct wanted {
	const char *text;
	size_t length;
	bool is_number;
	unsigned number;
};

static struct wanted want(const char *text, size_t length)
{
	struct wanted wanted = { .text = text, .length = length };

	wanted.is_number = parse_id(text, length, &wanted.number);
	return wanted;
}

/* A name that is all digits wins over the number, as in getpwnam-then-getpwuid. */
static bool matches(const struct wanted *wanted, const struct field *name, const struct field *id)
{
	unsigned number;

	if (!parse_id(id->text, id->length, &number))
		return false;
	return field_is(name, wanted->text, wanted->length) ||
	       (wanted->is_number && wanted->number == number);
}

/* name:password:uid:gid:gecos:home:shell. *ret_name is the name found, empty when none was. */
static int find_user(const struct wanted *wanted, const char *passwd, struct user *ret,
		     struct field *ret_name, struct failure *why)
{
	struct field fields[FIELDS_MAX];
	int count;

	*ret_name = (struct field){ "", 0 };
	while ((count = next_line(&passwd, fields)) >= 0) {
		unsigned uid, gid;

		if (count < 6 || !matches(wanted, &fields[0], &fields[2]) ||
		    !parse_id(fields[2].text, fields[2].length, &uid) ||
		    !parse_id(fields[3].text, fields[3].length, &gid))
			continue;
		ret->uid = uid;
		ret->gid = gid;
		if (fields[5].length && fields[5].length < sizeof(ret->home))
			snprintf(ret->home, sizeof(ret->home), "%.*s", (int)fields[5].length,
				 fields[5].text);
		*ret_name = fields[0];
		return 0;
	}
	if (!wanted->is_number)
		return failure_set(why, "user '%.*s' is not in the image's /etc/passwd",
				   (int)(wanted->length > 64 ? 64 : wanted->length), wanted->text);
	ret->uid = wanted->number;
	return 0;
}

/* name:password:gid:member,member */
static int find_group(const struct wanted *wanted, const char *group, gid_t *ret,
		      struct failure *why)
{
	struct field fields[FIELDS_MAX];
	int count;

	while ((count = next_line(&group, fields)) >= 0) {
		if (count >= 3 && matches(wanted, &fields[0], &fields[2])) {
			unsigned gid;

			if (parse_id(fields[2].text, fields[2].length, &gid)) {
				*ret = gid;
				return 0;
			}
		}
	}
	if (!wanted->is_number)
		return failure_set(why, "group '%.*s' is not in the image's /etc/group",
				   (int)(wanted->length > 64 ? 64 : wanted->length), wanted->text);
	*ret = wanted->number;
	return 0;
}

static bool lists_member(const struct field *members, const struct field *name)
{
	const char *at = members->text, *end = at + members->length;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma ? comma : end;

		if (field_is(name, at, (size_t)(stop - at)))
			return true;
		at = comma ? comma + 1 : end;
	}
	return false;
}

static void find_memberships(const struct field *name, const char *group, struct user *ret)
{
	struct field fields[FIELDS_MAX];
	int count;

	while (name->length && ret->group_count < USER_GROUPS_MAX &&
	       (count = next_line(&group, fields)) >= 0) {
		unsigned gid;

		if (count >= 4 && parse_id(fields[2].text, fields[2].length, &gid) &&
		    gid != ret->gid && lists_member(&fields[3], name))
			ret->groups[ret->group_count++] = gid;
	}
}

int user_resolve(const char *who, const char *passwd, const char *group, struct user *ret,
		 struct failure *why)
{
	const char *name = who && *who ? who : "0";
	const char *colon = strchr(name, ':');
	struct user user = { .home = "/" };
	struct wanted wanted = want(name, colon ? (size_t)(colon - name) : strlen(name));
	struct field found;

	if (!wanted.length)
		wanted = want("0", 1);
	if (find_user(&wanted, passwd, &user, &found, why) < 0)
		return -1;
	if (colon && colon[1]) {
		wanted = want(colon + 1, strlen(colon + 1));
		if (find_group(&wanted, group, &user.gid, why) < 0)
			return -1;
	} else {
		find_memberships(&found, group, &user);
	}
	*ret = user;
	return 0;
}
