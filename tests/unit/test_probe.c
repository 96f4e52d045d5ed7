/* SPDX-License-Identifier: Apache-2.0 */
/* host/probe.c: the verdict is one of this host's truths, and is kept for one boot only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "host/probe.h"

static char directory[] = "/tmp/test_probe.XXXXXX";
static char cache[sizeof(directory) + 16];
static struct settings settings = { .run_dir = directory };

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	snprintf(cache, sizeof(cache), "%s/kvm-state", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return fs_remove_tree(directory, NULL);
}

static bool cpu_has_virtualisation(void)
{
#ifdef __x86_64__
	_cleanup_strbuf_ struct strbuf text = { 0 };

	assert_int_equal(fs_read("/proc/cpuinfo", 64 << 20, &text, NULL), 0);
	return strstr(strbuf_text(&text), " vmx") || strstr(strbuf_text(&text), " svm");
#else
	return true; /* it may have: /proc/cpuinfo does not tell */
#endif
}

static void test_verdict(void **state)
{
	enum kvm_state first = kvm_probe(&settings);
	struct stat st;

	(void)state;
	print_message("# /dev/kvm: %s\n", kvm_state_name(first));
	if (!cpu_has_virtualisation())
		assert_int_not_equal(first, KVM_HARDWARE);
	if (first == KVM_ABSENT) {
		assert_int_equal(stat(cache, &st), -1);
		return;
	}
	assert_int_equal(stat(cache, &st), 0);
	assert_int_equal(kvm_probe(&settings), first);
}

/* A file that says otherwise is believed for this boot, and ignored when of another one. */
static void test_cache(void **state)
{
	_cleanup_strbuf_ struct strbuf boot_id = { 0 };
	enum kvm_state real;

	(void)state;
	unlink(cache);
	real = kvm_probe(&settings);
	if (real == KVM_ABSENT)
		skip();
	assert_int_equal(fs_read("/proc/sys/kernel/random/boot_id", 64, &boot_id, NULL), 0);
	for (int planted = KVM_HARDWARE; planted <= KVM_UNUSABLE; planted++) {
		char line[128];
		int n = snprintf(line, sizeof(line), "%.36s %s\n", strbuf_text(&boot_id),
				 kvm_state_name((enum kvm_state)planted));

		assert_int_equal(fs_write_atomic(cache, line, (size_t)n, 0644, NULL), 0);
		assert_int_equal(kvm_probe(&settings), planted);
		line[0] = line[0] == '0' ? '1' : '0';
		assert_int_equal(fs_write_atomic(cache, line, (size_t)n, 0644, NULL), 0);
		assert_int_equal(kvm_probe(&settings), real);
	}
	assert_int_equal(fs_write_atomic(cache, "hardware", 8, 0644, NULL), 0);
	assert_int_equal(kvm_probe(&settings), real);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict),
		cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests_name("probe", tests, make_directory, remove_directory);
}
