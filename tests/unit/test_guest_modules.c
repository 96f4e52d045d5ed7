/* SPDX-License-Identifier: Apache-2.0 */
/* guest-init/modules.c: which modules may be late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest-init/failure.c"
#include "guest-init/modules.c"

static void test_late(void **state)
{
	(void)state;
	assert_true(modules_is_late("/modules/07-virtio_console.ko"));
	assert_true(modules_is_late("/modules/07-virtio-console.ko"));
	assert_true(modules_is_late("/modules/12-vsock.ko"));
	assert_true(modules_is_late("/modules/113-vmw_vsock_virtio_transport.ko"));
	assert_true(modules_is_late("virtio_balloon"));
}

/* What the boot needs, what only begins like one, and what panics are told by. */
static void test_early(void **state)
{
	(void)state;
	assert_false(modules_is_late("/modules/00-virtio_ring.ko"));
	assert_false(modules_is_late("/modules/05-virtio_net.ko"));
	assert_false(modules_is_late("/modules/05-virtio_console_x.ko"));
	assert_false(modules_is_late("/modules/05-virtio_con.ko"));
	assert_false(modules_is_late("/modules/09-pvpanic_mmio.ko"));
	assert_false(modules_is_late("/modules/"));
	assert_false(modules_is_late(""));
}

static void test_a_file_that_is_missing(void **state)
{
	char *paths[] = { "/nowhere/01-virtio_balloon.ko" };
	const struct list list = { .items = paths, .count = 1 };
	struct modules modules = { 0 };
	struct failure why;

	(void)state;
	assert_int_equal(modules_load(&list, &modules, &why), -1);
	assert_string_equal(why.text, "open module /nowhere/01-virtio_balloon.ko: No such file or "
				      "directory");
	assert_int_equal(modules.late_count, 0);
	assert_int_equal(modules_load_late(&modules, &why), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_a_file_that_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
