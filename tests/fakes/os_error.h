/* SPDX-License-Identifier: Apache-2.0 */
/* Errors of the system in the words of Rust's std::io::Error. */
#ifndef STOKER_TESTS_FAKES_OS_ERROR_H
#define STOKER_TESTS_FAKES_OS_ERROR_H

#include "base/error.h"

/* "No such file or directory (os error 2)"; valid until the next call. */
const char *os_error(int number);

/* Sets the message followed by ": " and os_error; returns -1. */
int os_fault(struct error *err, int number, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
