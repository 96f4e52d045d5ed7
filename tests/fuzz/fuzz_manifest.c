/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a manifest, through all of loading: files, YAML, schema, checks, leases. Manifests
 * are the operator's, but a program that writes them may pass a stranger's text on.
 * `make fuzz`, then: build-fuzz/fuzz_manifest -max_len=4096 CORPUS tests/golden/bad
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static struct settings settings;
	struct problems problems = { 0 };
	struct strv paths = { 0 };
	struct fleet *fleet = NULL;
	int fd = memfd_create("manifest", MFD_CLOEXEC);
	int result;

	if (!settings.fleet_dir)
		settings_defaults(&settings);
	if (fd < 0 || fchmod(fd, 0600) < 0 || fs_write_all(fd, bytes, length, NULL) < 0)
		abort();
	strv_addf(&paths, "/proc/self/fd/%d", fd);
	result = fleet_load_files(&paths, &settings, NULL, &fleet, &problems);
	/* The promise of load.h: a fleet, or at least one problem with its text; never both. */
	if ((result == 0) != (fleet != NULL) || (result == 0) != (problems.count == 0) ||
	    (problems.count > 0) != (problems.text.length > 0))
		abort();
	fleet_free(fleet);
	problems_reset(&problems);
	strv_reset(&paths);
	close(fd);
	return 0;
}
