/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guard does over time: rates, by a clock that the test turns, and values that change
 * while frames pass. Frames run by BPF_PROG_TEST_RUN; test_guard.c has their verdicts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "guard_host.h"

enum {
	SECOND_NS = 1000000000,
	FLIPS_FRAMES = 250000,
	FLIPS_MIN = 20,
};

struct frame {
	uint8_t bytes[FRAME_MAX];
	size_t length;
	uint32_t gso_size;
};

static struct frame make_frame(const char *hex, size_t length, uint32_t gso_size)
{
	struct frame frame = { .length = length, .gso_size = gso_size };

	put_hex(frame.bytes, hex);
	return frame;
}

/* Runs the frame so often; the verdict of the last. */
static int run(const struct guard *guard, const struct frame *frame, bool is_egress, int repeat)
{
	struct __sk_buff context = { .gso_size = frame->gso_size };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &context, .ctx_size_in = sizeof(context),
		    .data_in = frame->bytes, .data_size_in = (uint32_t)frame->length,
		    .repeat = repeat);

	if (bpf_prog_test_run_opts(guard_program_fd(guard, is_egress), &opts) < 0)
		fail_msg("BPF_PROG_TEST_RUN: %s", strerror(errno));
	return (int)opts.retval;
}

static uint64_t counted(struct guard *guard, enum guard_reason reason)
{
	struct guard_counts counts;
	struct error err;

	must(guard_counts_read(guard, SLOT, &counts, &err));
	return counts.packets[reason];
}

static void set_rate(struct guard *guard, uint64_t bits, uint32_t packets)
{
	struct guard_vm vm = make_vm(SLOT, 1, IP_A, A6);
	struct error err;

	vm.rate_bits = bits;
	vm.rate_packets = packets;
	must(guard_set_vm(guard, LOOPBACK, &vm, &err));
	must(guard_counts_clear(guard, SLOT, &err));
}

static void end_guard(struct guard *guard)
{
	struct error err;

	must(guard_clear_vm(guard, LOOPBACK, SLOT, &err));
	must(guard_remove(guard, &err));
	guard_close(guard);
}

/* --- rates --------------------------------------------------------------------------------------
 */

static uint64_t clock_ns = 50 * (uint64_t)SECOND_NS;

/* Offers so many frames over one second of the guard's clock; how many passed. */
static uint64_t offer(struct guard *guard, const struct frame *frame, bool is_egress,
		      uint64_t offered)
{
	uint64_t passed = 0;

	for (uint64_t i = 0; i < offered; i++) {
		clock_ns += SECOND_NS / offered;
		guard_turn_clock(guard, clock_ns);
		passed += run(guard, frame, is_egress, 1) == NEXT;
	}
	return passed;
}

static void assert_near(uint64_t value, uint64_t wanted)
{
	if (value * 100 < wanted * 99 || value * 100 > wanted * 101)
		fail_msg("%llu passed, and %llu should have", (unsigned long long)value,
			 (unsigned long long)wanted);
}

/* Twenty times of what may pass is offered. The first second holds what a pause allows besides. */
static void check_rate(struct guard *guard, const struct frame *frame, bool is_egress,
		       uint64_t wanted)
{
	uint64_t passed, before;

	clock_ns += 100 * (uint64_t)SECOND_NS;
	passed = offer(guard, frame, is_egress, wanted * 20);
	assert_near(passed, wanted + wanted / 10 + 1);
	before = counted(guard, is_egress ? GUARD_RATE_IN : GUARD_RATE);
	passed = offer(guard, frame, is_egress, wanted * 20);
	assert_near(passed, wanted);
	assert_int_equal(counted(guard, is_egress ? GUARD_RATE_IN : GUARD_RATE) - before,
			 wanted * 20 - passed);
}

static void test_rates(void **state)
{
	const struct frame udp = make_frame(UDP4, 1000, 0);
	/* Two segments of 500 bytes and a header of 54 each. */
	const struct frame segments = make_frame(TCP4, 54 + 2 * 512, 512);
	/* 512 bytes and one: as long as the others' first, with a header. */
	const struct frame uneven = make_frame(TCP4, 54 + 513, 512);
	struct guard *guard;

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ .has_test_clock = true });
	set_rate(guard, 8000000, 0);
	check_rate(guard, &udp, false, 1000);
	check_rate(guard, &udp, true, 1000);
	set_rate(guard, 8 * 1000 * (54 + 54 + 1024), 0);
	check_rate(guard, &segments, false, 1000);
	check_rate(guard, &segments, true, 1000);
	set_rate(guard, 8 * 500 * (54 + 54 + 513), 0);
	check_rate(guard, &uneven, false, 500);
	set_rate(guard, 0, 600);
	check_rate(guard, &udp, false, 600);
	check_rate(guard, &segments, false, 300);
	check_rate(guard, &segments, true, 300);
	/* Whichever is reached first. */
	set_rate(guard, 8000000, 500);
	check_rate(guard, &udp, false, 500);
	set_rate(guard, 8 * 1000 * 200, 500);
	check_rate(guard, &udp, false, 200);
	end_guard(guard);
}

