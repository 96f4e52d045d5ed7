/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard against its model (guard_model.h): every frame of the table, then mutations of them and
 * random ones, through BPF_PROG_TEST_RUN. Verdict and counted reason must be the model's, for each
 * frame; what the flood shield drops must be a drop. Every rule of the model must have a row in the
 * table, so that no way for a frame to end is untested. FRAMES and SEED, of the environment, are
 * how many and which. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "tests/bpf/guard_model.h"
#include "tests/unit/guard_frames.h"

enum {
	RULES_MAX = 256,
	SEEDS_MAX = 256,
	LINEAR_MIN = 128, /* what the guard pulls */
	PREFIX = 14,	  /* the least that BPF_PROG_TEST_RUN takes */
	SHOWN = 128,
	FRAMES_DEFAULT = 200000,
	RULES_FRAMES = 1000000, /* so many meet every rule of the model */
};

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t length;
	size_t linear; /* 0: all of it */
	uint32_t gso_size;
};

struct fuzz {
	struct guard *guard;
	struct model model;
	int counts_fd;		     /* owned; the map that the guard counts in */
	struct guard_counts *counts; /* owned; one per CPU */
	int cpus;
	uint64_t counted[GUARD_REASONS_MAX]; /* when last read, of all CPUs */
	bool has_fragments;		     /* the kernel's BPF_PROG_TEST_RUN can split a frame */
	uint64_t random;
	uint64_t rules[RULES_MAX]; /* frames that ended by each */
	uint64_t judged, refused, shielded;
	struct frame seeds[SEEDS_MAX];
	size_t seed_count;
};

/* --- both judges --------------------------------------------------------------------------------
 */

static const char *word(enum guard_reason reason)
{
#define REASON_WORD(name, text, drop) text,
	static const char *const words[] = { GUARD_REASONS(REASON_WORD) };

	return reason < GUARD_REASON_COUNT ? words[reason] : "nothing";
}

/* The one reason that the guard has counted since the last call; GUARD_REASON_COUNT when it was
 * none, or several. */
static enum guard_reason read_reason(struct fuzz *fuzz)
{
	enum guard_reason found = GUARD_REASON_COUNT;
	uint32_t slot = SLOT;
	uint64_t sum = 0;

	assert_int_equal(bpf_map_lookup_elem(fuzz->counts_fd, &slot, fuzz->counts), 0);
	for (size_t i = 0; i < GUARD_REASONS_MAX; i++) {
		uint64_t counted = 0;

		for (int cpu = 0; cpu < fuzz->cpus; cpu++)
			counted += fuzz->counts[cpu].packets[i];
		if (counted != fuzz->counted[i])
			found = (enum guard_reason)i;
		sum += counted - fuzz->counted[i];
		fuzz->counted[i] = counted;
	}
	return sum == 1 ? found : GUARD_REASON_COUNT;
}

/* The verdict, or -EINVAL for what BPF_PROG_TEST_RUN does not take: an IP header cut short. */
static int run_guard(const struct fuzz *fuzz, const struct frame *frame, bool is_egress)
{
	struct __sk_buff context = { .gso_size = frame->gso_size };
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &context, .ctx_size_in = sizeof(context),
		    .data_in = frame->bytes, .data_size_in = (uint32_t)frame->length);

	context.data_end = (uint32_t)frame->linear;
	if (bpf_prog_test_run_opts(guard_program_fd(fuzz->guard, is_egress), &run) < 0) {
		assert_int_equal(errno, EINVAL);
		return -EINVAL;
	}
	return (int)run.retval;
}

static int verdict_of(enum guard_reason reason)
{
	if (reason == GUARD_ACCEPT || reason == GUARD_DELIVERED)
		return NEXT;
	return reason == GUARD_ANSWERED ? REDIRECT : SHOT;
}

static enum guard_reason ask_model(struct fuzz *fuzz, const struct frame *frame, bool is_egress)
{
	struct model_frame asked = { frame->bytes, frame->length, frame->length, frame->gso_size };
	enum guard_reason reason;

	if (frame->linear && frame->length > LINEAR_MIN)
		asked.readable = frame->linear > LINEAR_MIN ? frame->linear : LINEAR_MIN;
	fuzz->model.rule = RULES_MAX - 1;
	reason = is_egress ? model_to_guest(&fuzz->model, &asked)
			   : model_from_guest(&fuzz->model, &asked);
	assert_true(fuzz->model.rule < model_rule_count());
	fuzz->rules[fuzz->model.rule]++;
	return reason;
}

