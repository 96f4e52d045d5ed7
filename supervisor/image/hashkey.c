/* SPDX-License-Identifier: Apache-2.0 */
/* From the random bytes that the kernel gives each process (getauxval(3)), which cost no system
 * call and no file. */
#include "image/hashkey.h"

#include <string.h>
#include <sys/auxv.h>

uint64_t hash_key(void)
{
	const void *bytes = (const void *)getauxval(AT_RANDOM);
	uint64_t random[2] = { 0 };

	if (bytes)
		memcpy(random, bytes, sizeof(random));
	return (random[0] * 0x9e3779b97f4a7c15 ^ random[1]) | 1;
}