/* What is asked of the gateway is charged, what is dropped is not, and no rate is no limit. */
static void test_what_a_rate_charges(void **state)
{
	const struct frame arp = make_frame(ALL ME "08060001080006040001" ME IP_A "000000000000"
						   "a9fe0101",
					    42, 0);
	const struct frame udp = make_frame(UDP4, 1000, 0);
	struct frame spoofed = udp;
	struct guard *guard;

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ .has_test_clock = true });
	spoofed.bytes[6] ^= 2;
	set_rate(guard, 0, 100);
	guard_turn_clock(guard, clock_ns);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(run(guard, &spoofed, false, 1), SHOT);
	assert_int_equal(counted(guard, GUARD_SOURCE_MAC), 1000);
	/* 10 in the slack of 100 ms, and the one at its end */
	for (int i = 0; i < 11; i++)
		assert_int_equal(run(guard, &arp, false, 1), REDIRECT);
	assert_int_equal(run(guard, &arp, false, 1), SHOT);
	assert_int_equal(run(guard, &udp, false, 1), SHOT);
	assert_int_equal(counted(guard, GUARD_RATE), 2);
	/* A new rate begins anew; so does none. */
	set_rate(guard, 0, 100);
	assert_int_equal(run(guard, &udp, false, 1), NEXT);
	set_rate(guard, 0, 0);
	assert_int_equal(run(guard, &udp, false, 100000), NEXT);
	assert_int_equal(counted(guard, GUARD_ACCEPT), 100000);
	end_guard(guard);
}

/* --- changes under load -------------------------------------------------------------------------
 */

/* Turns one value into another and back until it is killed. */
static pid_t start_flipping(struct guard *guard, const struct guard_vm values[2],
			    atomic_uint *flips)
{
	pid_t pid = fork();
	struct error err;

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	for (unsigned i = 1;; i++) {
		if (guard_set_vm(guard, LOOPBACK, &values[i % 2], &err) < 0)
			_exit(1);
		atomic_fetch_add(flips, 1);
	}
}

struct met {
	uint64_t accept, source_mac, jumbo;
};

/* Runs the frame so often, and adds what it met. */
static void run_and_count(struct guard *guard, const struct frame *frame, int repeat,
			  struct met *met)
{
	struct error err;

	must(guard_counts_clear(guard, SLOT, &err));
	run(guard, frame, false, repeat);
	met->accept += counted(guard, GUARD_ACCEPT);
	met->source_mac += counted(guard, GUARD_SOURCE_MAC);
	met->jumbo += counted(guard, GUARD_JUMBO);
}

/* Two million frames while the VM's MAC and MTU change together. The first frame passes by the one
 * value and is too long for the other; the second has the other's MAC, and is too long as well. A
 * mixture would refuse the MAC of the first, or pass the second. */
