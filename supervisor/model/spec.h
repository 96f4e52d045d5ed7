/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one instance should be: a manifest's VM with every default, file and address resolved.
 *
 * spec_fields is the one table of its fields: config/ parses by it, plan/ compares by it, and the
 * record that adoption reads is written by it. A field is in the table or it does not exist.
 */
#ifndef STOKER_MODEL_SPEC_H
#define STOKER_MODEL_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/strv.h"
#include "model/address.h"

enum {
	SPEC_NAME_MAX = 32,	/* of a tenant's or a VM's name, [a-z0-9]([a-z0-9-]*[a-z0-9])? */
	SPEC_ADDRESSES_MAX = 4, /* of each family, per instance */
	SPEC_REPLICAS_MAX = 1000,
	SPEC_MEMORY_MIN = 64 << 20, /* bytes; also what a balloon must leave to the guest */
};

enum restart_policy { RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_NO };

/* When a registry is asked for the image: if it is not here, at each start, not at all. */
enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER };

struct address_list {
	struct address items[2 * SPEC_ADDRESSES_MAX]; /* IPv4 first */
	uint32_t count;
};

/* All pointers are owned. */
struct spec {
	char *name; /* "tenant/vm", replicas after the first "tenant/vm.2" ...: the identity */
	char *tenant;
	char *vm;
	uint32_t replica; /* 1 for the first */
	char *place;	  /* "file.yaml:12:5" of the VM's key, for messages */

	char *image;
	uint32_t pull_policy; /* enum pull_policy */
	uint32_t cpus;
	uint64_t memory_bytes;
	uint64_t disk_bytes;		 /* of the copy-on-write layer */
	uint64_t rate_disk_bandwidth;	 /* bytes a second; 0 = no limit */
	uint32_t rate_disk_iops;	 /* 0 = no limit */
	uint64_t rate_network_bandwidth; /* bits a second and way; 0 = no limit */
	uint32_t rate_network_packets;	 /* likewise */
	struct strv egress;		 /* what it may begin: policy.h, the tenant's included */
	struct strv ingress;		 /* what may be begun to it: likewise */
	struct strv ports;		 /* published on the host: policy.h */
	uint64_t balloon_bytes;		 /* taken from the guest while it can spare them */
	struct address_list addresses;
	bool has_entrypoint; /* false: the image's; true with an empty list: none */
	struct strv entrypoint;
	bool has_command;
	struct strv command;
	struct strv environment; /* "KEY=value", sorted by key; env_file merged in */
	char *user;		 /* "" = the image's */
	char *working_dir;	 /* "" = the image's */
	char *hostname;
	struct strv dns;	 /* addresses, in order */
	struct strv extra_hosts; /* "name=address" */
	struct strv labels;	 /* "key=value", sorted by key */
	bool read_only;		 /* the root file system */
	struct strv tmpfs;	 /* mount points */
	struct strv volumes;	 /* model/volume.h; by name */
	struct strv files;	 /* model/file.h; by path */
	struct strv secrets;	 /* likewise; by name */
	struct strv ulimits;	 /* "nofile=1024:4096", soft and hard, -1 = unlimited; by name */
	struct strv sysctls;	 /* "net.core.somaxconn=1024"; by name */
	uint32_t restart;	 /* enum restart_policy */
	uint32_t restart_limit;	 /* on-failure:N; 0 = no limit */
	struct strv healthcheck; /* "tcp" ":80", "http" ":80/path" or "exec" and words; none: empty
				  */
	uint64_t health_interval_ms, health_timeout_ms, health_start_period_ms;
	uint32_t health_retries; /* failures in a row until it is unhealthy */
	bool unhealthy_stops;	 /* then it is stopped, for its restart policy to decide */
	struct strv depends_on;	 /* "db=healthy", "cache=started": VMs of the tenant; by name */
	char *stop_signal;	 /* "" = the image's, else "SIGTERM" ... */
	uint64_t stop_grace_ms;
	char *vmm;    /* "qemu": resolved from auto by the daemon's probe */
	char *kernel; /* "auto" or an absolute path */
};

enum field_type {
	FIELD_STRING,	 /* char * */
	FIELD_STRV,	 /* struct strv */
	FIELD_U32,	 /* uint32_t */
	FIELD_U64,	 /* uint64_t */
	FIELD_BOOL,	 /* bool */
	FIELD_ADDRESSES, /* struct address_list */
};

enum field_class {
	FIELD_IDENTITY, /* never differs between two specs of one name */
	FIELD_LIVE,	/* a change applies without touching the VM */
	FIELD_REPLACE,	/* a change boots a new VM */
};

struct spec_field {
	const char *name; /* the manifest's key where there is one */
	enum field_type type;
	enum field_class class;
	size_t offset;
};

extern const struct spec_field spec_fields[];
extern const size_t spec_field_count;

struct spec *spec_new(void);
struct spec *spec_free(struct spec *spec); /* NULL is fine; returns NULL */
struct spec *spec_copy(const struct spec *spec);

/* The order of a fleet: tenant, vm, replica. */
int spec_order(const struct spec *a, const struct spec *b);

bool spec_field_equal(const struct spec_field *field, const struct spec *a, const struct spec *b);

json_t *spec_to_json(const struct spec *spec); /* new reference; all fields */
/* A field that is absent is one that the version which wrote it did not know: it is empty, or 0.
 * Those that identify the spec must be there. */
int spec_from_json(const json_t *value, struct spec **ret, struct error *err);

/* The guest's MAC address: locally administered, derived from the name, so stable for good. */
void spec_mac(const char *name, uint8_t ret_mac[6]);

#define _cleanup_spec_ CLEANUP(spec_free_cleanup)
DEFINE_CLEANUP(struct spec, spec_free);

#endif
