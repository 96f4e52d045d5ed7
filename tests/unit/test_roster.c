/* SPDX-License-Identifier: Apache-2.0 */
/* Slots: how the roster hands them out, waits for them and adopts into them; a host that holds VMs
 * back; VMs that wait for others. What is behind the roster is tests/fakes' own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "instance/boot.h"
#include "instance/instance.h"
#include "instance/roster.h"
#include "model/volume.h"

#include "tests/fakes/instance.c"
#include "tests/unit/run_loop.h"

/* --- the scene ------------------------------------------------------------------------------- */

struct scene {
	char dir[64];
	struct settings settings;
	struct loop *loop;
	struct roster *roster;
};

static void on_changed(void *data, const struct instance_status *status)
{
	(void)data;
	(void)status;
}

static void make_scene(struct scene *scene, uint32_t uid_count)
{
	snprintf(scene->dir, sizeof(scene->dir), "/tmp/stoker-roster-XXXXXX");
	assert_non_null(mkdtemp(scene->dir));
	scene->settings = (struct settings){ .run_dir = scene->dir,
					     .state_dir = scene->dir,
					     .cgroup_parent = "none",
					     .log_forward = "off",
					     .uid_base = 900000,
					     .uid_count = uid_count };
	scene->loop = loop_new(NULL);
	scene->roster = NULL;
}

static int open_roster(struct scene *scene, struct error *err)
{
	return roster_open(scene->loop, &scene->settings, on_changed, NULL, &scene->roster, err);
}

static void end_scene(struct scene *scene)
{
	roster_close(scene->roster);
	loop_free(scene->loop);
	assert_int_equal(fs_remove_tree(scene->dir, NULL), 0);
	assert_int_equal(living, 0);
}

/* VMs first .. first + count - 1 of one tenant. */
static struct fleet *make_fleet(unsigned first, unsigned count)
{
	struct fleet *fleet = fleet_new();

	fleet->specs = xcalloc(count, sizeof(*fleet->specs));
	fleet->spec_count = count;
	for (unsigned i = 0; i < count; i++) {
		struct spec *spec = xcalloc(1, sizeof(*spec));

		spec->name = xasprintf("acme/vm%05u", first + i);
		spec->tenant = xstrdup("acme");
		spec->vm = xasprintf("vm%05u", first + i);
		spec->replica = 1;
		fleet->specs[i] = spec;
	}
	return fleet;
}

static void apply(struct scene *scene, const struct fleet *fleet)
{
	struct fleet_status observed = { 0 };
	struct plan plan = { 0 };

	roster_observe(scene->roster, &observed);
	plan_make(fleet, &observed, &plan);
	roster_apply(scene->roster, fleet, &plan);
	fleet_status_reset(&observed);
	plan_reset(&plan);
}

static size_t count_of(const struct scene *scene, const char *name)
{
	struct fleet_status observed = { 0 };
	size_t count;

	roster_observe(scene->roster, &observed);
	count = name ? fleet_status_find(&observed, name) != NULL : observed.count;
	fleet_status_reset(&observed);
	return count;
}

static void run_for(struct scene *scene, uint64_t time_ms)
{
	run_loop_for(scene->loop, time_ms);
}

/* --- the tests ------------------------------------------------------------------------------- */

static void the_guards_slots_are_the_limit(void **state)
{
	struct fleet *fleet = make_fleet(0, NET_SLOTS_MAX + 2);
	struct scene scene;

	(void)state;
	make_scene(&scene, 65536);
	assert_int_equal(open_roster(&scene, NULL), 0);
	apply(&scene, fleet);
	assert_int_equal(count_of(&scene, NULL), NET_SLOTS_MAX);
	assert_false(roster_is_settled(scene.roster));
	end_scene(&scene);
	fleet_free(fleet);
}

/* 16 ids are 14 VMs: all are renamed at once, and none of them finds a slot at first. */
static void successors_wait_for_slots(void **state)
{
	struct fleet *before = make_fleet(0, 14), *after = make_fleet(100, 14);
	struct scene scene;

	(void)state;
	make_scene(&scene, 16);
	assert_int_equal(open_roster(&scene, NULL), 0);
	apply(&scene, before);
	assert_int_equal(count_of(&scene, NULL), 14);
	assert_true(roster_is_settled(scene.roster));
	apply(&scene, after);
	assert_int_equal(count_of(&scene, "acme/vm00100"), 0);
	assert_false(roster_is_settled(scene.roster));
	run_for(&scene, 300);
	assert_int_equal(count_of(&scene, NULL), 14);
	assert_int_equal(count_of(&scene, "acme/vm00100"), 1);
	assert_int_equal(count_of(&scene, "acme/vm00113"), 1);
	assert_true(roster_is_settled(scene.roster));
	end_scene(&scene);
	fleet_free(before);
	fleet_free(after);
}

