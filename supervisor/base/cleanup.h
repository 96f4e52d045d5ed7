/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope cleanup: a variable declared with one of these attributes is released on every way out of
 * its scope. What leaves the function is given away explicitly: `*ret_fd = take_fd(&fd);`.
 */
#ifndef STOKER_BASE_CLEANUP_H
#define STOKER_BASE_CLEANUP_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* Defines the attribute handler for a destructor `type *x_free(type *)`. */
#define DEFINE_CLEANUP(type, destroy)                       \
	static inline void destroy##_cleanup(type **object) \
	{                                                   \
		if (*object)                                \
			destroy(*object);                   \
	}                                                   \
	struct stoker_allow_semicolon

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

/* Closes without touching errno, so that the error being returned survives. */
static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

static inline void cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define _cleanup_free_	 CLEANUP(cleanup_free)
#define _cleanup_close_	 CLEANUP(cleanup_close)
#define _cleanup_fclose_ CLEANUP(cleanup_fclose)

/* Moves the descriptor out of a variable that would otherwise close it. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* Moves a pointer out of a variable that would otherwise free it. */
#define take_ptr(pointer)                               \
	({                                              \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;                       \
		taken_;                                 \
	})

#endif
