/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a fleet say, before the checks that need more than one value: filled through
 * the tables of schema.c, with the places that validate.c speaks of.
 */
#ifndef STOKER_CONFIG_MANIFEST_H
#define STOKER_CONFIG_MANIFEST_H

#include "config/fields.h"
#include "config/policy.h"
#include "config/problems.h"
#include "config/yaml.h"
#include "model/fleet.h"
#include "model/settings.h"

enum { HOSTNAME_MAX = 63 }; /* HOST_NAME_MAX of Linux is 64, a label's limit 63 */

struct placed_address {
	struct address address;
	struct mark mark;
};

struct vm_draft {
	const char *name; /* borrowed from the document */
	struct mark mark; /* of its key */
	struct spec spec; /* owned content: the template of all replicas, without name, hostname
			     of the replica, or addresses */
	uint32_t replicas;
	/* source NULL: not written */
	struct mark image_mark, hostname_mark, addresses_mark, balloon_mark, volumes_mark;
	uint64_t volumes_bytes; /* of all its volumes, for one replica */
	char *registry;		/* owned; of the image, or its transport; NULL: not valid */
	struct placed_address *addresses; /* owned */
	size_t address_count;
	struct publish publish;
	const struct node *depends_on; /* borrowed; NULL: not written, or wrong */
	struct policy egress, ingress;
	const struct node *environment, *env_file; /* borrowed; NULL: not written */
};

struct tenant_draft {
	const char *name;	   /* borrowed from the document */
	struct mark mark;	   /* of its key */
	struct tenant tenant;	   /* owned content */
	struct mark *subnet_marks; /* owned; one per subnet */
	const struct node *limits; /* borrowed; NULL: not written */
	struct policy egress, ingress;
	struct vm_draft *vms; /* owned */
	size_t vm_count;
	const struct settings *settings; /* borrowed; defaults of its VMs */
	bool is_usable;			 /* its name is valid and nobody else's */
};

struct draft {
	struct tenant_draft *tenants; /* owned; in the order of the files */
	size_t tenant_count;
	const struct settings *settings; /* borrowed */
};

/* Adds what the document says to the draft. The document must outlive the draft. */
void manifest_parse(const struct document *document, struct draft *draft, struct report *report);
void draft_reset(struct draft *draft);

/* The host name of the replica, from 1: "web", "web-2" ...; the caller frees it. */
char *hostname_of(const struct vm_draft *vm, uint32_t replica);

/* What schema.c names: parsers that fill more than one field. */
FIELD_PARSER(parse_tenants); /* struct draft */
FIELD_PARSER(parse_subnets); /* struct tenant_draft */
FIELD_PARSER(parse_limits);  /* struct tenant_draft */
FIELD_PARSER(parse_vms);     /* struct tenant_draft */
FIELD_PARSER(parse_image);   /* struct vm_draft, from here on */
FIELD_PARSER(parse_balloon);
FIELD_PARSER(parse_rate);
FIELD_PARSER(parse_rate_disk);
FIELD_PARSER(parse_rate_network);
FIELD_PARSER(parse_addresses);
FIELD_PARSER(parse_entrypoint);
FIELD_PARSER(parse_command);
FIELD_PARSER(parse_hostname);
FIELD_PARSER(parse_restart);
FIELD_PARSER(parse_volumes);

#endif
