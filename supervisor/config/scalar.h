/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One parser for each kind of single value in stoker.ini and in manifests. All are strict, take the
 * whole text, write *ret on success only, and say "'text': fact (remedy)" without a place.
 */
#ifndef STOKER_CONFIG_SCALAR_H
#define STOKER_CONFIG_SCALAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "model/spec.h"

/* Decimal digits alone, min..max inclusive. */
int scalar_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct error *err);

/* "256MiB", "1G": bytes. B, K/KiB, M/MiB, G/GiB, T/TiB; all powers of 1024. */
int scalar_size(const char *text, uint64_t *ret, struct error *err);

/* "100Mbit": a whole number and bit, kbit, Mbit or Gbit, powers of 1000 as links have them. */
int scalar_bits(const char *text, uint64_t *ret, struct error *err);

/* "500ms", "10s", "1m30s", "1h": milliseconds. */
int scalar_duration(const char *text, uint64_t *ret, struct error *err);

/* "true" or "false". */
int scalar_bool(const char *text, bool *ret, struct error *err);

/* [a-z0-9]([a-z0-9-]*[a-z0-9])?, at most SPEC_NAME_MAX bytes: tenants and VMs. */
int scalar_name(const char *text, struct error *err);

/* RFC 1123 labels joined by dots, at most `max` bytes. */
int scalar_hostname(const char *text, size_t max, struct error *err);

/* An absolute path without "." and ".." components and without control characters. */
int scalar_path(const char *text, struct error *err);

/* Whether one such path is the other or below it, however their slashes are written. */
bool scalar_path_is_within(const char *path, const char *directory);

/* "name", "uid", "name:group", "uid:gid". */
int scalar_user(const char *text, struct error *err);

/* "SIGTERM", "term", "15": "SIGTERM". Real-time signals, "SIGRTMIN+3" or "37": "37". Numbers are
 * those of x86 and arm; SIGRTMIN is 34 as in glibc. */
int scalar_signal(const char *text, char **ret, struct error *err);

/* "always", "no", "on-failure", "on-failure:5". */
int scalar_restart(const char *text, uint32_t *ret_policy, uint32_t *ret_limit, struct error *err);

/* "missing", "always", "never": enum pull_policy. */
int scalar_pull_policy(const char *text, uint32_t *ret, struct error *err);

/* "auto", "firecracker", "qemu". */
int scalar_vmm(const char *text, struct error *err);

/* A host of an allow-list: "docker.io", "localhost:5000". */
int scalar_registry(const char *text, struct error *err);

/* What may stand before the "=" of an environment variable or a label. */
int scalar_key(const char *text, size_t length, struct error *err);

/* The bytes from the beginning that are whole UTF-8 characters (RFC 3629); `length` if all are. */
size_t scalar_utf8(const char *text, size_t length);

/* Splits like a shell: blanks separate, '...' and "..." and \ quote. Nothing is expanded: "$X",
 * "*" and "|" are plain text. */
int scalar_words(const char *text, struct strv *ret, struct error *err);

/* "256MiB", "1536MiB", "4097B": what scalar_size reads back. */
void scalar_print_size(uint64_t bytes, struct strbuf *out);

/* "100Mbit", "1500kbit", "7bit": what scalar_bits reads back. */
void scalar_print_bits(uint64_t bits, struct strbuf *out);

/* The word of `words` (ended by NULL) that was probably meant; NULL when none is near. */
const char *scalar_nearest(const char *text, const char *const *words);

#endif
