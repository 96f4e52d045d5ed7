/* SPDX-License-Identifier: Apache-2.0 */
/* What the golden plans cannot show: every field of the table, phases, order, and size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "plan/plan.h"

static struct spec *make_spec(const char *vm, uint32_t replica)
{
	struct spec *spec = spec_new();

	spec->name = replica == 1 ? xasprintf("acme/%s", vm) : xasprintf("acme/%s.%u", vm, replica);
	spec->tenant = xstrdup("acme");
	spec->vm = xstrdup(vm);
	spec->replica = replica;
	spec->image = xstrdup("nginx");
	spec->cpus = 1;
	return spec;
}

static struct fleet *make_fleet(struct spec *const *specs, size_t count)
{
	struct fleet *fleet = fleet_new();

	fleet->specs = xcalloc(count, sizeof(*fleet->specs));
	for (size_t i = 0; i < count; i++)
		fleet->specs[fleet->spec_count++] = specs[i];
	return fleet;
}

/* A different value of the field, whatever its type. */
static void change(struct spec *spec, const struct spec_field *field)
{
	void *value = (char *)spec + field->offset;

	switch (field->type) {
	case FIELD_STRING:
		free(*(char **)value);
		*(char **)value = xstrdup("changed");
		break;
	case FIELD_STRV:
		strv_add(value, "KEY=changed");
		break;
	case FIELD_U32:
		*(uint32_t *)value += 1;
		break;
	case FIELD_U64:
		*(uint64_t *)value += 1;
		break;
	case FIELD_BOOL:
		*(bool *)value = !*(bool *)value;
		break;
	case FIELD_ADDRESSES:
		assert_int_equal(
			address_parse("10.0.0.1", &((struct address_list *)value)->items[0]), 0);
		((struct address_list *)value)->count = 1;
		break;
	}
}

/* Each row of spec_fields does what its class says, and prints. */
static void test_every_field(void **state)
{
	(void)state;
	for (size_t i = 0; i < spec_field_count; i++) {
		const struct spec_field *field = &spec_fields[i];
		struct spec *before = make_spec("web", 1), *after = make_spec("web", 1);
		struct instance_status status = { .spec = before, .phase = PHASE_RUNNING };
		struct fleet_status observed = { .instances = &status, .count = 1 };
		struct fleet *fleet = make_fleet(&after, 1);
		struct strbuf text = { 0 };
		enum action_kind expected = field->class == FIELD_REPLACE ? ACTION_REPLACE
									  : ACTION_UPDATE;
		struct plan plan;

		if (field->class == FIELD_IDENTITY) {
			/* The place is no identity: a VM may move within its file. */
			if (strcmp(field->name, "place") == 0)
				change(after, field);
			expected = ACTION_KEEP;
		} else {
			change(after, field);
		}
		plan_make(fleet, &observed, &plan);
		plan_print(&plan, &observed, &text);
		assert_int_equal(plan.count, 1);
		assert_int_equal(plan.actions[0].kind, expected);
		assert_int_equal(plan.actions[0].fields.count, expected != ACTION_KEEP);
		assert_int_equal(plan_is_empty(&plan), expected == ACTION_KEEP);
		if (expected != ACTION_KEEP) {
			char *shown = xasprintf("  %s:", plan.actions[0].fields.items[0]);

			assert_non_null(strstr(strbuf_text(&text), shown));
			free(shown);
		}
		strbuf_reset(&text);
		plan_reset(&plan);
		fleet_free(fleet);
		spec_free(before);
	}
}

/* Whatever became of an instance, an equal spec is no reason to touch it. */
static void test_phases(void **state)
{
	(void)state;
	for (enum phase phase = PHASE_ABSENT; phase < PHASE_COUNT; phase++) {
		struct spec *before = make_spec("web", 1), *after = make_spec("web", 1);
		struct instance_status status = { .spec = before, .phase = phase };
		struct fleet_status observed = { .instances = &status, .count = 1 };
		struct fleet *fleet = make_fleet(&after, 1);
		struct plan plan;

		plan_make(fleet, &observed, &plan);
		assert_int_equal(plan.counts[ACTION_KEEP], 1);
		assert_ptr_equal(plan.actions[0].desired, after);
		plan_reset(&plan);
		fleet_free(fleet);
		spec_free(before);
	}
}

