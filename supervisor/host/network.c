/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of what the network guard and the NAT of egress stand on, for host.c: BPF with
 * type information (Documentation/bpf/btf), a BPF file system for pins, nft(8), conntrack.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "host/checks.h"

void check_btf(const struct host *host, struct findings *found)
{
	if (host_has(host, "/sys/kernel/btf/vmlinux"))
		find_ok(found, "the kernel describes its types");
	else
		find(found, GRADE_BAD, "run a kernel with CONFIG_DEBUG_INFO_BTF=y",
		     "no /sys/kernel/btf/vmlinux: the guard cannot be loaded, so no VM starts");
}

/* Is `path` the mount point or below it? */
static bool lies_below(const char *path, const char *mount)
{
	size_t length = strlen(mount);

	if (strcmp(mount, "/") == 0)
		return true;
	return strncmp(path, mount, length) == 0 && (!path[length] || path[length] == '/');
}

void check_bpffs(const struct host *host, struct findings *found)
{
	const char *bpf_dir = host->settings->bpf_dir;
	_cleanup_strbuf_ struct strbuf mounts = { 0 };
	_cleanup_free_ char *type = xstrdup("nothing"), *mount = xstrdup("/");
	char *save = NULL;

	host_read(host, "/proc/self/mounts", &mounts);
	/* "DEVICE MOUNT TYPE ...": the longest one counts, among equals the last. */
	for (char *line = mounts.data ? strtok_r(mounts.data, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *field = NULL, *at, *fs;

		if (!strtok_r(line, " ", &field) || !(at = strtok_r(NULL, " ", &field)) ||
		    !(fs = strtok_r(NULL, " ", &field)))
			continue;
		if (!lies_below(bpf_dir, at) || strlen(at) < strlen(mount))
			continue;
		free(type);
		free(mount);
		type = xstrdup(fs);
		mount = xstrdup(at);
	}
	if (strcmp(type, "bpf") == 0)
		find_ok(found, "mounted at %s", mount);
	else
		find(found, GRADE_BAD, "mount -t bpf bpf /sys/fs/bpf, or set bpf_dir in [paths]",
		     "%s lies on %s: the guard's pins need a BPF file system", bpf_dir, type);
}

void check_unprivileged_bpf(const struct host *host, struct findings *found)
{
	_cleanup_strbuf_ struct strbuf value = { 0 };

	if (host_read(host, "/proc/sys/kernel/unprivileged_bpf_disabled", &value) < 0)
		find_ok(found, "not in this kernel");
	else if (strcmp(strbuf_text(&value), "0") == 0)
		find(found, GRADE_BAD, "sysctl -w kernel.unprivileged_bpf_disabled=1",
		     "allowed: any user may load programs into the kernel");
	else
		find_ok(found, "disabled");
}

void check_tun(const struct host *host, struct findings *found)
{
	if (host_has(host, "/dev/net/tun"))
		find_ok(found, "/dev/net/tun is there");
	else
		find(found, GRADE_BAD, "modprobe tun",
		     "no /dev/net/tun: no VM can have a network interface, so none starts");
}

void check_nftables(const struct host *host, struct findings *found)
{
	/* The daemon takes the first of these that it can run. */
	static const char *const places[] = { "/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft",
					      "/usr/local/sbin/nft" };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		_cleanup_free_ char *real = xasprintf("%s%s", host->root, places[i]);

		if (access(real, X_OK) < 0)
			continue;
		if (find_distrust(host, places[i], "apt-get install nftables", found) == 0)
			find_ok(found, "%s", places[i]);
		return;
	}
	find(found, GRADE_WARN, "apt-get install nftables",
	     "no nft program: a tenant with egress cannot be connected");
}

static bool kernel_has(const struct host *host, const char *list, const char *module)
{
	_cleanup_strbuf_ struct strbuf release = { 0 }, text = { 0 };
	_cleanup_free_ char *path = NULL;

	host_read(host, "/proc/sys/kernel/osrelease", &release);
	path = xasprintf("/lib/modules/%s/%s", strbuf_text(&release), list);
	return host_read(host, path, &text) == 0 && strstr(strbuf_text(&text), module);
}

