/* SPDX-License-Identifier: Apache-2.0 */
/* The guest of arm64-kvm.t, as its PID 1: says what the daemon's probe makes of its /dev/kvm,
 * twice, the second time from the cache. */
#include <stdio.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/probe.h"

int main(void)
{
	struct settings settings = { .run_dir = (char *)"/run" };

	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mkdir("/run", 0755);
	if (mount("dev", "/dev", "devtmpfs", 0, NULL) || mount("proc", "/proc", "proc", 0, NULL))
		perror("mount");
	for (int i = 0; i < 2; i++)
		printf("KVM is %s\n", kvm_state_name(kvm_probe(&settings)));
	fflush(stdout);
	reboot(RB_POWER_OFF);
	return 1;
}
