/* SPDX-License-Identifier: Apache-2.0 */
/* The table of checks, and what they share. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "host/checks.h"

enum { FILE_MAX = 8 << 20 };

static check_fn *const checks[CHECK_COUNT] = {
	[CHECK_KVM] = check_kvm,
	[CHECK_SMT] = check_smt,
	[CHECK_KSM] = check_ksm,
	[CHECK_SWAP] = check_swap,
	[CHECK_VULNERABILITIES] = check_vulnerabilities,
	[CHECK_KERNEL] = check_kernel,
	[CHECK_CGROUP] = check_cgroup,
	[CHECK_ENTROPY] = check_entropy,
	[CHECK_CLOCKSOURCE] = check_clocksource,
	[CHECK_CLOCK] = check_clock,
	[CHECK_HUGEPAGES] = check_hugepages,
	[CHECK_BTF] = check_btf,
	[CHECK_BPFFS] = check_bpffs,
	[CHECK_UNPRIVILEGED_BPF] = check_unprivileged_bpf,
	[CHECK_TUN] = check_tun,
	[CHECK_NFTABLES] = check_nftables,
	[CHECK_CONNTRACK] = check_conntrack,
	[CHECK_FORWARDING] = check_forwarding,
	[CHECK_GUEST_KERNEL] = check_guest_kernel,
	[CHECK_QEMU] = check_qemu,
	[CHECK_FIRECRACKER] = check_firecracker,
	[CHECK_JAILER] = check_jailer,
	[CHECK_JAIL] = check_jail,
	[CHECK_LIBEXEC] = check_libexec,
	[CHECK_DIRECTORIES] = check_directories,
	[CHECK_UIDS] = check_uids,
};

__attribute__((format(printf, 4, 0))) static void find_v(struct findings *found, enum grade grade,
							 const char *remedy, const char *format,
							 va_list args)
{
	char *fact = xvasprintf(format, args);
	struct finding *finding;

	/* One line, and text for JSON, whatever a file held. */
	for (char *at = fact; *at; at++)
		if (*at < ' ' || *at > '~')
			*at = '?';
	found->items = xreallocarray(found->items, found->count + 1, sizeof(*found->items));
	finding = &found->items[found->count++];
	*finding = (struct finding){ found->check, grade, fact, xstrdup(remedy) };
}

void find_ok(struct findings *found, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	find_v(found, GRADE_OK, NULL, format, args);
	va_end(args);
}

void find(struct findings *found, enum grade grade, const char *remedy, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	find_v(found, grade, remedy, format, args);
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

bool host_has(const struct host *host, const char *path)
{
	_cleanup_free_ char *real = xasprintf("%s%s", host->root, path);

	return access(real, R_OK) == 0;
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

static bool is_clock_synchronised(void)
{
	struct timex timex = { 0 };

	return adjtimex(&timex) != TIME_ERROR && !(timex.status & STA_UNSYNC);
}

struct host host_here(const struct settings *settings)
{
	return (struct host){
		.root = "",
		.settings = settings,
		.is_clock_synchronised = is_clock_synchronised(),
		.probe_kvm = kvm_probe,
	};
}

void host_examine(const struct host *host, uint64_t wanted, struct findings *ret)
{
	for (enum check check = 0; check < CHECK_COUNT; check++) {
		if (!(wanted & CHECK_BIT(check)))
			continue;
		ret->check = check;
		checks[check](host, ret);
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
