/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Firecracker's API takes, as tables: every endpoint that stoker uses, each field with its
 * type and range, the release that brought it, and when it may be called. The fake firecracker asks
 * it about every request, and the driver's unit test about every sequence that the driver makes.
 *
 * Sources: Firecracker's OpenAPI file and CHANGELOG.md; the messages are those that release 1.16.1
 * answers, except that where serde_json appends " at line L column C" nothing is appended.
 */
#ifndef STOKER_TESTS_FAKES_FC_SCHEMA_H
#define STOKER_TESTS_FAKES_FC_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/json.h"

#define FC_RELEASE(major, minor) ((major)*1000u + (minor))

enum {
	FC_RELEASE_NEWEST = FC_RELEASE(1, 16), /* of the sources read */
	FC_BODY_MAX = 51200,
	FC_BOOT_ARGS_MAX = 2047, /* bytes; with the NUL they fill 2,048 */
	FC_VCPUS_MAX = 32,
	FC_ID_MAX = 64,
};

enum fc_call {
	FC_GET_INSTANCE,
	FC_GET_VERSION,
	FC_GET_MACHINE_CONFIG,
	FC_GET_BALLOON,
	FC_PUT_LOGGER,
	FC_PUT_METRICS,
	FC_PUT_SERIAL,
	FC_PUT_MACHINE_CONFIG,
	FC_PUT_BOOT_SOURCE,
	FC_PUT_DRIVE,
	FC_PUT_NETWORK,
	FC_PUT_VSOCK,
	FC_PUT_ENTROPY,
	FC_PUT_BALLOON,
	FC_START,
	FC_CTRL_ALT_DEL,
	FC_FLUSH_METRICS,
	FC_PATCH_DRIVE,
	FC_PATCH_NETWORK,
	FC_PATCH_BALLOON,
	FC_PATCH_VM,
};

/* One process, as far as the tables care. Zero-initialise it and set the release. */
struct fc_session {
	unsigned release; /* FC_RELEASE(1, 16) */
	/* Also refuse what the OpenAPI file forbids and the program lets pass: guest_cid below 3,
	 * unknown members where serde ignores them, more path than the endpoint has. */
	bool strict;
	bool started;
	unsigned done; /* calls that succeeded, one bit of enum fc_call each */
};

struct fc_request {
	enum fc_call call;
	char id[FC_ID_MAX + 1]; /* of the path; "" where the endpoint has none */
	json_t *body;		/* owned; NULL for GET. fc_request_reset drops it */
};

void fc_request_reset(struct fc_request *request);

/* Judges one request; 0, or -1 with what the API would say as its fault_message. `body` may be NULL
 * (none was sent). *ret is written on success only and owned by the caller; ret may be NULL. What
 * depends on files, devices and earlier requests is not judged here, except for once-only calls. */
int fc_schema_check(const struct fc_session *session, const char *method, const char *path,
		    const void *body, size_t length, struct fc_request *ret, struct error *err);

/* Notes that a call succeeded: what was once-only is used up, and FC_START starts. */
void fc_schema_note(struct fc_session *session, enum fc_call call);

/* Both, for a sequence of requests that are taken to succeed. */
int fc_schema_step(struct fc_session *session, const char *method, const char *path,
		   const char *body, struct error *err);

/* Reads "1.16.1" (and "v1.16.1") into a release; 0 when it is none. */
unsigned fc_release_parse(const char *text);

#endif
