/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of the programs that the daemon executes, for host.c: there, out of everybody's reach but
 * root's, and of a version that will do. Only a program that is trusted is run, with --version.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/program.h"
#include "host/checks.h"

enum { SILENCE_MAX_MS = 10000, OUTPUT_MAX = 4096, VERSION_MAX = 32 };

/* --- what a program says of itself ------------------------------------------------------------
 */

/* The word behind `heading`, "" when it does not say that. */
static void read_version(const struct host *host, const char *path, const char *heading,
			 char ret[VERSION_MAX])
{
	_cleanup_free_ char *real = xasprintf("%s%s", host->root, path);
	_cleanup_strbuf_ struct strbuf output = { 0 };
	char *argv[] = { real, "--version", NULL };
	const struct program program = { .argv = argv,
					 .input_fd = -1,
					 .is_one_line = true,
					 .output_max = OUTPUT_MAX,
					 .timeout_ms = SILENCE_MAX_MS };
	const char *at;
	size_t length;
	int status;

	ret[0] = '\0';
	program_run(&program, &output, &status, NULL);
	at = strstr(strbuf_text(&output), heading);
	if (!at)
		return;
	at += strlen(heading);
	length = strcspn(at, " \r\n");
	if (length >= VERSION_MAX)
		return;
	memcpy(ret, at, length);
	ret[length] = '\0';
}

/* --- virtual machine monitors -----------------------------------------------------------------
 */

void check_qemu(const struct host *host, struct findings *found)
{
	const char *path = host->settings->qemu_path;
	char version[VERSION_MAX];

	if (find_distrust(host, path,
			  "apt-get install " SETTINGS_QEMU_PACKAGE ", or set qemu in [vm]",
			  found) < 0)
		return;
	read_version(host, path, "QEMU emulator version ", version);
	if (!*version)
		find(found, GRADE_BAD, "set qemu in [vm] to a qemu-system program",
		     "%s --version does not say a version of QEMU", path);
	else if (!is_version_at_least(version, 7, 2))
		find(found, GRADE_WARN, "install QEMU 7.2 or later",
		     "%s: version %s, older than what stoker is tested with", path, version);
	else
		find_ok(found, "%s: version %s", path, version);
}

/* VMs run under QEMU when there is no Firecracker, unless the settings say otherwise. */
static enum grade grade_of_none(const struct host *host)
{
	return strcmp(host->settings->default_vmm, "firecracker") == 0 ? GRADE_BAD : GRADE_WARN;
}

void check_firecracker(const struct host *host, struct findings *found)
{
	const char *path = host->settings->firecracker_path;
	char version[VERSION_MAX];

	if (!host_has(host, path)) {
		find(found, grade_of_none(host),
		     "install a release of Firecracker, or set firecracker in [vm]",
		     "%s is not there: no VM can run under Firecracker", path);
		return;
	}
	if (find_distrust(host, path, "set firecracker in [vm]", found) < 0)
		return;
	read_version(host, path, "Firecracker v", version);
	if (!*version)
		find(found, GRADE_BAD, "set firecracker in [vm] to a firecracker program",
		     "%s --version does not say a version of Firecracker", path);
	else if (!is_version_at_least(version, 1, 8))
		find(found, GRADE_BAD, "install Firecracker 1.8 or later",
		     "%s: version %s is too old", path, version);
	else if (host->settings->jail && !strstr(strrchr(path, '/'), "firecracker"))
		find(found, GRADE_BAD, "rename it",
		     "%s: the jailer wants 'firecracker' in the name of the file", path);
	else
		find_ok(found, "%s: version %s", path, version);
}

static bool is_trusted(const struct host *host, const char *path)
{
	struct findings unheard = { 0 };
	int result = find_distrust(host, path, "", &unheard);

	findings_reset(&unheard);
	return result == 0;
}

/* It is Firecracker's, from the same release. */
static void judge_jailer_version(const struct host *host, const char *version,
				 struct findings *found)
{
	const char *path = host->settings->jailer_path;
	const char *firecracker_path = host->settings->firecracker_path;
	char firecracker[VERSION_MAX] = "";

	if (is_trusted(host, firecracker_path))
		read_version(host, firecracker_path, "Firecracker v", firecracker);
	if (!*version)
		find(found, GRADE_BAD, "set jailer in [vm] to a jailer program",
		     "%s --version does not say a version of the jailer", path);
	else if (*firecracker && strcmp(version, firecracker) != 0)
		find(found, GRADE_WARN, "install both from one release of Firecracker",
		     "%s: version %s, but Firecracker is version %s", path, version, firecracker);
	else
		find_ok(found, "%s: version %s", path, version);
}

void check_jailer(const struct host *host, struct findings *found)
{
	bool has_firecracker = host_has(host, host->settings->firecracker_path);
	const char *path = host->settings->jailer_path;
	char version[VERSION_MAX];

	if (!host->settings->jail) {
		find_ok(found, "not used, as jail = no says");
		return;
	}
	if (!host_has(host, path)) {
		find(found, has_firecracker ? GRADE_BAD : grade_of_none(host),
		     "install the jailer of Firecracker's release, or set jailer in [vm]",
		     "%s is not there: no VM can run under Firecracker in a jail", path);
		return;
	}
	if (find_distrust(host, path, "set jailer in [vm]", found) < 0)
		return;
	read_version(host, path, "Jailer v", version);
	judge_jailer_version(host, version, found);
}

void check_jail(const struct host *host, struct findings *found)
{
	if (host->settings->jail)
		find_ok(found, "yes: Firecracker runs under its jailer");
	else
		find(found, GRADE_BAD, "remove jail = no from [vm]",
		     "no: a guest that breaks out of Firecracker sees the host's files");
}

/* --- stoker's own -----------------------------------------------------------------------------
 */

void check_libexec(const struct host *host, struct findings *found)
{
	static const char *const programs[] = { "stoker-image", "stoker-init" };
	const char *directory = host->settings->libexec_dir;
	int result = 0;

	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", directory, programs[i]);

		result |= find_distrust(host, path, "make install, or set libexec_dir in [paths]",
					found);
	}
	if (result == 0)
		find_ok(found, "stoker-image and stoker-init in %s are root's", directory);
}
