/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that fc_machine.c is told of: each opens at its request what the original opens then,
 * and complains in its words. A second request for the same id replaces the first.
 */
#ifndef STOKER_TESTS_FAKES_FC_DEVICES_H
#define STOKER_TESTS_FAKES_FC_DEVICES_H

#include "base/error.h"
#include "tests/fakes/fc_machine.h"
#include "tests/fakes/fc_schema.h"

int devices_put_drive(struct machine *machine, const struct fc_request *request, struct error *err);
int devices_patch_drive(struct machine *machine, const struct fc_request *request,
			struct error *err);
int devices_put_network(struct machine *machine, const struct fc_request *request,
			struct error *err);
int devices_patch_network(struct machine *machine, const struct fc_request *request,
			  struct error *err);
int devices_put_vsock(struct machine *machine, const json_t *body, struct error *err);

/* Closes what *fd was, unless it is a standard descriptor. */
void devices_replace_fd(int *fd, int by);

#endif
