/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that cannot fail: when memory is gone the process says so and ends. For the daemon
 * that is safe by design (VMs outlive it and the next start adopts them) and spares every caller a
 * path that no test can reach. Sizes that a stranger chose are bounded before they get here.
 */
#ifndef STOKER_BASE_ALLOC_H
#define STOKER_BASE_ALLOC_H

#include <stdarg.h>
#include <stddef.h>

/* Zeroed; a product that overflows ends the process too. */
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/* Grows or shrinks; new bytes are not initialised. */
void *xreallocarray(void *old, size_t count, size_t size) __attribute__((returns_nonnull));

/* A copy that the caller frees. xstrdup(NULL) is NULL. */
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t length) __attribute__((returns_nonnull));
void *xmemdup(const void *bytes, size_t length) __attribute__((returns_nonnull));

/* A formatted string that the caller frees. */
char *xvasprintf(const char *format, va_list args)
	__attribute__((format(printf, 1, 0), returns_nonnull));
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

#endif
