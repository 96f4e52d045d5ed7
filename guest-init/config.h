/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to run and where: the entries of /stoker/image, /stoker/config and /stoker/modules
 * (protocol.h), read into one value by main.c and borrowed by everything else.
 */
#ifndef STOKER_GUEST_INIT_CONFIG_H
#define STOKER_GUEST_INIT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest-init/failure.h"

struct list {
	char **items; /* owned, as is each text; items[count] is NULL once something was added */
	size_t count;
};

/* A file that the host brings; all owned. */
struct config_file_item {
	char *path; /* a secret's is its name */
	char *user; /* "" = root, of a secret: whom the workload runs as */
	char *content;
	size_t length;
	mode_t mode;
	bool is_secret;
};

struct file_list {
	struct config_file_item *items; /* owned */
	size_t count;
};

/* Texts are owned; NULL when not given. */
struct config {
	struct list entrypoint, command; /* after config_merge: what runs is one after the other */
	struct list environment;	 /* "KEY=value", one per key */
	bool has_entrypoint, has_command;
	char *user, *working_dir, *stop_signal;

	char *hostname;
	struct list addresses, gateways;
	uint8_t gateway_mac[6];
	bool has_gateway_mac;
	uint8_t channel_key[CHANNEL_KEY_SIZE]; /* zeros when there is none */
	struct list hosts, dns;
	char *peers;
	struct list tmpfs;
	struct list volume_paths; /* the image's */
	struct list ulimits, sysctls, volumes;
	struct file_list files;
	struct list disks; /* none: they have serials */
	bool read_only;
	bool verify;  /* the disk "base", by: */
	char *verity; /* the image's hash tree */
	struct list modules;
};

enum config_file {
	CONFIG_FROM_IMAGE = 1,
	CONFIG_FROM_MANIFEST = 2,
	CONFIG_FROM_BASE = 4,
	CONFIG_FROM_HOST = 8
};

/* Adds the entries of one file. An entry that is unknown, misplaced, too long, or has a NUL inside
 * its text is an error that names the file. */
int config_parse(const void *bytes, size_t length, enum config_file file, struct config *config,
		 struct failure *why);

/* Completes the manifest's configuration with the image's, by the rules of Compose: an entrypoint
 * of the manifest's drops the image's command too. What was not taken stays in `image`. */
void config_merge(struct config *config, struct config *image);

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3"; 0 when it is none. */
int config_signal(const char *text);

/* Sets a "KEY=value": in place of the entry of that key, or as a new one. */
void config_set_environment(struct list *environment, const char *entry);

/* The value of a key; NULL when it is not set. */
const char *config_environment(const struct list *environment, const char *key);

/* Overwrites and frees what the files held: they are written, nobody needs it any more. */
void config_forget_files(struct config *config);

void config_reset(struct config *config);

#endif
