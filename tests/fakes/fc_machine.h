/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fake firecracker was told, and what it opened: the half of its API behind the tables of
 * fc_schema.h. Files, taps and sockets are opened at the request that names them, with the rights
 * that the original asks for, and are kept.
 */
#ifndef STOKER_TESTS_FAKES_FC_MACHINE_H
#define STOKER_TESTS_FAKES_FC_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "tests/fakes/fc_fault.h"
#include "tests/fakes/fc_schema.h"

enum { MACHINE_DRIVES_MAX = 16, MACHINE_NICS_MAX = 8 };

enum machine_level { LEVEL_OFF, LEVEL_ERROR, LEVEL_WARN, LEVEL_INFO };

struct machine_drive {
	char id[FC_ID_MAX + 1]; /* "": free */
	int fd;
	bool is_root, is_read_only;
};

struct machine_nic {
	char id[FC_ID_MAX + 1]; /* "": free */
	int fd;			/* the tap */
	char mac[18];		/* lower case; "" when none was given */
};

struct machine {
	struct fc_session session;
	const struct fc_faults *faults; /* borrowed */
	const char *id;			/* borrowed */

	int log_fd, metrics_fd, kernel_fd, initrd_fd, vsock_fd, serial_fd; /* owned; -1: none */
	enum machine_level level;
	json_t *config;	 /* owned; of machine-config, with all defaults */
	json_t *serial;	 /* owned; the request, or NULL */
	json_t *balloon; /* owned; with all defaults, or NULL */
	char *boot_args; /* owned; NULL: the default of the original */
	char *uds_path;	 /* owned */
	struct machine_drive drives[MACHINE_DRIVES_MAX];
	struct machine_nic nics[MACHINE_NICS_MAX];
	bool is_paused;
	bool balloon_active; /* the guest's driver has found it */
};

void machine_init(struct machine *machine, const struct fc_faults *faults, const char *id);

/* Carries out a request that the tables let pass. A GET leaves its answer in *body. On FC_START all
 * is opened that only then is; the guest is the caller's business. */
int machine_call(struct machine *machine, const struct fc_request *request, struct strbuf *body,
		 struct error *err);

/* A line of the log, as "TIME [ID:THREAD] ...". */
void machine_log(const struct machine *machine, enum machine_level level, const char *thread,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

/* A line of metrics, as the original writes at the start, on demand and at the end. */
int machine_write_metrics(const struct machine *machine, struct error *err);

#endif
