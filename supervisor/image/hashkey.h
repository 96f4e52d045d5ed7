/* SPDX-License-Identifier: Apache-2.0 */
/* A key for hash tables over what an image chooses: it must not be able to choose one slot for all.
 * Nothing that is written may depend on it. */
#ifndef STOKER_IMAGE_HASHKEY_H
#define STOKER_IMAGE_HASHKEY_H

#include <stdint.h>

/* Odd; another one in each process. */
uint64_t hash_key(void);

#endif