static void a_slot_beyond_the_range_refuses_the_start(void **state)
{
	struct error err = { 0 };
	struct scene scene;
	char path[128];

	(void)state;
	make_scene(&scene, 16);
	snprintf(path, sizeof(path), "%s/vm/14", scene.dir);
	assert_int_equal(fs_mkdir_p(path, 0700, NULL), 0);
	adoptions = 0;
	assert_int_equal(open_roster(&scene, &err), -1);
	assert_non_null(strstr(err.text, "/vm/14: beyond the 14 slots of uid_count (raise it again "
					 "in stoker.ini until that VM is removed)"));
	assert_int_equal(adoptions, 0);
	end_scene(&scene);
}

/* Something of an earlier VM holds on: neither its uid nor its slot goes to another tenant's. */
static void a_slot_that_cannot_be_freed_is_not_used(void **state)
{
	struct fleet *fleet = make_fleet(0, 14);
	struct scene scene;
	char path[128];

	(void)state;
	for (int clean = 0; clean <= 1; clean++) {
		make_scene(&scene, 16);
		snprintf(path, sizeof(path), "%s/vm/3", scene.dir);
		assert_int_equal(fs_mkdir_p(path, 0700, NULL), 0);
		is_adoption_clean = clean;
		assert_int_equal(open_roster(&scene, NULL), 0);
		apply(&scene, fleet);
		assert_int_equal(count_of(&scene, NULL), clean ? 14 : 13);
		end_scene(&scene);
	}
	fleet_free(fleet);
}

static size_t count_in(const struct scene *scene, enum phase phase)
{
	struct fleet_status observed = { 0 };
	size_t count = 0;

	roster_observe(scene->roster, &observed);
	for (size_t i = 0; i < observed.count; i++)
		count += observed.instances[i].phase == phase;
	fleet_status_reset(&observed);
	return count;
}

/* What runs goes on, even where it should be replaced; what should start waits for a host that is
 * mended, and for the next plan. */
static void a_hold_keeps_vms_from_starting_and_from_ending(void **state)
{
	struct fleet *few = make_fleet(0, 2), *more = make_fleet(0, 5);
	struct error err = { 0 };
	struct scene scene;

	(void)state;
	replacements = restarts = 0;
	more->specs[1]->cpus = 7;
	make_scene(&scene, 16);
	assert_int_equal(open_roster(&scene, NULL), 0);
	roster_hold(scene.roster, NULL);
	apply(&scene, few);
	assert_int_equal(count_in(&scene, PHASE_RUNNING), 2);
	roster_hold(scene.roster, "smt: on");
	apply(&scene, more);
	assert_int_equal(count_in(&scene, PHASE_RUNNING), 2);
	assert_int_equal(count_in(&scene, PHASE_FAILED), 3);
	assert_int_equal(replacements, 0);
	assert_true(roster_is_settled(scene.roster));
	assert_int_equal(roster_restart(scene.roster, "acme/vm00000", &err), -1);
	assert_string_equal(err.text, "acme/vm00000: not restarted: smt: on");
	assert_int_equal(restarts, 0);
	roster_hold(scene.roster, NULL);
	assert_int_equal(count_in(&scene, PHASE_FAILED), 3);
	apply(&scene, more);
	assert_int_equal(count_in(&scene, PHASE_RUNNING), 5);
	assert_int_equal(replacements, 1);
	assert_int_equal(roster_restart(scene.roster, "acme/vm00000", &err), 0);
	assert_int_equal(restarts, 1);
	end_scene(&scene);
	fleet_free(few);
	fleet_free(more);
}

static char told[256];

static void on_guard(void *data, const char *name, const struct net_event *event)
{
	assert_ptr_equal(data, told);
	snprintf(told, sizeof(told), "%s %s", name, net_event_name(event->kind));
}

/* What net/ says of a slot is told of the VM in it; a lost tap ends that VM and no other. */
static void test_guards(void **state)
{
	struct net_event event = { .slot = 1, .message = "" };
	struct net_view view;
	struct fleet *fleet = make_fleet(0, 3);
	struct scene scene;
	struct error err;

	(void)state;
	make_scene(&scene, 100);
	assert_int_equal(open_roster(&scene, NULL), 0);
	apply(&scene, fleet);
	assert_int_equal(roster_watch_guards(scene.roster, on_guard, told, NULL), 0);
	net_told(net_told_data, &event);
	assert_string_equal(told, "acme/vm00001 drop");
	assert_null(unguarded);
	event = (struct net_event){ NET_EVENT_LOST, .slot = 2, .message = "the tap is gone" };
	net_told(net_told_data, &event);
	assert_string_equal(told, "acme/vm00002 lost");
	assert_int_equal(instance_slot(unguarded), 2);
	event = (struct net_event){ NET_EVENT_DROP, .slot = 77, .message = "" };
	net_told(net_told_data, &event); /* of nobody: just gone */
	assert_string_equal(told, "acme/vm00002 lost");
	assert_int_equal(roster_guard(scene.roster, "acme/vm00001", &view, &err), -1);
	assert_string_equal(err.text, "acme/vm00001: it has no tap now");
	end_scene(&scene);
	fleet_free(fleet);
}

static struct fleet *make_dependent_fleet(const char *line)
{
	struct fleet *fleet = make_fleet(0, 3);
	struct spec *second = fleet->specs[1];

