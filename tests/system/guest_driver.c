/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of guest-boot.t: boots guests under QEMU (TCG) with the real initramfs and channel
 * code and says in TAP what it saw. Argument: the directory that guest-boot.t prepared (base.sqfs,
 * upper1.ext4 ..., stoker-init). eth0's tap is tap0, in the network namespace it is started in.
 *
 * -m aarch64 boots guests of that machine instead of x86_64; -r ROOT looks for the installed kernel
 * below ROOT; -k takes a kernel of one's own.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "tests/system/guest_vm.h"

/* --- the tests ------------------------------------------------------------------------------ */

static void manifest_command(struct guest *guest, const char *script)
{
	guest->spec->has_entrypoint = true;
	strv_add(&guest->spec->entrypoint, "sh");
	guest->spec->has_command = true;
	strv_add(&guest->spec->command, "-c");
	strv_add(&guest->spec->command, script);
}

/* What a secret holds is in its file and nowhere else that is written or listed. */
static void keeps_secrets(struct guest *guest)
{
	const char *cmdline = strstr(strbuf_text(&guest->logs[CHANNEL_STDOUT]), "cmdline ");
	bool found = !cmdline || strstr(cmdline, "s3cr3t");

	for (int stream = CHANNEL_STDERR; stream <= CHANNEL_INIT; stream++)
		found = found || strstr(strbuf_text(&guest->logs[stream]), "s3cr3t");
	ok(!found, "%s: no secret in a command line, a log or the process list", guest->name);
}

static void keeps_time(struct guest *guest)
{
	const char *at = strstr(strbuf_text(&guest->logs[CHANNEL_STDOUT]), "rng virtio_rng.0 ");
	long long guests = at ? strtoll(at + strlen("rng virtio_rng.0 "), NULL, 10) : 0;
	long long off = guests - (long long)time(NULL);

	/* It said so a while ago, on a host that may be busy. */
	ok(off > -BOOT_S && off < BOOT_S, "%s: its clock is set (%lld s)", guest->name, off);
}

