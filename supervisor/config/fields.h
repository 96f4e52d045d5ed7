/* SPDX-License-Identifier: Apache-2.0 */
/* A node -> a field of a plain type. schema.c's tables name these parsers. */
#ifndef STOKER_CONFIG_FIELDS_H
#define STOKER_CONFIG_FIELDS_H

#include "base/strv.h"
#include "config/schema.h"

#define FIELD_PARSER(name)                                                                      \
	void name(struct report *report, const struct schema_key *key, const struct node *node, \
		  void *field)

FIELD_PARSER(field_node);	 /* const struct node *: looked at later */
FIELD_PARSER(field_u32);	 /* uint32_t */
FIELD_PARSER(field_bool);	 /* bool */
FIELD_PARSER(field_size);	 /* uint64_t, bytes */
FIELD_PARSER(field_bits);	 /* uint64_t, bits a second: 100Mbit, "/s" may follow */
FIELD_PARSER(field_rate);	 /* uint64_t, bytes a second: a size, "/s" may follow */
FIELD_PARSER(field_duration);	 /* uint64_t, ms */
FIELD_PARSER(field_path);	 /* char * */
FIELD_PARSER(field_user);	 /* char * */
FIELD_PARSER(field_signal);	 /* char * */
FIELD_PARSER(field_pull_policy); /* uint32_t */
FIELD_PARSER(field_vmm);	 /* char * */
FIELD_PARSER(field_kernel);	 /* char * */
FIELD_PARSER(field_labels);	 /* struct strv */
FIELD_PARSER(field_tmpfs);	 /* struct strv */
FIELD_PARSER(field_dns);	 /* struct strv */
FIELD_PARSER(field_hosts);	 /* struct strv */
FIELD_PARSER(field_registries);	 /* struct strv */
FIELD_PARSER(field_files);	 /* struct strv of model/file.h, as the next */
FIELD_PARSER(field_secrets);
FIELD_PARSER(field_ulimits);   /* struct strv: "nofile=1024:4096", -1 = unlimited */
FIELD_PARSER(field_sysctls);   /* struct strv: "net.core.somaxconn=1024" */
FIELD_PARSER(field_operators); /* struct strv */

/* The text of a node that must be text; NULL when it is not, which is reported. */
const char *field_text(struct report *report, const char *key, const struct node *node);

/* Reports what a scalar parser said about the value of a key. */
void field_refuse(struct report *report, const char *key, const struct node *node,
		  const struct error *err);

/* The words of a command line: a list, or text that is split as a shell would. */
int field_words(struct report *report, const char *key, const struct node *node, struct strv *ret);

#endif
