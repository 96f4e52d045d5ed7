/* SPDX-License-Identifier: Apache-2.0 */
/* control/access: who may ask for what: every command, for everybody that there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <grp.h>
#include <string.h>

#include "control/access.h"
#include "model/fleet.h"

enum { READERS = 70, ACME_OPS, GLOBEX_OPS, OTHERS };

struct group *__wrap_getgrnam(const char *name);

struct group *__wrap_getgrnam(const char *name)
{
	static struct group groups[] = {
		{ .gr_name = "stoker", .gr_gid = READERS },
		{ .gr_name = "acme-ops", .gr_gid = ACME_OPS },
		{ .gr_name = "globex-ops", .gr_gid = GLOBEX_OPS },
	};

	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		if (strcmp(groups[i].gr_name, name) == 0)
			return &groups[i];
	return NULL;
}

static char *acme_ops[] = { "not-here", "acme-ops", NULL }, *globex_ops[] = { "globex-ops", NULL };

static struct tenant tenants[] = {
	{ .name = "acme", .operators = { .items = acme_ops, .count = 2 } },
	{ .name = "globex", .operators = { .items = globex_ops, .count = 1 } },
	{ .name = "nobodys" },
};

static const struct fleet fleet = { .tenants = tenants, .tenant_count = 3 };
static const struct fleet *current = &fleet;

static const struct fleet *on_fleet(void *data)
{
	(void)data;
	return current;
}

static const struct control_handlers handlers = { .fleet = on_fleet };
static struct control control = { .handlers = &handlers };

/* In the group and another one that means nothing; root when the group is 0. */
static struct client client_of(gid_t groups[2], gid_t group)
{
	groups[0] = group ? OTHERS : 0;
	groups[1] = group;
	return (struct client){
		.control = &control,
		.peer = { .uid = group ? 1000 : 0, .groups = groups, .group_count = 2 }
	};
}

static bool may(gid_t group, enum protocol_command command, const char *name)
{
	struct request request = { .command = command };
	struct error err = { 0 };
	gid_t groups[2];
	struct client client = client_of(groups, group);
	int result;

	strcpy(request.name, name);
	result = access_check(&client, &request, &err);
	assert_true(result == 0 || *err.text);
	return result == 0;
}

/* Root, who reads, an operator of acme; the VM is acme's. */
static const struct {
	const char *allowed;
	bool has_name;
} rules[COMMAND_COUNT] = {
	[COMMAND_STATUS] = { "root reader operator", true },
	[COMMAND_STATS] = { "root reader operator", true },
	[COMMAND_PLAN] = { "root reader" },
	[COMMAND_RELOAD] = { "root" },
	[COMMAND_LOGS] = { "root reader operator", true },
	[COMMAND_GUARD] = { "root reader operator", true },
	[COMMAND_EXEC] = { "root operator", true },
	[COMMAND_RESTART] = { "root", true },
	[COMMAND_PAUSE] = { "root", true },
	[COMMAND_RESUME] = { "root", true },
	[COMMAND_EVENTS] = { "root reader" },
	[COMMAND_VERSION] = { "root reader operator" },
	[COMMAND_IMAGE_LIST] = { "root reader" },
	[COMMAND_IMAGE_INSPECT] = { "root reader" },
	[COMMAND_IMAGE_PULL] = { "root" },
	[COMMAND_IMAGE_PRUNE] = { "root" },
	[COMMAND_VOLUME_LIST] = { "root reader" },
	[COMMAND_VOLUME_PRUNE] = { "root" },
};

static void every_command_for_everybody(void **state)
{
	(void)state;
	for (int i = 0; i < COMMAND_COUNT; i++) {
		enum protocol_command command = (enum protocol_command)i;
		const char *name = rules[i].has_name ? "acme/web" : "";

		assert_non_null(rules[i].allowed); /* a new command needs its rule */
		assert_true(may(0, command, name));
		assert_int_equal(may(READERS, command, name),
				 strstr(rules[i].allowed, "reader") != NULL);
		assert_int_equal(may(ACME_OPS, command, name),
				 strstr(rules[i].allowed, "operator") != NULL);
	}
}

static void operators_see_to_their_own_tenant(void **state)
{
	static const char *const names[] = { "globex/web", "acmeX/web", "acm/web", "nobodys/web",
					     "/web",	   "acme.2",	"",	   "none/none" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_false(may(ACME_OPS, COMMAND_EXEC, names[i]));
		assert_false(may(ACME_OPS, COMMAND_LOGS, names[i]));
	}
	assert_false(may(ACME_OPS, COMMAND_STATUS, "globex/web"));
	assert_true(may(ACME_OPS, COMMAND_STATUS, "")); /* of what it sees: */
	assert_true(may(GLOBEX_OPS, COMMAND_EXEC, "globex/web"));
	assert_true(may(ACME_OPS, COMMAND_EXEC, "acme/web.2"));
}

static void only_what_is_theirs_is_seen(void **state)
{
	static const struct {
		gid_t group;
		const char *tenant;
		bool is_seen;
	} cases[] = {
		{ 0, "nobodys", true },	       { READERS, "nobodys", true },
		{ ACME_OPS, "acme", true },    { ACME_OPS, "globex", false },
		{ ACME_OPS, "acm", false },    { ACME_OPS, "nobodys", false },
		{ GLOBEX_OPS, "acme", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		gid_t groups[2];
		struct client client = client_of(groups, cases[i].group);

		assert_int_equal(access_sees(&client, cases[i].tenant), cases[i].is_seen);
	}
}

static void strangers_are_not_admitted(void **state)
{
	static const gid_t admitted[] = { 0, READERS, ACME_OPS, GLOBEX_OPS };
	struct error err = { 0 };
	gid_t groups[2];
	struct client client;

	(void)state;
	for (size_t i = 0; i < sizeof(admitted) / sizeof(*admitted); i++) {
		client = client_of(groups, admitted[i]);
		assert_int_equal(access_admit(&control, &client.peer, &err), 0);
	}
	client = client_of(groups, OTHERS);
	assert_int_equal(access_admit(&control, &client.peer, &err), -1);
	assert_string_equal(err.text,
			    "user 1000 may not use stokerd (root may, the group 'stoker' may look, "
			    "the operators of a tenant may see to that tenant)");
	assert_int_equal(access_check(&client, &(struct request){ .command = COMMAND_PLAN }, &err),
			 -1);
	assert_string_equal(err.text, "user 1000 may not ask for 'plan' (see stokerctl(8), "
				      "ACCESS)");
}

/* As before the first fleet was loaded, and after a reload that drops them. */
static void without_a_fleet_there_are_no_operators(void **state)
{
	struct error err = { 0 };
	gid_t groups[2];
	struct client client = client_of(groups, ACME_OPS);

	(void)state;
	current = NULL;
	assert_int_equal(access_admit(&control, &client.peer, &err), -1);
	assert_false(may(ACME_OPS, COMMAND_EXEC, "acme/web"));
	assert_true(may(READERS, COMMAND_LOGS, "acme/web"));
	assert_true(may(0, COMMAND_EXEC, "acme/web"));
	current = &fleet;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_for_everybody),
		cmocka_unit_test(operators_see_to_their_own_tenant),
		cmocka_unit_test(only_what_is_theirs_is_seen),
		cmocka_unit_test(strangers_are_not_admitted),
		cmocka_unit_test(without_a_fleet_there_are_no_operators),
	};

	return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
