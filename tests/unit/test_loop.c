/* SPDX-License-Identifier: Apache-2.0 */
/* loop/loop: what its header promises about when callbacks fire and what they may free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "loop/loop.h"

/* What the callbacks of one test share. */
struct scene {
	struct loop *loop;
	struct watch *a, *b;
	int fds[2]; /* a pipe */
	unsigned fired, seen_events;
	uint64_t began_ms;
};

static int setup(void **state)
{
	static struct scene scene;

	scene = (struct scene){ .loop = loop_new(NULL), .began_ms = loop_now_ms() };
	*state = &scene;
	return scene.loop && pipe2(scene.fds, O_CLOEXEC | O_NONBLOCK) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	watch_free(scene->a);
	watch_free(scene->b);
	close(scene->fds[0]);
	close(scene->fds[1]);
	loop_free(scene->loop);
	return 0;
}

static void stop(struct watch *watch, unsigned events, void *data)
{
	struct scene *scene = data;

	(void)watch;
	scene->fired++;
	scene->seen_events |= events;
	loop_stop(scene->loop);
}

static void count(struct watch *watch, unsigned events, void *data)
{
	struct scene *scene = data;

	(void)watch;
	(void)events;
	scene->fired++;
}

static void test_timer_is_never_early(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_timer(scene->loop, 50, stop, scene);
	loop_run(scene->loop);
	assert_true(loop_now_ms() - scene->began_ms >= 50);
	assert_int_equal(scene->fired, 1);
	assert_int_equal(scene->seen_events, 0);
}

static void test_timer_fires_once_until_rearmed(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_timer(scene->loop, 1, count, scene);
	scene->b = loop_timer(scene->loop, 60, stop, scene);
	loop_run(scene->loop);
	assert_int_equal(scene->fired, 2);
	watch_rearm(scene->a, 1);
	watch_rearm(scene->b, 60);
	loop_run(scene->loop);
	assert_int_equal(scene->fired, 4);
}

static void test_rearming_moves_a_timer(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_timer(scene->loop, 1, count, scene);
	watch_rearm(scene->a, 60 * 1000);
	scene->b = loop_timer(scene->loop, 50, stop, scene);
	loop_run(scene->loop);
	assert_int_equal(scene->fired, 1);
}

/* A callback that took long does not shorten the timers it sets. */
static void rearm_after_a_nap(struct watch *watch, unsigned events, void *data)
{
	struct scene *scene = data;

	(void)watch;
	(void)events;
	usleep(100 * 1000);
	scene->began_ms = loop_now_ms();
	scene->b = loop_timer(scene->loop, 80, stop, scene);
}

static void test_a_long_callback_does_not_shorten_timers(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_timer(scene->loop, 0, rearm_after_a_nap, scene);
	loop_run(scene->loop);
	assert_true(loop_now_ms() - scene->began_ms >= 80);
}

/* --- soon --------------------------------------------------------------------------------------
 */

static void ask_for_soon(struct watch *watch, unsigned events, void *data)
{
	struct scene *scene = data;

	(void)watch;
	(void)events;
	scene->b = loop_soon(scene->loop, stop, scene);
	assert_int_equal(scene->fired, 0);
}

static void test_soon_is_not_now(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_soon(scene->loop, ask_for_soon, scene);
	assert_int_equal(scene->fired, 0);
	loop_run(scene->loop);
	assert_int_equal(scene->fired, 1);
}

/* --- descriptors -------------------------------------------------------------------------------
 */

static void test_read(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_io(scene->loop, scene->fds[0], LOOP_READ, stop, scene);
	assert_int_equal(write(scene->fds[1], "x", 1), 1);
	loop_run(scene->loop);
	assert_int_equal(scene->seen_events, LOOP_READ);
}

static void test_end_of_file_is_readable(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_io(scene->loop, scene->fds[0], LOOP_READ, stop, scene);
	close(scene->fds[1]);
	scene->fds[1] = -1;
	loop_run(scene->loop);
	assert_int_equal(scene->seen_events, LOOP_READ);
}

