/* SPDX-License-Identifier: Apache-2.0 */
#include "net/shield.h"

enum shield_step shield_decide(struct shield *shield, uint64_t hostile_per_second)
{
	bool speaks = shield->is_up ? hostile_per_second < SHIELD_LOWER_BELOW
				    : hostile_per_second > SHIELD_RAISE_ABOVE;
	unsigned needed = shield->is_up ? SHIELD_LOWER_TICKS : SHIELD_RAISE_TICKS;

	shield->ticks = speaks ? shield->ticks + 1 : 0;
	if (shield->ticks < needed)
		return SHIELD_STAY;
	shield->is_up = !shield->is_up;
	shield->ticks = 0;
	return shield->is_up ? SHIELD_RAISE : SHIELD_LOWER;
}