/* Observed out of order: still no removal of what is desired. Kinds come in their order. */
static void test_order(void **state)
{
	struct spec *seen[] = { make_spec("z", 1), make_spec("web", 10), make_spec("web", 2),
				make_spec("web", 1), make_spec("b", 1) };
	struct spec *wanted[] = { make_spec("a", 1), make_spec("b", 1), make_spec("web", 1),
				  make_spec("web", 2), make_spec("web", 10) };
	static const struct {
		enum action_kind kind;
		const char *name;
	} expected[] = {
		{ ACTION_REMOVE, "acme/z" },	  { ACTION_REPLACE, "acme/web.2" },
		{ ACTION_UPDATE, "acme/web.10" }, { ACTION_CREATE, "acme/a" },
		{ ACTION_KEEP, "acme/b" },	  { ACTION_KEEP, "acme/web" },
	};
	struct instance_status statuses[5] = { 0 };
	struct fleet_status observed = { .instances = statuses, .count = 5 };
	struct fleet *fleet = make_fleet(wanted, 5);
	struct plan plan;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		statuses[i].spec = seen[i];
	wanted[3]->cpus = 2;
	wanted[4]->restart = RESTART_NO;
	plan_make(fleet, &observed, &plan);
	assert_int_equal(plan.count, 6);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(plan.actions[i].kind, expected[i].kind);
		assert_string_equal(plan.actions[i].name, expected[i].name);
	}
	assert_null(plan.actions[0].desired);
	plan_reset(&plan);
	fleet_free(fleet);
	for (size_t i = 0; i < 5; i++)
		spec_free(seen[i]);
}

/* The values of variables stay out of plans, which end up in logs. */
static void test_environment_is_not_shown(void **state)
{
	struct spec *before = make_spec("web", 1), *after = make_spec("web", 1);
	struct instance_status status = { .spec = before };
	struct fleet_status observed = { .instances = &status, .count = 1 };
	struct fleet *fleet = make_fleet(&after, 1);
	struct strbuf text = { 0 };
	struct plan plan;

	(void)state;
	strv_add(&before->environment, "A=old-secret");
	strv_add(&before->environment, "AB=gone-secret");
	strv_add(&after->environment, "A=new-secret");
	strv_add(&after->environment, "B=added-secret");
	plan_make(fleet, &observed, &plan);
	plan_print(&plan, &observed, &text);
	assert_string_equal(strbuf_text(&text),
			    "replace acme/web  environment: ~A -AB +B\n"
			    "plan: 0 to create, 0 to update, 1 to replace, 0 to remove, "
			    "0 unchanged\n");
	strbuf_reset(&text);
	plan_reset(&plan);
	fleet_free(fleet);
	spec_free(before);
}

/* A line break or an escape sequence in a value does not get out. */
static void test_control_characters(void **state)
{
	struct spec *before = make_spec("web", 1), *after = make_spec("web", 1);
	struct instance_status status = { .spec = before };
	struct fleet_status observed = { .instances = &status, .count = 1 };
	struct fleet *fleet = make_fleet(&after, 1);
	struct strbuf text = { 0 };
	struct plan plan;

	(void)state;
	strv_add(&after->labels, "note=a\nplan: \x1b[2J");
	plan_make(fleet, &observed, &plan);
	plan_print(&plan, &observed, &text);
	assert_string_equal(strbuf_text(&text),
			    "update  acme/web  labels: +note=a?plan: ?[2J\n"
			    "plan: 0 to create, 1 to update, 0 to replace, 0 to remove, "
			    "0 unchanged\n");
	strbuf_reset(&text);
	plan_reset(&plan);
	fleet_free(fleet);
	spec_free(before);
}

static void test_nothing(void **state)
{
	struct fleet_status observed = { 0 };
	struct fleet *fleet = fleet_new();
	struct strbuf text = { 0 };
	struct plan plan;

	(void)state;
	plan_make(fleet, &observed, &plan);
	plan_print(&plan, &observed, &text);
	assert_true(plan_is_empty(&plan));
	assert_string_equal(strbuf_text(&text), "plan: 0 to create, 0 to update, 0 to replace, "
						"0 to remove, 0 unchanged\n");
	strbuf_reset(&text);
	plan_reset(&plan);
	fleet_free(fleet);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(action_name(ACTION_REMOVE), "remove");
	assert_string_equal(action_name(ACTION_REPLACE), "replace");
	assert_string_equal(action_name(ACTION_UPDATE), "update");
	assert_string_equal(action_name(ACTION_CREATE), "create");
	assert_string_equal(action_name(ACTION_KEEP), "keep");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_field),
		cmocka_unit_test(test_phases),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_environment_is_not_shown),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