static void test_paused(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_io(scene->loop, scene->fds[0], 0, count, scene);
	assert_int_equal(write(scene->fds[1], "x", 1), 1);
	scene->b = loop_timer(scene->loop, 30, stop, scene);
	loop_run(scene->loop);
	assert_int_equal(scene->fired, 1);

	watch_set_events(scene->a, LOOP_READ);
	watch_set_events(scene->a, 0);
	watch_rearm(scene->b, 30);
	loop_run(scene->loop);
	assert_int_equal(scene->fired, 2);
}

static void test_events_can_change(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_io(scene->loop, scene->fds[1], 0, stop, scene);
	watch_set_events(scene->a, LOOP_READ | LOOP_WRITE);
	loop_run(scene->loop);
	assert_true(scene->seen_events & LOOP_WRITE);
}

/* --- freeing -----------------------------------------------------------------------------------
 */

/* Frees everything, then goes on using its own watch's memory only through the loop. */
static void free_all(struct watch *watch, unsigned events, void *data)
{
	struct scene *scene = data;

	(void)events;
	assert_ptr_equal(watch, scene->a);
	scene->fired++;
	scene->a = watch_free(scene->a);
	scene->b = watch_free(scene->b);
	loop_stop(scene->loop);
}

static void test_a_callback_may_free_itself_and_others(void **state)
{
	struct scene *scene = *state;

	/* Both are due in the same turn: the second must not fire after it is gone. */
	assert_int_equal(write(scene->fds[1], "x", 1), 1);
	scene->a = loop_io(scene->loop, scene->fds[0], LOOP_READ, free_all, scene);
	scene->b = loop_io(scene->loop, scene->fds[1], LOOP_WRITE, count, scene);
	loop_run(scene->loop);
	assert_null(scene->a);
	assert_true(scene->fired <= 2);
	scene->fired = 0;
	scene->a = loop_timer(scene->loop, 30, stop, scene);
	loop_run(scene->loop);
	assert_int_equal(scene->fired, 1);
}

static void test_freed_timers_do_not_fire(void **state)
{
	struct scene *scene = *state;

	watch_free(loop_timer(scene->loop, 0, count, scene));
	watch_free(loop_soon(scene->loop, count, scene));
	scene->a = loop_timer(scene->loop, 30, stop, scene);
	loop_run(scene->loop);
	assert_int_equal(scene->fired, 1);
	assert_null(watch_free(NULL));
	assert_null(loop_free(NULL));
}

/* The descriptor's number is taken again at once, as after close and accept. */
static void test_a_reused_descriptor(void **state)
{
	struct scene *scene = *state;
	int other[2], reused;

	scene->a = loop_io(scene->loop, scene->fds[0], LOOP_READ, count, scene);
	scene->b = loop_timer(scene->loop, 10, stop, scene);
	loop_run(scene->loop);
	scene->a = watch_free(scene->a);
	assert_int_equal(pipe2(other, O_CLOEXEC | O_NONBLOCK), 0);
	reused = dup3(other[0], scene->fds[0], O_CLOEXEC);
	assert_int_equal(reused, scene->fds[0]);
	scene->a = loop_io(scene->loop, reused, LOOP_READ, stop, scene);
	assert_int_equal(write(other[1], "x", 1), 1);
	scene->fired = 0;
	loop_run(scene->loop);
	assert_int_equal(scene->seen_events, LOOP_READ);
	close(other[0]);
	close(other[1]);
}

/* --- signals -----------------------------------------------------------------------------------
 */

static void test_signal(void **state)
{
	struct scene *scene = *state;

	scene->a = loop_signal(scene->loop, SIGUSR1, stop, scene);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	loop_run(scene->loop);
	assert_int_equal(scene->fired, 1);
	assert_int_equal(scene->seen_events, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_timer_is_never_early),
		TEST(test_timer_fires_once_until_rearmed),
		TEST(test_rearming_moves_a_timer),
		TEST(test_a_long_callback_does_not_shorten_timers),
		TEST(test_soon_is_not_now),
		TEST(test_read),
		TEST(test_end_of_file_is_readable),
		TEST(test_paused),
		TEST(test_events_can_change),
		TEST(test_a_callback_may_free_itself_and_others),
		TEST(test_freed_timers_do_not_fire),
		TEST(test_a_reused_descriptor),
		TEST(test_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