static void disagree(const struct fuzz *fuzz, const struct frame *frame, bool is_egress,
		     enum guard_reason found, enum guard_reason wanted, int verdict)
{
	char hex[2 * FRAME_MAX + 1];

	for (size_t i = 0; i < frame->length && i < SHOWN; i++)
		sprintf(hex + 2 * i, "%02x", frame->bytes[i]);
	fail_msg("%s the guest, gso_size %u, linear %zu, length %zu: the guard says %s (verdict "
		 "%d), guard_model.c:%u says %s:\n%s",
		 is_egress ? "to" : "from", frame->gso_size, frame->linear, frame->length,
		 word(found), verdict, model_rule_line(fuzz->model.rule), word(wanted), hex);
}

/* What the flood shield drops, the guard would drop, if perhaps for another of its reasons. */
static void check_shield(struct fuzz *fuzz, const struct frame *frame, enum guard_reason wanted)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame->bytes,
		    .data_size_in = (uint32_t)frame->length);
	enum guard_reason found;

	assert_int_equal(bpf_prog_test_run_opts(guard_shield_fd(fuzz->guard), &run), 0);
	if (run.retval == XDP_PASS)
		return;
	found = read_reason(fuzz);
	if (run.retval != XDP_DROP || found == GUARD_REASON_COUNT || wanted <= GUARD_DELIVERED)
		disagree(fuzz, frame, false, found, wanted, (int)run.retval);
	fuzz->shielded++;
}

static enum guard_reason compare(struct fuzz *fuzz, const struct frame *frame, bool is_egress)
{
	int verdict = run_guard(fuzz, frame, is_egress);
	enum guard_reason wanted, found;

	if (verdict == -EINVAL) {
		fuzz->refused++;
		return GUARD_REASON_COUNT;
	}
	found = read_reason(fuzz);
	wanted = ask_model(fuzz, frame, is_egress);
	if (found != wanted || verdict != verdict_of(wanted))
		disagree(fuzz, frame, is_egress, found, wanted, verdict);
	if (!is_egress)
		check_shield(fuzz, frame, wanted);
	fuzz->judged++;
	return found;
}

/* --- mutations ----------------------------------------------------------------------------------
 */