static void test_a_frame_meets_one_value_or_the_other(void **state)
{
	struct guard_vm values[2] = { make_vm(SLOT, 1, IP_A, A6), make_vm(SLOT, 1, IP_A, A6) };
	const struct frame first = make_frame(UDP4, 100, 0);
	struct met met_first = { 0 }, met_second = { 0 };
	struct frame second = first;
	struct guard *guard;
	atomic_uint *flips;
	uint64_t runs = 0;
	int status;
	pid_t pid;

	(void)state;
	NEEDS_ROOT();
	flips = mmap(NULL, sizeof(*flips), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_true(flips != MAP_FAILED);
	guard = open_guard((struct guard_options){ 0 });
	values[1].mac[5] ^= 1;
	values[1].mtu = 60;
	second.bytes[11] ^= 1;
	set_rate(guard, 0, 0);
	pid = start_flipping(guard, values, flips);
	while (runs < 1000000 || atomic_load(flips) < FLIPS_MIN) {
		run_and_count(guard, &first, FLIPS_FRAMES, &met_first);
		run_and_count(guard, &second, FLIPS_FRAMES, &met_second);
		runs += FLIPS_FRAMES;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	print_message("# %u changes, %llu frames of each kind\n", atomic_load(flips),
		      (unsigned long long)runs);
	assert_int_equal(met_first.accept + met_first.jumbo, runs);
	assert_int_equal(met_second.source_mac + met_second.jumbo, runs);
	munmap(flips, sizeof(*flips));
	end_guard(guard);
}

/* --- faults -------------------------------------------------------------------------------------
 */

/* Entries of devices that are long gone, as many as there is room for. */
static void test_a_full_map_is_refused(void **state)
{
	struct guard_vm vm = make_vm(SLOT, 1, IP_A, A6), other = make_vm(8, 1, IP_A, A6);
	struct guard_vm filler = make_vm(100, 1, "00000000", ANY6);
	struct guard *guard;
	struct error err;
	char path[64];
	int vms;

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ 0 });
	snprintf(path, sizeof(path), "%s/vms", bpf_dir);
	vms = bpf_obj_get(path);
	assert_true(vms >= 0);
	for (unsigned device = 100000; device < 100000 + GUARD_SLOTS_MAX; device++)
		assert_int_equal(bpf_map_update_elem(vms, &device, &filler, BPF_ANY), 0);
	assert_int_equal(guard_set_vm(guard, LOOPBACK, &vm, &err), -1);
	assert_string_equal(err.text, "guard: map 'vms' is full (4096 VMs)");
	assert_false(guard_has_vm(guard, LOOPBACK, &vm));
	/* A sweep makes room, and the refused VM holds no address. */
	must(guard_sweep(guard, &err));
	must(guard_set_vm(guard, 1001, &other, &err));
	must(guard_clear_vm(guard, 1001, 8, &err));
	close(vms);
	end_guard(guard);
}

/* Of a daemon that was killed in between: the guard goes by the slot, whichever device it finds. */
static void test_a_slot_has_one_device(void **state)
{
	struct guard_vm vm = make_vm(SLOT, 1, IP_A, A6);
	const unsigned gone = 4711;
	struct guard *guard;
	struct error err;
	char path[64];
	int vms;

	(void)state;
	NEEDS_ROOT();
	guard = open_guard((struct guard_options){ 0 });
	must(guard_set_vm(guard, LOOPBACK, &vm, &err));
	snprintf(path, sizeof(path), "%s/vms", bpf_dir);
	vms = bpf_obj_get(path);
	assert_int_equal(bpf_map_update_elem(vms, &gone, &vm, BPF_ANY), 0);
	guard_close(guard);
	guard = open_guard((struct guard_options){ 0 });
	assert_true(guard_has_vm(guard, LOOPBACK, &vm) != guard_has_vm(guard, gone, &vm));
	must(guard_set_vm(guard, LOOPBACK, &vm, &err));
	assert_true(guard_has_vm(guard, LOOPBACK, &vm) && !guard_has_vm(guard, gone, &vm));
	close(vms);
	end_guard(guard);
}

/* From now on bpf(2) of this command fails so; of any command when it is negative. */
static void forbid_bpf(int command, int number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)command, 0, command < 0 ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)number),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(1);
}

/* What is said where the kernel answers so. */
static void open_where(int command, int number, char text[1024])
{
	int ends[2], status;
	ssize_t length;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct guard_options options = { .bpf_dir = bpf_dir };
		struct error err = { .text = "opened" };
		struct guard *guard;

		forbid_bpf(command, number);
		guard_open(&options, &guard, &err);
		_exit(write(ends[1], err.text, strlen(err.text)) < 0);
	}
	close(ends[1]);
	length = read(ends[0], text, 1023);
	assert_true(length > 0);
	text[length] = '\0';
	close(ends[0]);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void test_a_kernel_that_lacks_something_is_named(void **state)
{
	static const char refused[] = "guard: the kernel refuses BPF (needs CAP_BPF, CAP_PERFMON "
				      "and CAP_NET_ADMIN)";
	char text[1024];

	(void)state;
	NEEDS_ROOT();
	open_where(-1, ENOSYS, text);
	assert_string_equal(text, "guard: the kernel has no bpf() (CONFIG_BPF_SYSCALL)");
	open_where(BPF_PROG_LOAD, EINVAL, text);
	assert_string_equal(text, "guard: the kernel has no BPF programs for traffic control "
				  "(CONFIG_NET_CLS_ACT and CONFIG_BPF_SYSCALL)");
	open_where(BPF_PROG_LOAD, EPERM, text);
	if (strncmp(text, refused, strlen(refused)) != 0)
		fail_msg("%s", text);
	rmdir(bpf_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_what_a_rate_charges),
		cmocka_unit_test(test_a_frame_meets_one_value_or_the_other),
		cmocka_unit_test(test_a_full_map_is_refused),
		cmocka_unit_test(test_a_slot_has_one_device),
		cmocka_unit_test(test_a_kernel_that_lacks_something_is_named),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