/* What the manifest says, two addresses, syslog, peers, a daemon that restarts, a graceful stop. */
static void test_manifest(struct host *host)
{
	static const char script[] =
		"echo \"id $(id -u):$(id -g) $(id -G) home $HOME pwd $PWD\"\n"
		"echo \"env $FROM_IMAGE $FROM_MANIFEST $BOTH $HOSTNAME $PATH\"\n"
		"echo \"name $(hostname) $(cat /etc/hostname)\"\n"
		"cat /etc/hosts; cat /etc/resolv.conf; cat /proc/mounts\n"
		"ip -o addr show eth0; ip route; ip -6 route\n"
		"echo \"fds $(ls /proc/self/fd | tr '\\n' ' ')\"\n"
		"grep -E 'Sig(Blk|Ign)' /proc/self/status | tr '\\n\\t' '  '; echo\n"
		"cat /proc/self/cgroup; ls -A /stoker /modules 2>&1\n"
		"echo \"session $(cut -d' ' -f6 /proc/self/stat) $$\"\n"
		"echo to-stderr >&2; echo through-dev >/dev/stderr\n"
		"stat -c 'file %n %a %u:%g' /etc/app.d/x.conf /run/secrets /run/secrets/*\n"
		"cat /etc/app.d/x.conf /run/secrets/key; touch /run/secrets/y 2>&1\n"
		"echo \"nofile $(ulimit -n) $(ulimit -Hn) core $(ulimit -c)\"\n"
		"cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/conf/eth0/rp_filter\n"
		"echo \"cmdline $(cat /proc/cmdline)\"; cat /proc/*/cmdline | tr '\\0' ' '; echo\n"
		"ip -o link show; for n in null zero full random urandom tty ptmx; do\n"
		"stat -c 'device %n %F %a' /dev/$n; done; ls -l /dev/fd /dev/stdin\n"
		"echo \"rng $(cat /sys/class/misc/hw_random/rng_current) $(date +%s)\"\n"
		"logger -t tester -p daemon.warning 'a syslog line'\n"
		"echo written >/kept && cat /kept\n"
		"trap 'echo got TERM; exit 7' TERM\n"
		"n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.2 & wait $!\n"
		"grep -q second-peer /etc/hosts && echo peers $(grep -c peer /etc/hosts); done\n";
	static const struct guest_file files[] = {
		{ "/etc/app.d/x.conf", "", 0640, false, "of the host\n", 12 },
		{ "key", "", 0400, true, "s3cr3t-of-the-workload\n", 23 },
		{ "other", "root:staff", 0440, true, "s3cr3t-of-others", 16 },
	};
	struct guest guest;
	int one = 1, two = 2;
	long tick;

	guest_init(&guest, host, "manifest");
	guest.files = files;
	guest.file_count = 3;
	strv_add(&guest.spec->ulimits, "core=0:0");
	strv_add(&guest.spec->ulimits, "nofile=512:2048");
	strv_add(&guest.spec->sysctls, "net.core.somaxconn=77");
	if (host->kernel.modules.count > 0) /* the channel is open before */
		strv_add(&guest.spec->sysctls, "kernel.modules_disabled=1");
	strv_add(&guest.spec->sysctls, "net/ipv4/conf/eth0/rp_filter=2");
	image_says(&guest, CONFIG_ENTRYPOINT, "/not/there");
	image_says(&guest, CONFIG_COMMAND, "nor this");
	image_says(&guest, CONFIG_ENVIRONMENT, "FROM_IMAGE=image");
	image_says(&guest, CONFIG_ENVIRONMENT, "BOTH=image");
	manifest_command(&guest, script);
	strv_add(&guest.spec->environment, "BOTH=manifest");
	strv_add(&guest.spec->environment, "FROM_MANIFEST=two words");
	strv_add(&guest.spec->dns, "192.0.2.53");
	strv_add(&guest.spec->extra_hosts, "extra=192.0.2.9");
	set(&guest.spec->user, "app");
	set(&guest.spec->working_dir, "/made/for/it");
	add_address(&guest, "10.20.0.10");
	add_address(&guest, "fd00:20::a");
	boot(&guest, "upper1");

	ok(wait_until(&guest, has_greeted, &one, BOOT_S), "manifest: hello");
	ok(guest.hello.workload_running && guest.hello.boot_us, "manifest: runs since %.2f s",
	   (double)guest.hello.boot_us / 1e6);
	ok(guest.hello.init_us && guest.hello.init_us < guest.hello.boot_us,
	   "manifest: by an init that began at %.2f s", (double)guest.hello.init_us / 1e6);
	wait_until(&guest, has_printed, "tick 2", STEP_S);
	said(&guest, CHANNEL_STDOUT, "id 1000:1000 1000 2000 home /home/app pwd /made/for/it\n");
	said(&guest, CHANNEL_STDOUT,
	     "env image two words manifest manifest "
	     "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
	said(&guest, CHANNEL_STDOUT, "name manifest manifest\n");
	said(&guest, CHANNEL_STDOUT,
	     "10.20.0.10 manifest\nfd00:20::a manifest\n"
	     "192.0.2.9 extra\n10.20.0.77 first-peer\n# stoker: end\n"
	     "192.0.2.1 of-the-image\n");
	said(&guest, CHANNEL_STDOUT, "nameserver 192.0.2.53\n");
	said(&guest, CHANNEL_STDOUT, "inet 10.20.0.10/32");
	said(&guest, CHANNEL_STDOUT, "inet6 fd00:20::a/128");
	said(&guest, CHANNEL_STDOUT, "default via 169.254.1.1 dev eth0");
	said(&guest, CHANNEL_STDOUT, "default via fe80::1 dev eth0");
	said(&guest, CHANNEL_STDOUT, "cgroup2 /sys/fs/cgroup cgroup2 ");
	said(&guest, CHANNEL_STDOUT, "mqueue /dev/mqueue mqueue ");
	said(&guest, CHANNEL_STDOUT, "fds 0 1 2 3 \n");
	said(&guest, CHANNEL_STDOUT,
	     "SigBlk: 0000000000000000 SigIgn: 0000000000000000 \n0::/workload\n");
	said(&guest, CHANNEL_STDOUT, "ls: /modules: No such file or directory\n");
	said(&guest, CHANNEL_STDOUT,
	     "file /etc/app.d/x.conf 640 0:0\nfile /run/secrets 755 0:0\n"
	     "file /run/secrets/key 400 1000:1000\nfile /run/secrets/other 440 0:2000\n");
	said(&guest, CHANNEL_STDERR, "cat: can't open '/etc/app.d/x.conf': Permission denied\n");
	said(&guest, CHANNEL_STDOUT,
	     "s3cr3t-of-the-workload\ntouch: /run/secrets/y: Read-only file system\n");
	said(&guest, CHANNEL_STDOUT, "nofile 512 2048 core 0\n77\n2\n");
	said(&guest, CHANNEL_STDOUT, "tmpfs /run/secrets tmpfs ro,nosuid,nodev,noexec,");
	said(&guest, CHANNEL_STDOUT, "lo: <LOOPBACK,UP,LOWER_UP>");
	said(&guest, CHANNEL_STDOUT, " mtu 1500 ");
	said(&guest, CHANNEL_STDOUT,
	     "device /dev/null character special file 666\n"
	     "device /dev/zero character special file 666\n"
	     "device /dev/full character special file 666\n"
	     "device /dev/random character special file 666\n"
	     "device /dev/urandom character special file 666\n"
	     "device /dev/tty character special file 666\n"
	     "device /dev/ptmx character special file 666\n");
	said(&guest, CHANNEL_STDOUT, "/dev/fd -> /proc/self/fd\n");
	said(&guest, CHANNEL_STDOUT, "rng virtio_rng.0 ");
	keeps_secrets(&guest);
	keeps_time(&guest);
	said(&guest, CHANNEL_STDERR, "to-stderr\nthrough-dev\n");
	said(&guest, CHANNEL_SYSLOG, "daemon.warning tester: a syslog line\n");
	ok(runs("busybox ping -c 1 -W 10 10.20.0.10 >/dev/null"), "manifest: answers IPv4");
	ok(runs("busybox ping6 -c 1 -W 10 fd00:20::a >/dev/null"), "manifest: answers IPv6");

	/* A daemon that ends and starts again: what was printed meanwhile is not lost. */
	guest.peer.log_seen = channel_log_seen(guest.channel);
	channel_free(guest.channel);
	tick = find_tick(&guest, true);
	strbuf_reset(&guest.logs[CHANNEL_STDOUT]);
	sleep(1);
	connect_channel(&guest);
	ok(wait_until(&guest, has_greeted, &two, STEP_S), "manifest: hello to the next host");
	channel_hosts(guest.channel, "10.20.0.78 second-peer\n");
	ok(wait_until(&guest, has_printed, "peers 1\n", STEP_S), "manifest: peers were replaced");
	ok(find_tick(&guest, false) == tick + 1, "manifest: tick %ld follows tick %ld",
	   find_tick(&guest, false), tick);

	channel_stop(guest.channel, 0, 30000);
	ended(&guest, CHANNEL_EXITED, 7);
	said(&guest, CHANNEL_STDOUT, "got TERM\n");
	guest_free(&guest);
}

/* What the image says, a read-only root, a workload that has to be killed. */
static void test_image(struct host *host)
{
	static const char script[] = "id; pwd; echo $0-$1; touch /x || echo sealed\n"
				     "touch /scratch/y /tmp/z && echo scratch; mkdir /scratch/m\n"
				     "cat /etc/hosts | head -n 3; cat /run/kept\n"
				     "touch /srv/data/new && stat -c 'volume %n %a' /srv/*\n"
				     "trap '' TERM; trap 'echo got USR1' USR1; echo ready\n"
				     "while :; do sleep 1 & wait $!; done";
	struct guest guest;
	int one = 1;

	guest_init(&guest, host, "image");
	image_says(&guest, CONFIG_ENTRYPOINT, "sh");
	image_says(&guest, CONFIG_ENTRYPOINT, "-c");
	image_says(&guest, CONFIG_COMMAND, script);
	image_says(&guest, CONFIG_COMMAND, "zero");
	image_says(&guest, CONFIG_COMMAND, "one");
	image_says(&guest, CONFIG_USER, "1234:staff");
	image_says(&guest, CONFIG_WORKING_DIR, "/etc");
	image_says(&guest, CONFIG_STOP_SIGNAL, "SIGUSR1");
	image_says(&guest, CONFIG_VOLUME_PATH, "/srv/data");
	image_says(&guest, CONFIG_VOLUME_PATH, "/srv/made");
	guest.spec->read_only = true;
	strv_add(&guest.spec->tmpfs, "/scratch");
	add_address(&guest, "10.20.0.11");
	boot(&guest, "upper2");
	ok(wait_until(&guest, has_greeted, &one, BOOT_S), "image: hello");
	wait_until(&guest, has_printed, "ready", STEP_S);
	said(&guest, CHANNEL_STDOUT, "uid=1234 gid=2000(staff)");
	said(&guest, CHANNEL_STDOUT, "/etc\nzero-one\nsealed\nscratch\n");
	said(&guest, CHANNEL_STDOUT, "the image put this here\n");
	said(&guest, CHANNEL_STDOUT, "volume /srv/data 1777\nvolume /srv/made 755\n");
	said(&guest, CHANNEL_STDERR, "touch: /x: Read-only file system\n");
	/* The block of /etc/hosts is written even so. */
	channel_hosts(guest.channel, "10.20.0.79 third-peer\n");
	channel_stop(guest.channel, 0, 5000);
	ended(&guest, CHANNEL_SIGNALLED, 9);
	said(&guest, CHANNEL_STDOUT, "got USR1\n");
	guest_free(&guest);
}

/* --- bad input ------------------------------------------------------------------------------ */

struct bad_case {
	const char *name;
	const char *base;
	const char *command;   /* NULL: a shell that ends with 0 */
	const char *user;      /* NULL: the image's */
	const char *directory; /* likewise */
	const char
		*message; /* the beginning of what the report says; NULL: it runs and ends with 0 */
	bool has_files;	  /* more than its disk has room for */
};

static const struct bad_case bad_cases[] = {
	{ "missing", "base", "no-such-program", NULL, NULL,
	  "cannot run 'no-such-program': not found in the image's PATH "
	  "(/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)",
	  false },
	{ "no-file", "base", "/no/such/program", NULL, NULL,
	  "cannot run '/no/such/program': No such file or directory", false },
	{ "no-user", "base", NULL, "nobody-here", NULL,
	  "user 'nobody-here' is not in the image's /etc/passwd", false },
	{ "no-directory", "base", NULL, NULL, "/etc/passwd",
	  "working directory '/etc/passwd': Not a directory", false },
	{ "full", "base", NULL, NULL, NULL,
	  "write /big/file in the image: No space left on device (give the VM a larger 'disk')",
	  true },
	{ "no-shell", "scratch", "/script", NULL, NULL,
	  "cannot run '/script': its interpreter (of a script) or its loader and libc (of a "
	  "program) "
	  "are not in the image",
	  false },
	{ "no-libc", "scratch", "/dynamic", NULL, NULL,
	  "cannot run '/dynamic': its interpreter (of a script) or its loader and libc", false },
	{ "no-passwd", "scratch", "/busybox", "app", NULL,
	  "user 'app' is not in the image's /etc/passwd", false },
	{ "scratch", "scratch", "/busybox", "1000", NULL, NULL, false },
	{ "cut", "cut", NULL, NULL, NULL, "mount disk 'base' (squashfs): ", false },
};

enum { BAD_CASES = sizeof(bad_cases) / sizeof(*bad_cases), BAD_AT_ONCE = 5 };

static void boot_bad(struct host *host, const struct bad_case *bad, struct guest *guest)
{
	static char big[1000 << 10];
	static struct guest_file files[6];

	guest_init(guest, host, bad->name);
	guest->is_alone = true;
	guest->base = bad->base;
	if (bad->user)
		set(&guest->spec->user, bad->user);
	if (bad->directory)
		set(&guest->spec->working_dir, bad->directory);
	guest->spec->has_command = true;
	strv_add(&guest->spec->command, bad->command ? bad->command : "true");
	if (!bad->message) {
		strv_add(&guest->spec->command, "echo");
		strv_add(&guest->spec->command, "alone in its image");
	}
	for (size_t i = 0; i < 6 && bad->has_files; i++)
		files[i] = (struct guest_file){ "/big/file", "", 0600, false, big, sizeof(big) };
	guest->files = files;
	guest->file_count = bad->has_files ? 6 : 0;
	boot(guest, bad->name);
}

static void expect_bad(const struct bad_case *bad, struct guest *guest)
{
	ended(guest, bad->message ? CHANNEL_INIT_ERROR : CHANNEL_EXITED, 0);
	if (!bad->message) {
		said(guest, CHANNEL_STDOUT, "alone in its image\n");
		return;
	}
	ok(strncmp(guest->exit.message, bad->message, strlen(bad->message)) == 0,
	   "%s: message \"%s\"", guest->name, guest->exit.message);
	ok(guest->hellos == 1 && !guest->hello.workload_running, "%s: hello says that nothing runs",
	   guest->name);
}

/* What cannot run is a report with its reason, at once, not a panic and not a hang. */
static void test_bad(struct host *host)
{
	for (size_t first = 0; first < BAD_CASES; first += BAD_AT_ONCE) {
		struct guest guests[BAD_AT_ONCE];
		size_t count = BAD_CASES - first < BAD_AT_ONCE ? BAD_CASES - first : BAD_AT_ONCE;

		for (size_t i = 0; i < count; i++)
			boot_bad(host, &bad_cases[first + i], &guests[i]);
		for (size_t i = 0; i < count; i++)
			expect_bad(&bad_cases[first + i], &guests[i]);
		for (size_t i = 0; i < count; i++)
			guest_free(&guests[i]);
	}
}

/* A kernel that found no timer: stoker-init makes it panic instead of sleeping for ever. */
static void test_timerless(struct host *host)
{
	_cleanup_free_ char *path = xasprintf("%s/timerless.console", host->dir);
	_cleanup_strbuf_ struct strbuf console = { 0 };
	struct guest guest;

	if (host->machine != MACHINE_X86_64) /* an arm64 processor's timer is always there */
		return;
	guest_init(&guest, host, "timerless");
	guest.kernel_arguments = "nolapic_timer";
	manifest_command(&guest, "exit 0");
	boot(&guest, "upper3");
	ok(wait_until(&guest, has_ended, NULL, BOOT_S) && !guest.has_exit,
	   "timerless: the VM ends without a report");
	ok(fs_read(path, 1 << 20, &console, NULL) == 0 &&
		   strstr(strbuf_text(&console), "stoker-init: the kernel found no working timer"),
	   "timerless: its console says why");
	guest_free(&guest);
}

/* Memory runs out; and output that nobody reads until the end is whole nevertheless. */
static void test_memory(struct host *host)
{
	struct guest guest;
	size_t lines = 0;

	guest_init(&guest, host, "memory");
	manifest_command(&guest, "sleep 1; cat /proc/sys/vm/watermark_boost_factor "
				 "/sys/kernel/mm/lru_gen/min_ttl_ms >&2; seq 100000; "
				 "exec awk 'BEGIN { for (;;) a[n++] = sprintf(\"%4000s\", n) }'");
	boot(&guest, "upper4");
	ended(&guest, CHANNEL_OOM, 9);
	for (const char *at = strbuf_text(&guest.logs[CHANNEL_STDOUT]); *at; at++)
		lines += *at == '\n';
	ok(lines == 100000, "memory: %zu lines of output arrived", lines);
	said(&guest, CHANNEL_STDERR, "0\n100\n"); /* or it may be a panic */
	said(&guest, CHANNEL_KERNEL, "Out of memory");
	guest_free(&guest);
}

static void usage(void)
{
	fputs("usage: guest_driver [-m MACHINE] [-r ROOT] [-k KERNEL] DIRECTORY [TEST] "
	      "(see guest-boot.t)\n",
	      stderr);
	exit(2);
}

static enum machine machine_named(const char *name)
{
	if (!strcmp(name, "aarch64"))
		return MACHINE_AARCH64;
	if (strcmp(name, "x86_64"))
		usage();
	return MACHINE_X86_64;
}

/* What is booted, from the options; the arguments that are left begin at optind. */
static void read_options(int argc, char **argv, struct host *host, const char **root,
			 const char **kernel)
{
	int option;

	while ((option = getopt(argc, argv, "m:r:k:")) != -1) {
		if (option == 'm')
			host->machine = machine_named(optarg);
		else if (option == 'r')
			*root = optarg;
		else if (option == 'k')
			*kernel = optarg;
		else
			usage();
	}
	if (argc - optind < 1 || argc - optind > 2)
		usage();
	host->dir = argv[optind];
}

static void prepare(struct host *host, const char *root, const char *kernel)
{
	_cleanup_free_ char *init = xasprintf("%s/stoker-init", host->dir);
	_cleanup_free_ char *boot_dir = xasprintf("%s/boot", root);
	_cleanup_free_ char *modules_dir = xasprintf("%s/lib/modules", root);
	struct error err;

	host->loop = loop_new(&err);
	if (!host->loop ||
	    kernel_resolve(kernel, host->machine, host->dir, boot_dir, modules_dir, &host->kernel,
			   &err) < 0 ||
	    initramfs_base(init, &host->kernel.modules, host->dir, &host->base, &err) < 0)
		bail_out("set-up", err.text);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(struct host *host);
	} tests[] = { { "manifest", test_manifest },
		      { "image", test_image },
		      { "bad", test_bad },
		      { "timerless", test_timerless },
		      { "memory", test_memory } };
	struct host host = { .machine = MACHINE_X86_64 };
	const char *root = "", *kernel = "auto", *only;

	read_options(argc, argv, &host, &root, &kernel);
	only = argv[optind + 1];
	/* Whoever kills the shell ends the driver, and that ends QEMU (child_spawn). */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prepare(&host, root, kernel);
	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
		if (!only || !strcmp(only, tests[i].name))
			tests[i].run(&host);
	printf("1..%d\n", test_count);
	kernel_reset(&host.kernel);
	free(host.base);
	loop_free(host.loop);
	return failure_count ? 1 : 0;
}