void check_conntrack(const struct host *host, struct findings *found)
{
	_cleanup_free_ char *loaded = xasprintf("%s/proc/sys/net/netfilter/nf_conntrack_max",
						host->root);

	if (access(loaded, F_OK) == 0)
		find_ok(found, "in the kernel");
	else if (kernel_has(host, "modules.builtin", "/nf_conntrack.ko") ||
		 kernel_has(host, "modules.dep", "/nf_conntrack.ko"))
		find_ok(found, "loaded when it is needed");
	else
		find(found, GRADE_WARN, "install the kernel's modules, then: modprobe nf_conntrack",
		     "not there: a tenant with egress cannot be connected");
}

static bool is_on(const struct host *host, const char *path)
{
	_cleanup_strbuf_ struct strbuf value = { 0 };

	return host_read(host, path, &value) == 0 && strcmp(strbuf_text(&value), "0") != 0;
}

/* An interface by which the host reaches the world: answers to VMs come in by it. */
static bool check_uplink4(const struct host *host, const char *name, struct findings *found)
{
	_cleanup_free_ char *path = xasprintf("/proc/sys/net/ipv4/conf/%s/forwarding", name);
	_cleanup_free_ char *remedy = xasprintf("sysctl -w net.ipv4.conf.%s.forwarding=1", name);

	if (!host_has(host, path) || is_on(host, path))
		return true;
	find(found, GRADE_WARN, remedy, "%s does not forward IPv4: the world cannot answer VMs",
	     name);
	return false;
}

/* Linux 6.17 has a switch for each interface, and every one for all. */
static bool check_uplink6(const struct host *host, const char *name, struct findings *found)
{
	_cleanup_free_ char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/force_forwarding", name);
	bool has_own = host_has(host, path);
	_cleanup_free_ char *remedy =
		has_own ? xasprintf("sysctl -w net.ipv6.conf.%s.force_forwarding=1", name)
			: xstrdup("sysctl -w net.ipv6.conf.all.forwarding=1");

	if (is_on(host, "/proc/sys/net/ipv6/conf/all/forwarding") || is_on(host, path))
		return true;
	find(found, GRADE_WARN, remedy, "%s does not forward IPv6: the world cannot answer VMs",
	     name);
	return false;
}

/* The default routes, as proc_pid_net(5) has them: of IPv4 "eth0 00000000 ..." with the mask as the
 * eighth field; of IPv6 32 zeros and 2 for its length first, and the interface last. */
static bool check_uplinks(const struct host *host, struct findings *found)
{
	_cleanup_strbuf_ struct strbuf routes4 = { 0 }, routes6 = { 0 };
	char name[32], to[40], mask[16], *save = NULL;
	bool is_fine = true;

	host_read(host, "/proc/net/route", &routes4);
	for (char *line = routes4.data ? strtok_r(routes4.data, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%31s %39s %*s %*s %*s %*s %*s %15s", name, to, mask) == 3 &&
		    strcmp(to, "00000000") == 0 && strcmp(mask, "00000000") == 0)
			is_fine &= check_uplink4(host, name, found);
	host_read(host, "/proc/net/ipv6_route", &routes6);
	save = NULL;
	for (char *line = routes6.data ? strtok_r(routes6.data, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%39s %15s %*s %*s %*s %*s %*s %*s %*s %31s", to, mask, name) ==
			    3 &&
		    strspn(to, "0") == 32 && strcmp(mask, "00") == 0 && strcmp(name, "lo") != 0)
			is_fine &= check_uplink6(host, name, found);
	return is_fine;
}

void check_forwarding(const struct host *host, struct findings *found)
{
	static const char *const names[] = { "IPv4", "IPv6" };
	static const char *const paths[] = { "/proc/sys/net/ipv4/conf/all/forwarding",
					     "/proc/sys/net/ipv6/conf/all/forwarding" };
	_cleanup_strbuf_ struct strbuf note = { 0 };

	if (!check_uplinks(host, found))
		return;
	for (size_t i = 0; i < 2; i++) {
		_cleanup_strbuf_ struct strbuf value = { 0 };
		const char *word = "not in this kernel";

		if (host_read(host, paths[i], &value) == 0)
			word = strcmp(strbuf_text(&value), "0") == 0 ? "off" : "on";
		strbuf_printf(&note, "%s %s, ", names[i], word);
	}
	find_ok(found, "%sfor interfaces in general; each tap gets what it needs",
		strbuf_text(&note));
}
