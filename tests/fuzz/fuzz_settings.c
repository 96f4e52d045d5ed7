/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as stoker.ini, with inih in between.
 * `make fuzz`, then: build-fuzz/fuzz_settings -max_len=1024 CORPUS
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct problems problems = { 0 };
	struct settings settings = { 0 };
	int fd = memfd_create("settings", MFD_CLOEXEC);
	char path[32];
	int result;

	if (fd < 0 || fchmod(fd, 0600) < 0 || fs_write_all(fd, bytes, length, NULL) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = settings_load(path, &settings, &problems);
	if ((result == 0) != (settings.fleet_dir != NULL) || (result == 0) != (problems.count == 0))
		abort();
	settings_reset(&settings);
	problems_reset(&problems);
	close(fd);
	return 0;
}