/* splitmix64: the same frames for the same seed, everywhere. */
static uint64_t random64(struct fuzz *fuzz)
{
	uint64_t z = fuzz->random += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static size_t below(struct fuzz *fuzz, size_t limit)
{
	return (size_t)(random64(fuzz) % limit);
}

static void put16(uint8_t *to, size_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static bool is_ip6(const struct frame *frame)
{
	return frame->length >= 54 && frame->bytes[12] == 0x86 && frame->bytes[13] == 0xdd;
}

/* A value that some rule asks for, at a place where one looks. */
static void put_value(struct fuzz *fuzz, struct frame *frame)
{
	static const char *const values[] = {
		GW,	    ME,		ALL,	    IP_A,   IP_B,   IP_X,	A6,
		B6,	    X6,		LL6,	    GW6,    ANY6,   "0a00000c", "a9fe0101",
		"ffffffff", "7f000001", "e0000001", "0800", "86dd", "0806",	"0043",
		"0223",	    "3333",	"2000",	    "0001", "0008", "01",	"02",
		"06",	    "11",	"2c",	    "3a",   "3c",   "00",	"ff",
		"2b",	    "45",	"60",	    "85",   "86",   "87",	"88",
		"89",	    "8f",	"05",	    "09",   "0101", "0201",	"0e01",
	};
	static const size_t places[] = { 0,  6,	 12, 14, 16, 18, 20, 21, 22, 23, 26, 28, 30,
					 34, 38, 46, 54, 55, 56, 58, 62, 64, 78, 80, 86, 94 };
	const char *value = values[below(fuzz, sizeof(values) / sizeof(values[0]))];

	put_hex(frame->bytes + places[below(fuzz, sizeof(places) / sizeof(places[0]))], value);
}

/* Makes room at `at` for eight bytes more, and lengthens the packet by them. */
static bool insert8(struct frame *frame, size_t at)
{
	if (at > frame->length || frame->length + 8 > FRAME_MAX)
		return false;
	memmove(frame->bytes + at + 8, frame->bytes + at, frame->length - at);
	memset(frame->bytes + at, 0, 8);
	frame->length += 8;
	put16(frame->bytes + 18, (size_t)(frame->bytes[18] << 8 | frame->bytes[19]) + 8);
	return true;
}

static void insert_extension(struct fuzz *fuzz, struct frame *frame)
{
	static const uint8_t kinds[] = { 0, 44, 60, 60, 43 };
	uint8_t *head = frame->bytes + 54;

	if (!is_ip6(frame) || !insert8(frame, 54))
		return;
	head[0] = frame->bytes[20];
	frame->bytes[20] = kinds[below(fuzz, sizeof(kinds))];
	if (frame->bytes[20] == 44 && below(fuzz, 2))
		head[3] = (uint8_t)(below(fuzz, 4) * 8 + below(fuzz, 2));
	if (frame->bytes[20] != 44 && !below(fuzz, 8))
		head[1] = (uint8_t)below(fuzz, 20);
}

static void insert_option(struct fuzz *fuzz, struct frame *frame)
{
	size_t at = frame->length >= 78 && frame->bytes[54] != 133 ? 78 : 62;
	static const char *const options[] = { "0101" ME, "0201" ME, "0e01010203040506",
					       "0101020000000bff", "0e02000000000000" };

	if (is_ip6(frame) && insert8(frame, at))
		put_hex(frame->bytes + at,
			options[below(fuzz, sizeof(options) / sizeof(options[0]))]);
}

static void resize(struct fuzz *fuzz, struct frame *frame)
{
	size_t length = below(fuzz, 4) ? PREFIX + below(fuzz, 150)
				       : PREFIX + below(fuzz, FRAME_MAX - PREFIX);

	if (!below(fuzz, 16))
		length = 1512 + below(fuzz, 5);
	if (length > frame->length)
		memset(frame->bytes + frame->length, 0, length - frame->length);
	frame->length = length;
	if (!below(fuzz, 2))
		return; /* else the header agrees */
	if (is_ip6(frame))
		put16(frame->bytes + 18, length - 54);
	else if (length >= 34)
		put16(frame->bytes + 16, length - 14);
}

static void choose_gso(struct fuzz *fuzz, struct frame *frame)
{
	static const uint32_t sizes[] = { 0, 1, 511, 512, 1000, 1448, 1500, 1501, 65535 };

	frame->gso_size = sizes[below(fuzz, sizeof(sizes) / sizeof(sizes[0]))];
}

static void mutate(struct fuzz *fuzz, struct frame *frame)
{
	size_t at = below(fuzz, frame->length < 130 ? frame->length : 130);

	switch (below(fuzz, 8)) {
	case 0:
		frame->bytes[at] ^= (uint8_t)(1 << below(fuzz, 8));
		break;
	case 1:
		frame->bytes[at] = (uint8_t)random64(fuzz);
		break;
	case 2:
	case 3:
		put_value(fuzz, frame);
		break;
	case 4:
		insert_extension(fuzz, frame);
		break;
	case 5:
		insert_option(fuzz, frame);
		break;
	case 6:
		resize(fuzz, frame);
		break;
	default:
		choose_gso(fuzz, frame);
	}
}

/* One in 16 is noise behind an Ethernet header, the others a seed with up to four mutations. */
static struct frame make_frame(struct fuzz *fuzz)
{
	struct frame frame = fuzz->seeds[below(fuzz, fuzz->seed_count)];

	if (!below(fuzz, 16))
		for (size_t i = below(fuzz, 2) * PREFIX; i < frame.length; i++)
			frame.bytes[i] = (uint8_t)random64(fuzz);
	for (size_t i = below(fuzz, 5); i > 0; i--)
		mutate(fuzz, &frame);
	if (fuzz->has_fragments && frame.length > PREFIX && !below(fuzz, 4))
		frame.linear = PREFIX + below(fuzz, frame.length - PREFIX);
	return frame;
}

/* --- tests --------------------------------------------------------------------------------------
 */

static void add_seed(struct fuzz *fuzz, const struct frame_case *each)
{
	struct frame *seed = &fuzz->seeds[fuzz->seed_count++];

	assert_true(fuzz->seed_count < SEEDS_MAX);
	seed->length = build(each, seed->bytes);
	seed->gso_size = each->gso_size;
}

/* This VM behind the device that BPF_PROG_TEST_RUN takes, one of its tenant, a stranger. */
static void set_vms(struct fuzz *fuzz)
{
	struct model *model = &fuzz->model;
	struct error err;

	model->vm = make_vm(SLOT, 1, IP_A, A6);
	put_hex((uint8_t *)&model->vm.ip4[1], "0a00000c");
	model->strangers[0] = make_vm(8, 1, IP_B, B6);
	model->strangers[1] = make_vm(9, 2, IP_X, X6);
	must(guard_set_vm(fuzz->guard, LOOPBACK, &model->vm, &err));
	must(guard_set_vm(fuzz->guard, 1001, &model->strangers[0], &err));
	must(guard_set_vm(fuzz->guard, 1002, &model->strangers[1], &err));
}

static struct fuzz *open_fuzz(void)
{
	const struct frame_case split = { "split", UDP4, .length = 200 };
	struct fuzz *fuzz = xcalloc(1, sizeof(*fuzz));
	struct frame frame = { .linear = 64 };
	char path[sizeof(bpf_dir) + 8];

	fuzz->guard = open_guard((struct guard_options){ 0 });
	snprintf(path, sizeof(path), "%s/counts", bpf_dir);
	fuzz->counts_fd = bpf_obj_get(path);
	assert_true(fuzz->counts_fd >= 0);
	fuzz->cpus = libbpf_num_possible_cpus();
	assert_true(fuzz->cpus > 0);
	fuzz->counts = xcalloc((size_t)fuzz->cpus, sizeof(*fuzz->counts));
	set_vms(fuzz);
	for (size_t i = 0; i < COUNT_OF_GUEST; i++)
		add_seed(fuzz, &guest_cases[i]);
	for (size_t i = 0; i < COUNT_OF_HOST; i++)
		add_seed(fuzz, &host_cases[i]);
	frame.length = build(&split, frame.bytes);
	fuzz->has_fragments = run_guard(fuzz, &frame, false) == NEXT;
	read_reason(fuzz);
	assert_true(model_rule_count() < RULES_MAX);
	return fuzz;
}

static void close_fuzz(struct fuzz *fuzz)
{
	struct error err;

	must(guard_clear_vm(fuzz->guard, LOOPBACK, SLOT, &err));
	must(guard_clear_vm(fuzz->guard, 1001, 8, &err));
	must(guard_clear_vm(fuzz->guard, 1002, 9, &err));
	must(guard_remove(fuzz->guard, &err));
	guard_close(fuzz->guard);
	close(fuzz->counts_fd);
	free(fuzz->counts);
	free(fuzz);
}

static void assert_every_rule(const struct fuzz *fuzz, const char *by)
{
	unsigned missing = 0;

	for (unsigned rule = 0; rule < model_rule_count(); rule++) {
		if (fuzz->rules[rule] || model_rule_is_of_taps(rule))
			continue;
		missing++;
		print_error("guard_model.c:%u: no %s ends by this rule\n", model_rule_line(rule),
			    by);
	}
	assert_int_equal(missing, 0);
}

static void test_every_rule_has_a_row(void **state)
{
	struct fuzz *fuzz;

	(void)state;
	NEEDS_ROOT();
	fuzz = open_fuzz();
	for (size_t i = 0; i < fuzz->seed_count; i++) {
		bool is_egress = i >= COUNT_OF_GUEST;
		const struct frame_case *each = is_egress ? &host_cases[i - COUNT_OF_GUEST]
							  : &guest_cases[i];
		enum guard_reason reason = compare(fuzz, &fuzz->seeds[i], is_egress);

		if (reason != each->reason)
			fail_msg("%s: %s instead of %s", each->name, word(reason),
				 word(each->reason));
	}
	assert_every_rule(fuzz, "row");
	close_fuzz(fuzz);
}

static uint64_t environment(const char *name, uint64_t fallback)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : fallback;
}

static void test_guard_and_model_agree(void **state)
{
	uint64_t seed = environment("SEED", (uint64_t)time(NULL));
	uint64_t frames = environment("FRAMES", FRAMES_DEFAULT);
	struct fuzz *fuzz;

	(void)state;
	NEEDS_ROOT();
	fuzz = open_fuzz();
	fuzz->random = seed;
	print_message("# SEED=%" PRIu64 " FRAMES=%" PRIu64 "%s\n", seed, frames,
		      fuzz->has_fragments ? ", some not linear" : "");
	while (fuzz->judged < frames) {
		struct frame frame = make_frame(fuzz);

		compare(fuzz, &frame, !below(fuzz, 8));
	}
	print_message("# %" PRIu64 " frames judged alike, %" PRIu64
		      " that BPF_PROG_TEST_RUN does not take, %u rules; the shield would have "
		      "dropped %" PRIu64 "\n",
		      fuzz->judged, fuzz->refused, model_rule_count(), fuzz->shielded);
	assert_true(fuzz->shielded > 0);
	if (frames >= RULES_FRAMES)
		assert_every_rule(fuzz, "frame");
	close_fuzz(fuzz);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_rule_has_a_row),
		cmocka_unit_test(test_guard_and_model_agree),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
