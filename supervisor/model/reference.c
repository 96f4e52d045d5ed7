/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references. config/ refuses bad ones with these messages; image/ connects by the result.
 * Grammar: github.com/distribution/reference (names, tags), OCI image-spec descriptor.md (digests),
 * containers-transports(5) (oci:, oci-archive:, docker-archive:).
 */
#include "model/reference.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/strbuf.h"

enum { NAME_MAX_BYTES = 255, TAG_MAX_BYTES = 128, DIGEST_HEX = 64, PATH_MAX_BYTES = 4095 };

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
	return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* [a-z0-9]+ joined by one '.', one or two '_', or any number of '-'. */
static bool component_valid(const char *text, size_t length)
{
	size_t i = 0;

	while (i < length) {
		size_t start = i, run;

		while (i < length && is_lower_alnum(text[i]))
			i++;
		if (i == start)
			return false;
		if (i == length)
			return true;
		for (run = 0; i < length && strchr("._-", text[i]) && text[i] == text[i - run]; i++)
			run++;
		if (run == 0 || (text[i - 1] == '.' && run > 1) || (text[i - 1] == '_' && run > 2))
			return false;
	}
	return false;
}

static bool repository_valid(const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "/");

		if (!component_valid(text, length))
			return false;
		if (!text[length])
			return true;
		text += length + 1;
	}
	return false;
}

static bool port_valid(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	long port = digits > 0 && digits <= 5 ? strtol(text, NULL, 10) : 0;

	return !text[digits] && port >= 1 && port <= 65535;
}

/* Labels of a DNS name or an IPv4 address; an IPv6 address in brackets; each with a port or not. */
static bool registry_valid(const char *text)
{
	size_t length;

	if (*text == '[') {
		length = strspn(text + 1, "0123456789abcdefABCDEF:");
		if (length < 2 || text[1 + length] != ']')
			return false;
		text += length + 2;
		return !*text || (*text == ':' && port_valid(text + 1));
	}
	for (;;) {
		length = 0;
		while (is_alnum(text[length]) || text[length] == '-')
			length++;
		if (length == 0 || text[0] == '-' || text[length - 1] == '-')
			return false;
		text += length;
		if (*text != '.')
			break;
		text++;
	}
	return !*text || (*text == ':' && port_valid(text + 1));
}

static bool tag_valid(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > TAG_MAX_BYTES || *text == '.' || *text == '-')
		return false;
	for (; *text; text++)
		if (!is_alnum(*text) && !strchr("._-", *text))
			return false;
	return true;
}

static bool digest_valid(const char *text)
{
	static const char prefix[] = "sha256:";

	if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
		return false;
	text += sizeof(prefix) - 1;
	return strlen(text) == DIGEST_HEX && strspn(text, "0123456789abcdef") == DIGEST_HEX;
}

/* Splits "HOST/" off the front: a first component is a host only if it could not be a repository's.
 */
static int split_registry(const char *text, const char **ret_rest, struct reference *reference,
			  struct error *err)
{
	size_t length = strcspn(text, "/");
	_cleanup_free_ char *first = xstrndup(text, length);

	if (!text[length] || (!strpbrk(first, ".:") && strcmp(first, "localhost") != 0)) {
		reference->registry = xstrdup("docker.io");
		*ret_rest = text;
	} else {
		if (!registry_valid(first))
			return error_set(err, "'%s' is not a registry's name (HOST or HOST:PORT)",
					 first);
		if (strcmp(first, "index.docker.io") == 0 ||
		    strcmp(first, "registry-1.docker.io") == 0)
			reference->registry = xstrdup("docker.io");
		else
			reference->registry = take_ptr(first);
		*ret_rest = text + length + 1;
	}
	reference->host = xstrdup(strcmp(reference->registry, "docker.io") == 0
					  ? "registry-1.docker.io"
					  : reference->registry);
	return 0;
}

static int parse_registry(const char *text, struct reference *reference, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *at = strchr(copy, '@'), *colon;
	const char *rest = NULL;

	if (at) {
		*at++ = '\0';
		if (strncmp(at, "sha512:", 7) == 0)
			return error_set(err,
					 "'%s' is a digest of SHA-512 (name the image by its "
					 "sha256 digest)",
					 at);
		if (!digest_valid(at))
			return error_set(
				err, "'%s' is not a digest (sha256: and 64 digits of 0-9a-f)", at);
		reference->digest = xstrdup(at);
	}
	/* A colon before the last slash belongs to a port. */
	colon = strrchr(copy, ':');
	if (colon && !strchr(colon, '/')) {
		*colon++ = '\0';
		if (!tag_valid(colon))
			return error_set(err,
					 "'%s' is not a tag (up to 128 of A-Z a-z 0-9 . _ -, not "
					 "first . or -)",
					 colon);
		reference->tag = xstrdup(colon);
	}
	if (split_registry(copy, &rest, reference, err) < 0)
		return -1;
	if (!repository_valid(rest))
		return error_set(err,
				 "'%s' is not an image's name (lower-case letters and digits, "
				 "separated by . _ __ - or /)",
				 rest);
	if (strcmp(reference->registry, "docker.io") == 0 && !strchr(rest, '/'))
		reference->repository = xasprintf("library/%s", rest);
	else
		reference->repository = xstrdup(rest);
	/* With what was left out: the long spelling must be a reference too. */
	if (strlen(reference->registry) + 1 + strlen(reference->repository) > NAME_MAX_BYTES)
		return error_set(err, "the image's name is longer than %d bytes", NAME_MAX_BYTES);
	if (!reference->tag && !reference->digest)
		reference->tag = xstrdup("latest");
	return 0;
}