	free(second->vm);
	free(second->name);
	second->vm = xstrdup("vm00000");
	second->name = xstrdup("acme/vm00000.2");
	second->replica = 2;
	strv_add(&fleet->specs[2]->depends_on, line);
	return fleet;
}

static void who_waits_for_whom(void **state)
{
	static const struct {
		const char *line;
		enum phase phase; /* of the second replica; the first is as it should be */
		enum health health;
		bool is_stuck;
		enum instance_wait wait;
		const char *text;
	} rows[] = {
		{ "vm00000=started", PHASE_RUNNING, HEALTH_NONE, false, WAIT_NOT, "" },
		{ "vm00000=started", PHASE_RUNNING, HEALTH_UNHEALTHY, false, WAIT_NOT, "" },
		{ "vm00000=started", PHASE_STOPPED, HEALTH_NONE, false, WAIT_NOT, "" },
		{ "vm00000=started", PHASE_BOOTING, HEALTH_NONE, false, WAIT_ON_WAY,
		  "started: it is booting" },
		{ "vm00000=started", PHASE_FAILED, HEALTH_NONE, false, WAIT_STUCK,
		  "started: it is failed" },
		{ "vm00000=started", PHASE_PAUSED, HEALTH_NONE, false, WAIT_STUCK,
		  "started: it is paused" },
		{ "vm00000=started", PHASE_PREPARING, HEALTH_NONE, false, WAIT_ON_WAY,
		  "started: it is preparing" },
		{ "vm00000=started", PHASE_PREPARING, HEALTH_NONE, true, WAIT_STUCK,
		  "started: it is preparing" },
		{ "vm00000=healthy", PHASE_RUNNING, HEALTH_HEALTHY, false, WAIT_NOT, "" },
		{ "vm00000=healthy", PHASE_RUNNING, HEALTH_STARTING, false, WAIT_ON_WAY,
		  "healthy: it is running, starting" },
		{ "vm00000=healthy", PHASE_RUNNING, HEALTH_NONE, false, WAIT_ON_WAY,
		  "healthy: it is running" },
		{ "vm00000=healthy", PHASE_RUNNING, HEALTH_UNHEALTHY, false, WAIT_STUCK,
		  "healthy: it is running, unhealthy" },
		{ "vm00000=healthy", PHASE_STOPPED, HEALTH_NONE, false, WAIT_STUCK,
		  "healthy: it is stopped" },
		{ "vm00009=healthy", PHASE_STOPPED, HEALTH_NONE, false, WAIT_NOT, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct fleet *fleet = make_dependent_fleet(rows[i].line);
		char text[256] = "", wanted[128] = "";
		struct scene scene;

		make_scene(&scene, 16);
		assert_int_equal(open_roster(&scene, NULL), 0);
		apply(&scene, fleet);
		made[0]->health = HEALTH_HEALTHY;
		made[1]->phase = rows[i].phase;
		made[1]->health = rows[i].health;
		made[1]->is_stuck = rows[i].is_stuck;
		assert_int_equal(
			made[2]->context->wait(made[2]->context->data, fleet->specs[2], text),
			rows[i].wait);
		if (*rows[i].text)
			snprintf(wanted, sizeof(wanted), "waits until acme/vm00000.2 is %s",
				 rows[i].text);
		assert_string_equal(text, wanted);
		end_scene(&scene);
		fleet_free(fleet);
	}
}

/* Once, and when control is back in the loop. */
static void whoever_waits_is_woken_by_a_change(void **state)
{
	struct fleet *fleet = make_dependent_fleet("vm00000=started");
	struct scene scene;

	(void)state;
	make_scene(&scene, 16);
	assert_int_equal(open_roster(&scene, NULL), 0);
	apply(&scene, fleet);
	run_for(&scene, 20);
	made[2]->wakes = 0;
	made[0]->context->changed(made[0]->context->data, made[0]);
	made[1]->context->changed(made[1]->context->data, made[1]);
	assert_int_equal(made[2]->wakes, 0);
	run_for(&scene, 20);
	assert_int_equal(made[2]->wakes, 1);
	run_for(&scene, 20);
	assert_int_equal(made[2]->wakes, 1);
	/* One that waits for what will not come is as settled as that. */
	made[2]->phase = PHASE_PREPARING;
	assert_false(roster_is_settled(scene.roster));
	made[2]->is_stuck = true;
	assert_true(roster_is_settled(scene.roster));
	end_scene(&scene);
	fleet_free(fleet);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guards),
		cmocka_unit_test(the_guards_slots_are_the_limit),
		cmocka_unit_test(successors_wait_for_slots),
		cmocka_unit_test(a_slot_beyond_the_range_refuses_the_start),
		cmocka_unit_test(a_slot_that_cannot_be_freed_is_not_used),
		cmocka_unit_test(a_hold_keeps_vms_from_starting_and_from_ending),
		cmocka_unit_test(who_waits_for_whom),
		cmocka_unit_test(whoever_waits_is_woken_by_a_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
