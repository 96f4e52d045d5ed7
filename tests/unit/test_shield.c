/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/shield.h"

static enum shield_step steady(struct shield *shield, uint64_t per_second, unsigned ticks)
{
	enum shield_step step = SHIELD_STAY;

	for (unsigned i = 0; i < ticks; i++) {
		assert_int_equal(step, SHIELD_STAY);
		step = shield_decide(shield, per_second);
	}
	return step;
}

static void test_a_flood_must_last(void **state)
{
	struct shield shield = { 0 };

	(void)state;
	assert_int_equal(steady(&shield, SHIELD_RAISE_ABOVE, 1000), SHIELD_STAY);
	assert_int_equal(steady(&shield, SHIELD_RAISE_ABOVE + 1, SHIELD_RAISE_TICKS - 1),
			 SHIELD_STAY);
	assert_int_equal(steady(&shield, 0, 1), SHIELD_STAY);
	assert_int_equal(steady(&shield, 1000000, SHIELD_RAISE_TICKS - 1), SHIELD_STAY);
	assert_false(shield.is_up);
	assert_int_equal(steady(&shield, 1000000, 1), SHIELD_RAISE);
	assert_true(shield.is_up);
}

static void test_and_so_must_its_end(void **state)
{
	struct shield shield = { .is_up = true };

	(void)state;
	assert_int_equal(steady(&shield, SHIELD_LOWER_BELOW, 1000), SHIELD_STAY);
	assert_int_equal(steady(&shield, 0, SHIELD_LOWER_TICKS - 1), SHIELD_STAY);
	assert_int_equal(steady(&shield, 1000000, 1), SHIELD_STAY);
	assert_int_equal(steady(&shield, SHIELD_LOWER_BELOW - 1, SHIELD_LOWER_TICKS), SHIELD_LOWER);
	assert_false(shield.is_up);
	assert_int_equal(steady(&shield, 0, 1000), SHIELD_STAY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_flood_must_last),
		cmocka_unit_test(test_and_so_must_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
