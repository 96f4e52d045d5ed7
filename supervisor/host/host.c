/* SPDX-License-Identifier: Apache-2.0 */
/* The table of checks, in the order in which their findings are printed, and what checks share. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "host/checks.h"

enum { FILE_MAX = 8 << 20 };

static const struct check {
	const char *name;
	check_fn *run;
} checks[] = {
	{ "kvm", check_kvm },
	{ "smt", check_smt },
	{ "ksm", check_ksm },
	{ "swap", check_swap },
	{ "vulnerabilities", check_vulnerabilities },
	{ "kernel", check_kernel },
	{ "cgroup", check_cgroup },
	{ "entropy", check_entropy },
	{ "clocksource", check_clocksource },
	{ "clock", check_clock },
	{ "hugepages", check_hugepages },
	{ "btf", check_btf },
	{ "bpffs", check_bpffs },
	{ "unprivileged-bpf", check_unprivileged_bpf },
	{ "nftables", check_nftables },
	{ "conntrack", check_conntrack },
	{ "forwarding", check_forwarding },
	{ "guest-kernel", check_guest_kernel },
	{ "qemu", check_qemu },
	{ "libexec", check_libexec },
	{ "directories", check_directories },
	{ "uids", check_uids },
};

static void find_v(struct findings *found, enum verdict verdict, const char *remedy,
		   const char *format, va_list args)
{
	struct finding *finding;
	char *fact;

	if (vasprintf(&fact, format, args) < 0)
		abort();
	/* One line, and text for JSON, whatever a file held. */
	for (char *at = fact; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	found->items = xreallocarray(found->items, found->count + 1, sizeof(*found->items));
	finding = &found->items[found->count++];
	*finding = (struct finding){ verdict, found->check, fact, xstrdup(remedy) };
}

void find_ok(struct findings *found, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	find_v(found, VERDICT_OK, NULL, format, args);
	va_end(args);
}

void find(struct findings *found, enum verdict verdict, const char *remedy, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	find_v(found, verdict, remedy, format, args);
	va_end(args);
}

int host_read(const struct host *host, const char *path, struct strbuf *ret)
{
	_cleanup_free_ char *real = xasprintf("%s%s", host->root, path);

	strbuf_reset(ret);
	if (fs_read(real, FILE_MAX, ret, NULL) < 0) {
		strbuf_reset(ret);
		return -1;
	}
	if (ret->length && ret->data[ret->length - 1] == '\n')
		ret->data[--ret->length] = '\0';
	return 0;
}

bool has_word(const char *text, const char *word)
{
	static const char blanks[] = " \t\n";

	for (size_t length; *text; text += length) {
		text += strspn(text, blanks);
		length = strcspn(text, blanks);
		if (length == strlen(word) && strncmp(text, word, length) == 0)
			return true;
	}
	return false;
}

bool is_version_at_least(const char *version, unsigned major, unsigned minor)
{
	unsigned has_major, has_minor;

	if (sscanf(version, "%u.%u", &has_major, &has_minor) != 2)
		return false;
	return has_major > major || (has_major == major && has_minor >= minor);
}

void host_examine(const struct host *host, struct findings *ret)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		ret->check = checks[i].name;
		checks[i].run(host, ret);
	}
}

void findings_reset(struct findings *found)
{
	for (size_t i = 0; i < found->count; i++) {
		free(found->items[i].fact);
		free(found->items[i].remedy);
	}
	free(found->items);
	*found = (struct findings){ 0 };
}
