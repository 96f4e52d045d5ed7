/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fc_guest.h. The channel is guest-init/channel.c itself; its vsock connections end, as
 * Firecracker ends them, at the unix socket <uds_path>_<port> of the host: the linker puts
 * __wrap_socket and __wrap_connect in place of the system's.
 */
#include "tests/fakes/fc_guest.h"

#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

enum {
	BOOT_MS = 50,
	SETTLE_MS = 100,   /* from running to what the script is about */
	REPORT_MS = 15000, /* as stoker-init waits for its report to be seen */
	TICK_MS = 20,
	FLOOD_SIZE = 16 << 10,
};

struct script {
	const char *name;
	/* What happens SETTLE_MS after the start, once the host has greeted; NULL: nothing. */
	void (*act)(struct guest *guest);
	bool is_deaf;	 /* the host's stop is not heard */
	bool is_slow;	 /* ... is heard, but waits for the end of the grace */
	bool acts_over;	 /* again on every turn */
	bool needs_host; /* acts only on a connection that was greeted */
	bool is_sick;	 /* whatever is checked has failed three times */
};

/* --- vsock ---------------------------------------------------------------------------------- */

static const struct machine *vsock_owner;

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length);

int __wrap_socket(int domain, int type, int protocol)
{
	if (domain == AF_VSOCK && (!vsock_owner || !vsock_owner->uds_path)) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return __real_socket(domain == AF_VSOCK ? AF_UNIX : domain, type, protocol);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_un host = { .sun_family = AF_UNIX };
	struct sockaddr_vm guest;

	if (address->sa_family != AF_VSOCK)
		return __real_connect(fd, address, length);
	memcpy(&guest, address, sizeof(guest));
	if ((size_t)snprintf(host.sun_path, sizeof(host.sun_path), "%s_%u", vsock_owner->uds_path,
			     guest.svm_port) >= sizeof(host.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return __real_connect(fd, (struct sockaddr *)&host, sizeof(host));
}

/* --- the serial console --------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* How many of `wanted` bytes the bucket of PUT /serial lets pass now. */
static size_t serial_allowance(struct guest *guest, size_t wanted)
{
	const json_t *bucket = json_object_get(guest->machine->serial, "rate_limiter");
	uint64_t size = json_u64_or(bucket, "size", 0),
		 refill = json_u64_or(bucket, "refill_time", 0);
	uint64_t now = now_ms(), burst;

	if (!size || !refill)
		return wanted;
	if (!guest->serial_filled_ms) {
		guest->serial_tokens = size;
		guest->serial_burst = json_u64_or(bucket, "one_time_burst", 0);
	} else {
		guest->serial_tokens += (now - guest->serial_filled_ms) * size / refill;
	}
	guest->serial_filled_ms = now;
	if (guest->serial_tokens > size)
		guest->serial_tokens = size;
	burst = guest->serial_burst < wanted ? guest->serial_burst : wanted;
	guest->serial_burst -= burst;
	wanted -= burst;
	if (wanted > guest->serial_tokens)
		wanted = guest->serial_tokens;
	guest->serial_tokens -= wanted;
	return burst + wanted;
}

/* What the kernel prints, where it was told to use the serial console; what does not fit is lost.
 */
static void print(struct guest *guest, const char *text, size_t length)
{
	const char *args = guest->machine->boot_args;

	if (!args || !strstr(args, "console=ttyS0"))
		return;
	length = serial_allowance(guest, length);
	if (length && write(guest->machine->serial_fd, text, length) < 0)
		return;
}

static void print_line(struct guest *guest, const char *text)
{
	char line[256];
	int length = snprintf(line, sizeof(line), "[    0.%06u] %s\r\n",
			      (unsigned)(now_ms() - guest->started_ms), text);

	print(guest, line, (size_t)length);
}

/* --- how a workload and its guest end ------------------------------------------------------- */

static void report(struct guest *guest, enum exit_kind kind, int code, const char *message)
{
	guest->report.kind = htole32(kind);
	guest->report.code = (int32_t)htole32((uint32_t)code);
	strncpy(guest->report.message, message, sizeof(guest->report.message) - 1);
	channel_set_running(&guest->channel, false, guest->channel.boot_us);
	channel_report(&guest->channel, &guest->report);
	guest->phase = GUEST_REPORTING;
	guest->deadline_ms = now_ms() + REPORT_MS;
}

static void end(struct guest *guest, int exit_code)
{
	guest->phase = GUEST_OVER;
	guest->exit_code = exit_code;
}

static void act_exit(struct guest *guest)
{
	channel_log(&guest->channel, STREAM_STDERR, "workload exits\n", 15);
	report(guest, EXIT_CODE, guest->number, "");
}

static void act_signal(struct guest *guest)
{
	report(guest, EXIT_SIGNAL, guest->number, "");
}

static void act_oom(struct guest *guest)
{
	report(guest, EXIT_OOM, SIGKILL, "tail (pid 7)");
}

/* With reboot=k and panic=1 the reset ends the process as a reboot does. */
static void act_panic(struct guest *guest)
{
	print_line(guest, "Kernel panic - not syncing: sysrq triggered crash");
	end(guest, 0);
}

static void act_init_killed(struct guest *guest)
{
	print_line(guest, "Kernel panic - not syncing: Attempted to kill init! "
			  "exitcode=0x00000009");
	end(guest, 0);
}

static void act_daemonised(struct guest *guest)
{
	report(guest, EXIT_DAEMONISED, 0, "exited with 0 and left 1 process running (httpd)");
}

static void act_reboot(struct guest *guest)
{
	print_line(guest, "reboot: Restarting system");
	end(guest, 0);
}

/* On x86 nobody hears it: the vCPUs halt and the process lives on. On arm64 PSCI ends it. */
static void act_power_off(struct guest *guest)
{
	print_line(guest, "reboot: Power down");
#if defined(__x86_64__)
	guest->phase = GUEST_HALTED;
#else
	end(guest, 0);
#endif
}

static void act_vmm_crash(struct guest *guest)
{
	int number = guest->number ? guest->number : SIGABRT;

	machine_log(guest->machine, LEVEL_ERROR, "main", "Firecracker panicked at the script");
	signal(number, SIG_DFL);
	raise(number);
}

static void act_vmm_exit(struct guest *guest)
{
	end(guest, guest->number);
}

static void act_lose_channel(struct guest *guest)
{
	close(guest->channel.fd);
	guest->channel.fd = -1;
	guest->phase = GUEST_HALTED;
}

static void act_garbage(struct guest *guest)
{
	static const char garbage[] = "\xff\xff\xff\xff\xff\xff\xff\xff no frame at all \x01\x02";

	if (guest->said_garbage)
		return;
	guest->said_garbage = true;
	if (send(guest->channel.fd, garbage, sizeof(garbage), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void act_flood(struct guest *guest)
{
	static char lines[FLOOD_SIZE];

	if (!*lines)
		for (size_t i = 0; i < sizeof(lines); i++)
			lines[i] = i % 64 == 63 ? '\n' : (char)('a' + i / 64 % 26);
	print(guest, lines, sizeof(lines));
	for (int i = 0; i < 8; i++) {
		enum log_stream stream = i % 2 ? STREAM_STDERR : STREAM_STDOUT;

		if (channel_has_room(&guest->channel, stream))
			channel_log(&guest->channel, stream, lines, sizeof(lines));
	}
}

static const struct script scripts[] = {
	{ "serve" },
	{ "exit", act_exit },
	{ "signal", act_signal },
	{ "oom", act_oom },
	{ "daemonised", act_daemonised },
	{ "init-error" },
	{ "panic", act_panic, .needs_host = true },
	{ "init-killed", act_init_killed, .needs_host = true },
	{ "power-off", act_power_off, .needs_host = true },
	{ "reboot", act_reboot, .needs_host = true },
	{ "vmm-crash", act_vmm_crash, .needs_host = true },
	{ "vmm-exit", act_vmm_exit, .needs_host = true },
	{ "silent" },
	{ "lose-channel", act_lose_channel, .needs_host = true },
	{ "garbage", act_garbage, .needs_host = true, .acts_over = true },
	{ "flood", act_flood, .acts_over = true },
	{ "sick", .is_sick = true },
	{ "ignore-stop", .is_deaf = true },
	{ "slow-stop", .is_slow = true },
};

/* --- the host's verbs ----------------------------------------------------------------------- */

static void stop(void *data, int number, uint64_t grace_ms)
{
	struct guest *guest = data;

	if (guest->phase != GUEST_RUNNING || guest->script->is_deaf)
		return;
	if (!number && guest->initrd.config.stop_signal)
		number = config_signal(guest->initrd.config.stop_signal);
	guest->number = number ? number : SIGTERM;
	guest->phase = GUEST_STOPPING;
	guest->deadline_ms = now_ms() + (guest->script->is_slow ? grace_ms : 0);
	if (guest->script->is_slow)
		guest->number = SIGKILL;
}

static void set_hosts(void *data, const char *lines)
{
	struct guest *guest = data;

	channel_say(&guest->channel, "hosts: %zu bytes", strlen(lines));
}

static bool tell_health(void *data, unsigned type, const void *payload, size_t length)
{
	struct guest *guest = data;
	struct frame_health check;
	struct frame_health_result result = { .failures = htole32(3), .message = "as the script" };

	if (type != FRAME_HEALTH || !guest->script->is_sick)
		return true;
	if (length < sizeof(check))
		return false;
	memcpy(&check, payload, sizeof(check));
	result.serial = check.serial;
	channel_session_send(&guest->channel, FRAME_HEALTH_RESULT, 0, &result, sizeof(result));
	return true;
}

static void exit_seen(void *data)
{
	struct guest *guest = data;

	if (guest->phase == GUEST_REPORTING)
		end(guest, 0);
}

/* --- its life ------------------------------------------------------------------------------- */

/* "exit 3 after 500", "panic early": the words behind the first, in any order. */
static void read_words(struct guest *guest)
{
	static const struct script unknown = { "unknown" };
	char **words = guest->initrd.words;

	guest->script = &unknown;
	guest->wait_ms = SETTLE_MS;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++)
		if (!strcmp(scripts[i].name, words[0]))
			guest->script = &scripts[i];
	for (size_t i = 1; i < guest->initrd.word_count; i++)
		if (!strcmp(words[i], "early"))
			guest->is_early = true;
		else if (!strcmp(words[i], "after") && i + 1 < guest->initrd.word_count)
			guest->wait_ms = (unsigned)atoi(words[++i]);
		else
			guest->number = atoi(words[i]);
}

void guest_start(struct guest *guest, struct machine *machine, int epoll, uint64_t token)
{
	const struct channel_verbs verbs = { .stop = stop,
					     .hosts = set_hosts,
					     .health = tell_health,
					     .exit_seen = exit_seen,
					     .data = guest };
	struct error err;

	*guest = (struct guest){ .machine = machine, .started_ms = now_ms() };
	vsock_owner = machine;
	channel_init(&guest->channel, epoll, token, &verbs);
	if (initrd_read(machine->initrd_fd, &guest->initrd, &err) < 0)
		report(guest, EXIT_INIT_ERROR, 0, err.text);
	else
		read_words(guest);
	channel_set_key(&guest->channel, guest->initrd.config.channel_key);
	guest->due_ms = guest->started_ms + BOOT_MS;
}

static void boot(struct guest *guest)
{
	uint64_t now = now_ms();

	print_line(guest, "Linux version 0.0.0 (scripted)");
	guest->machine->balloon_active = true;
	guest->phase = GUEST_RUNNING;
	guest->due_ms = now + guest->wait_ms;
	if (!strcmp(guest->script->name, "silent"))
		guest->phase = GUEST_HALTED;
	else if (!strcmp(guest->script->name, "init-error"))
		report(guest, EXIT_INIT_ERROR, 0, "mount /dev/vda: scripted failure");
	else if (!strcmp(guest->script->name, "unknown"))
		report(guest, EXIT_INIT_ERROR, 0, "the script's first word is none");
	if (guest->phase != GUEST_RUNNING)
		return;
	channel_set_running(&guest->channel, true, (now - guest->started_ms) * 1000);
	channel_say(&guest->channel, "script: %s", guest->script->name);
	channel_log(&guest->channel, STREAM_STDOUT, "workload runs\n", 14);
	if (guest->is_early && guest->script->act)
		guest->script->act(guest);
}

static void run(struct guest *guest)
{
	const struct script *script = guest->script;

	if (!guest->channel.greeted)
		guest->said_garbage = false;
	/* A host knows that it runs when the hello is out. */
	if (!script->act || now_ms() < guest->due_ms ||
	    (script->needs_host && (!guest->channel.greeted ||
				    guest->channel.control_sent < guest->channel.control_length)))
		return;
	script->act(guest);
}

static void advance(struct guest *guest)
{
	bool late = now_ms() >= guest->deadline_ms;

	switch (guest->phase) {
	case GUEST_BOOTING:
		if (now_ms() >= guest->due_ms)
			boot(guest);
		break;
	case GUEST_RUNNING:
		run(guest);
		break;
	case GUEST_STOPPING:
		if (late)
			act_signal(guest);
		break;
	case GUEST_REPORTING:
		if (late)
			end(guest, 0);
		break;
	case GUEST_HALTED:
	case GUEST_OVER:
		break;
	}
}

int guest_tend(struct guest *guest)
{
	/* The logs go out before an end that leaves no time for them. */
	if (guest->phase >= GUEST_RUNNING && guest->phase <= GUEST_REPORTING)
		channel_tend(&guest->channel, now_ms());
	advance(guest);
	if (guest->phase >= GUEST_RUNNING && guest->phase <= GUEST_REPORTING)
		channel_tend(&guest->channel, now_ms());
	return guest->phase == GUEST_HALTED ? -1 : guest->phase == GUEST_OVER ? 0 : TICK_MS;
}

void guest_on_event(struct guest *guest, uint32_t events)
{
	if (guest->phase != GUEST_HALTED)
		channel_on_event(&guest->channel, events);
}