/* Without empty and "." components, so that one file has one name. ".." is refused: with links in
 * the path it would be another file than the text suggests. */
static int normalize_path(const char *text, char **ret, struct error *err)
{
	_cleanup_strbuf_ struct strbuf path = { 0 };

	if (*text != '/')
		return error_set(err, "'%s' is not an absolute path (start it with /)", text);
	if (strlen(text) > PATH_MAX_BYTES)
		return error_set(err, "the path is longer than %d bytes", PATH_MAX_BYTES);
	while (*text) {
		size_t length = strcspn(text, "/");

		if (length == 2 && strncmp(text, "..", 2) == 0)
			return error_set(err, "a path with '..' (write where it leads)");
		if (length > 0 && !(length == 1 && *text == '.')) {
			strbuf_putc(&path, '/');
			strbuf_add(&path, text, length);
		}
		text += length;
		text += strspn(text, "/");
	}
	if (path.length == 0)
		return error_set(err, "the path names no file");
	*ret = strbuf_take(&path);
	return 0;
}

/* The name inside a layout: org.opencontainers.image.ref.name of OCI image-spec annotations.md. */
static bool ref_name_valid(const char *text)
{
	if (!is_alnum(*text) || strlen(text) > NAME_MAX_BYTES)
		return false;
	for (; *text; text++)
		if (!is_alnum(*text) && !strchr("-._:@/+", *text))
			return false;
	return true;
}

/* "NAME:TAG" of a docker-archive, in the one spelling by which the archive's own are compared. */
static int parse_archive_name(const char *text, char **ret, struct error *err)
{
	struct reference inner = { 0 };
	int result = parse_registry(text, &inner, err);

	if (result == 0 && inner.digest)
		result = error_set(err, "'%s': an archive's image has no digest (use NAME:TAG)",
				   text);
	if (result == 0)
		*ret = reference_format(&inner);
	reference_reset(&inner);
	return result;
}

static int parse_local(const char *text, struct reference *reference, struct error *err)
{
	size_t length = strcspn(text, ":");
	_cleanup_free_ char *path = xstrndup(text, length);
	const char *name = text[length] ? text + length + 1 : NULL;

	if (normalize_path(path, &reference->path, err) < 0)
		return -1;
	if (!name)
		return 0;
	if (reference->kind == REFERENCE_DOCKER_ARCHIVE)
		return parse_archive_name(name, &reference->tag, err);
	if (!ref_name_valid(name))
		return error_set(err, "'%s' is not a tag in a layout (letters, digits, -._:@/+)",
				 name);
	reference->tag = xstrdup(name);
	return 0;
}

static const struct {
	const char *prefix;
	enum reference_kind kind;
} local_kinds[] = {
	{ "oci:", REFERENCE_OCI },
	{ "oci-archive:", REFERENCE_OCI_ARCHIVE },
	{ "docker-archive:", REFERENCE_DOCKER_ARCHIVE },
};

static int parse_any(const char *text, struct reference *reference, struct error *err)
{
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c <= 0x20 || *c == 0x7f)
			return error_set(err, "a blank or control character in it");
	for (size_t i = 0; i < sizeof(local_kinds) / sizeof(local_kinds[0]); i++) {
		size_t length = strlen(local_kinds[i].prefix);

		if (strncmp(text, local_kinds[i].prefix, length) == 0) {
			reference->kind = local_kinds[i].kind;
			return parse_local(text + length, reference, err);
		}
	}
	if (strstr(text, "://"))
		return error_set(err, "a URL is not a reference (write HOST/NAME:TAG)");
	reference->kind = REFERENCE_REGISTRY;
	return parse_registry(text, reference, err);
}

int reference_parse(const char *text, struct reference *ret, struct error *err)
{
	struct reference reference = { 0 };

	if (!*text)
		return error_set(err, "image reference '': it is empty");
	if (parse_any(text, &reference, err) < 0) {
		reference_reset(&reference);
		return error_wrap(err, "image reference '%.200s'", text);
	}
	*ret = reference;
	return 0;
}

void reference_reset(struct reference *reference)
{
	free(reference->host);
	free(reference->registry);
	free(reference->repository);
	free(reference->tag);
	free(reference->digest);
	free(reference->path);
	*reference = (struct reference){ 0 };
}

char *reference_format(const struct reference *reference)
{
	struct strbuf text = { 0 };

	if (reference->kind == REFERENCE_REGISTRY) {
		strbuf_printf(&text, "%s/%s", reference->registry, reference->repository);
	} else {
		for (size_t i = 0; i < sizeof(local_kinds) / sizeof(local_kinds[0]); i++)
			if (local_kinds[i].kind == reference->kind)
				strbuf_puts(&text, local_kinds[i].prefix);
		strbuf_puts(&text, reference->path);
	}
	if (reference->tag)
		strbuf_printf(&text, ":%s", reference->tag);
	if (reference->digest)
		strbuf_printf(&text, "@%s", reference->digest);
	return strbuf_take(&text);
}
