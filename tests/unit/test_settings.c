/* SPDX-License-Identifier: Apache-2.0 */
/* stoker.ini: every key, every message, and who may have written the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "config/load.h"
#include "model/check.h"

static int load(const char *text, mode_t mode, struct settings *ret, struct problems *problems)
{
	char directory[] = "/tmp/stoker-settings-XXXXXX";
	char home[4096];
	int result;

	assert_non_null(getcwd(home, sizeof(home)));
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(fs_write_atomic("s.ini", text, strlen(text), mode, NULL), 0);
	result = settings_load("s.ini", ret, problems);
	assert_int_equal(chdir(home), 0);
	assert_int_equal(fs_remove_tree(directory, NULL), 0);
	return result;
}

static void refused_as(const char *text, const char *expected)
{
	struct settings settings = { .uid_base = 77 };
	struct problems problems = { 0 };

	assert_int_equal(load(text, 0644, &settings, &problems), -1);
	assert_string_equal(strbuf_text(&problems.text), expected);
	assert_int_equal(settings.uid_base, 77);
	problems_reset(&problems);
}

static void test_all_keys(void **state)
{
	static const char text[] =
		"\xef\xbb\xbf# everything\n"
		"[paths]\n"
		"fleet_dir = /a/fleet.d\nstate_dir=/a/state\n"
		"run_dir: /a/run\r\n  log_dir = /a/log ; where logs go\n"
		"bpf_dir = /a/bpf\nlibexec_dir = /a/libexec\n"
		"[daemon]\nlog_level = debug\nuid_base = 500000\n"
		"uid_count = 1000\n"
		"[host]\nrequire = kvm  smt uids\n"
		"[image] ; of images\n"
		"insecure_registries = localhost:5000 registry.test\n"
		"retries = 0\njobs = 4\ncompress = gzip:1\nverity = yes\nstall_timeout = 2s\n"
		"keep = 0\nkeep_for = 24h\nmin_free = 0B\n"
		"foreign_layers = yes\ncredentials = /a/auth.json\n"
		"credential_helpers = /a/helpers\n"
		"[registry docker.io]\nmirrors = localhost:5000 m.test/hub/x\n"
		"ca = /a/ca.pem ; private\n"
		"[registry a-name-of-more-than-fifty-bytes.registry.example.com:5000]\n"
		"ca = /a/other.pem\ntoken_server = auth.test:5001\n"
		"[vm]\nvmm = qemu\nkernel = /boot/k\nqemu = /a/qemu\n"
		"boot_timeout = 1m\nrestart_delay_min = 1ms\n"
		"restart_delay_max = 5s\nrestart_reset_after = 10s\n"
		"[metrics]\nlisten = [fd00::1]:9469\n"
		"[cgroup]\nparent = /a/group\n"
		"[log]\nfile_size = 1MiB\nfiles = 2\nrate = 64KiB\n"
		"forward = tls://logs.test:6514\nforward_ca = /a/log-ca.pem\n"
		"forward_cert = /a/log.pem\nforward_key = /a/log.key";
	struct problems problems = { 0 };
	const struct registry_settings *hub, *other;
	struct settings settings;

	(void)state;
	if (load(text, 0640, &settings, &problems) < 0)
		fail_msg("%s", strbuf_text(&problems.text));
	assert_string_equal(settings.fleet_dir, "/a/fleet.d");
	assert_string_equal(settings.state_dir, "/a/state");
	assert_string_equal(settings.run_dir, "/a/run");
	assert_string_equal(settings.log_dir, "/a/log");
	assert_string_equal(settings.bpf_dir, "/a/bpf");
	assert_string_equal(settings.libexec_dir, "/a/libexec");
	assert_int_equal(settings.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(settings.uid_base, 500000);
	assert_int_equal(settings.uid_count, 1000);
	assert_int_equal(settings.required_checks,
			 CHECK_BIT(CHECK_KVM) | CHECK_BIT(CHECK_SMT) | CHECK_BIT(CHECK_UIDS));
	assert_int_equal(settings.insecure_registries.count, 2);
	assert_string_equal(settings.insecure_registries.items[1], "registry.test");
	assert_int_equal(settings.fetch_retries, 0);
	assert_int_equal(settings.jobs, 4);
	assert_int_equal(settings.compression.method, COMPRESSION_GZIP);
	assert_int_equal(settings.compression.level, 1);
	assert_int_equal(settings.image_keep, 0);
	assert_int_equal(settings.image_keep_for_ms, 24 * 3600 * 1000);
	assert_int_equal(settings.image_min_free, 0);
	assert_int_equal(settings.stall_timeout_ms, 2000);
	assert_true(settings.foreign_layers);
	assert_true(settings.verity);
	assert_string_equal(settings.credentials_path, "/a/auth.json");
	assert_string_equal(settings.credential_helpers_dir, "/a/helpers");
	assert_int_equal(settings.registry_count, 2);
	assert_null(settings_registry(&settings, "localhost:5000"));
	hub = settings_registry(&settings, "docker.io");
	assert_int_equal(hub->mirrors.count, 2);
	assert_string_equal(hub->mirrors.items[1], "m.test/hub/x");
	assert_string_equal(hub->ca_path, "/a/ca.pem");
	assert_null(hub->token_server);
	other = settings_registry(&settings,
				  "a-name-of-more-than-fifty-bytes.registry.example.com:5000");
	assert_string_equal(other->ca_path, "/a/other.pem");
	assert_string_equal(other->token_server, "auth.test:5001");
	assert_string_equal(settings.default_vmm, "qemu");
	assert_string_equal(settings.default_kernel, "/boot/k");
	assert_string_equal(settings.qemu_path, "/a/qemu");
	assert_int_equal(settings.boot_timeout_ms, 60000);
	assert_int_equal(settings.restart_min_ms, 1);
	assert_int_equal(settings.restart_max_ms, 5000);
	assert_int_equal(settings.restart_reset_ms, 10000);
	assert_string_equal(settings.metrics_listen, "[fd00::1]:9469");
	assert_string_equal(settings.cgroup_parent, "/a/group");
	assert_int_equal(settings.log_file_bytes, 1 << 20);
	assert_int_equal(settings.log_files, 2);
	assert_int_equal(settings.log_rate_bytes, 64 << 10);
	assert_string_equal(settings.log_forward, "tls://logs.test:6514");
	assert_string_equal(settings.log_forward_ca, "/a/log-ca.pem");
	assert_string_equal(settings.log_forward_cert, "/a/log.pem");
	assert_string_equal(settings.log_forward_key, "/a/log.key");
	settings_reset(&settings);
}

static void test_empty_is_defaults(void **state)
{
	struct problems problems = { 0 };
	struct settings settings, defaults;

	(void)state;
	settings_defaults(&defaults);
	assert_int_equal(load("", 0644, &settings, &problems), 0);
	assert_string_equal(settings.fleet_dir, defaults.fleet_dir);
	assert_int_equal(settings.boot_timeout_ms, defaults.boot_timeout_ms);
	assert_int_equal(settings.required_checks, 0);
	settings_reset(&settings);
	settings_reset(&defaults);
}

static void test_missing(void **state)
{
	struct problems problems = { 0 };
	struct settings settings;

	(void)state;
	assert_int_equal(settings_load("/nonexistent/stoker.ini", &settings, &problems), -1);
	assert_string_equal(strbuf_text(&problems.text),
			    "/nonexistent/stoker.ini: cannot open: No such file or directory\n");
	problems_reset(&problems);
}

static void test_refused(void **state)
{
	static const char *const cases[][2] = {
		{ "[pahts]\nrun_dir = /r\n",
		  "s.ini:1:2: unknown section 'pahts' (did you mean 'paths'?)\n[pahts]\n ^\n" },
		{ "[network]\n",
		  "s.ini:1:2: unknown section 'network' (see stoker.ini(5))\n[network]\n ^\n" },
		{ "[vm\nvmm = qemu\n",
		  "s.ini:1:1: a section without ']'\n[vm\n^\n"
		  "s.ini:2:1: 'vmm' stands before any section\nvmm = qemu\n^\n" },
		{ "[vm] x\n", "s.ini:1:6: text behind a section's name\n[vm] x\n     ^\n" },
		{ "vmm = qemu\n", "s.ini:1:1: 'vmm' stands before any section\nvmm = qemu\n^\n" },
		{ "[vm]\n\tkernal = auto\n",
		  "s.ini:2:2: unknown key 'kernal' (did you mean 'kernel'?)\n"
		  "\tkernal = auto\n\t^\n" },
		{ "[vm]\nfleet_dir = /x\n",
		  "s.ini:2:1: unknown key 'fleet_dir' in [vm] (see stoker.ini(5))\n"
		  "fleet_dir = /x\n^\n" },
		{ "[vm]\nvmm = qemu\nvmm = auto\n",
		  "s.ini:3:1: duplicate key 'vmm' (first in line 2)\nvmm = auto\n^\n" },
		{ "[vm]\nwhat is this\nboot_timeout = 3\n",
		  "s.ini:2:1: neither a section nor a setting (key = value)\nwhat is this\n^\n"
		  "s.ini:3:16: boot_timeout: '3' has no unit (write 3s for seconds)\n"
		  "boot_timeout = 3\n               ^\n" },
		{ "[vm]\nboot_timeout = 10ms\n",
		  "s.ini:2:16: boot_timeout: 10ms is out of range (1000ms to 3600s)\n"
		  "boot_timeout = 10ms\n               ^\n" },
		{ "[paths]\nrun_dir = run\n",
		  "s.ini:2:11: run_dir: 'run' is not an absolute path (begin it with '/')\n"
		  "run_dir = run\n          ^\n" },
		{ "[vm]\nvmm = xen\nkernel = k\n",
		  "s.ini:2:7: vmm: 'xen' is not known (auto, firecracker or qemu)\n"
		  "vmm = xen\n      ^\n"
		  "s.ini:3:10: kernel: 'k' is neither auto nor an absolute path\n"
		  "kernel = k\n         ^\n" },
		{ "[daemon]\nlog_level = loud\nuid_base = 0\n",
		  "s.ini:2:13: log_level: 'loud' is not a level (error, warning, info or debug)\n"
		  "log_level = loud\n            ^\n"
		  "s.ini:3:12: uid_base: 0 is out of range (1000 to 4000000000)\n"
		  "uid_base = 0\n           ^\n" },
		{ "[guard]\nflood_shield = on\n",
		  "s.ini:2:16: flood_shield: 'on' is neither auto nor off\n"
		  "flood_shield = on\n               ^\n" },
		{ "[vm]\nvmm = firecraker\njail = true\n",
		  "s.ini:2:7: vmm: 'firecraker' is not known (did you mean 'firecracker'?)\n"
		  "vmm = firecraker\n      ^\n"
		  "s.ini:3:8: jail: 'true' is neither yes nor no\n"
		  "jail = true\n       ^\n" },
		{ "[metrics]\nlisten = 127.0.0.1\n",
		  "s.ini:2:10: listen: '127.0.0.1' is neither unix, off nor an address with a port "
		  "(as in 127.0.0.1:9469 or [::1]:9469)\n"
		  "listen = 127.0.0.1\n         ^\n" },
		{ "[metrics]\nlisten = [::1]:443\n",
		  "s.ini:2:10: listen: port 443 is out of range (1024 to 65535)\n"
		  "listen = [::1]:443\n         ^\n" },
		{ "[cgroup]\nparent = stoker.slice\n",
		  "s.ini:2:10: parent: 'stoker.slice' is neither auto, none nor the path of a "
		  "group (as in /stoker)\n"
		  "parent = stoker.slice\n         ^\n" },
		{ "[cgroup]\nparent = /\n",
		  "s.ini:2:10: parent: '/' is neither auto, none nor the path of a group (as in "
		  "/stoker)\n"
		  "parent = /\n         ^\n" },
		{ "[host]\nrequire = kvm swop\n",
		  "s.ini:2:11: require: 'swop' is not a check (did you mean 'swap'?)\n"
		  "require = kvm swop\n          ^\n" },
		{ "[host]\nrequire = everything\n",
		  "s.ini:2:11: require: 'everything' is not a check (see stokerctl doctor)\n"
		  "require = everything\n          ^\n" },
		{ "[log]\nfile_size = 1KiB\n",
		  "s.ini:2:13: file_size: 1KiB is out of range (64KiB to 1TiB)\n"
		  "file_size = 1KiB\n            ^\n" },
		{ "[log]\nforward = rsyslog\n",
		  "s.ini:2:11: forward: 'rsyslog' is no target (off, syslog, journald, "
		  "udp://ADDRESS:PORT, tcp://HOST:PORT or tls://HOST:PORT)\n"
		  "forward = rsyslog\n          ^\n" },
		{ "[log]\nforward = tls://logs.test\nforward_ca = ca.pem\n",
		  "s.ini:2:11: forward: 'tls://logs.test' is not tls://HOST:PORT (an IPv6 address "
		  "in "
		  "[])\nforward = tls://logs.test\n          ^\n"
		  "s.ini:3:14: forward_ca: 'ca.pem' is not an absolute path (begin it with '/')\n"
		  "forward_ca = ca.pem\n             ^\n" },
		{ "[log]\nforward = udp://logs.test:514\n",
		  "s.ini:2:11: forward: 'logs.test' is not an address (names are for tcp:// and "
		  "tls://)\nforward = udp://logs.test:514\n          ^\n" },
		{ "[log]\nforward = tcp://logs.test:601\nforward_key = /x\n",
		  "s.ini:3:15: forward_key is for a target of tls:// alone\n"
		  "forward_key = /x\n              ^\n"
		  "s.ini:3:15: forward_cert and forward_key come together\n"
		  "forward_key = /x\n              ^\n" },
		{ "[image]\ncompress = zstd:23\n",
		  "s.ini:2:12: compress: '23' is not a level of zstd (1 to 22)\n"
		  "compress = zstd:23\n           ^\n" },
		{ "[image]\ncompress = lz4:1\n", "s.ini:2:12: compress: lz4 has no levels\n"
						 "compress = lz4:1\n           ^\n" },
		{ "[image]\ncompress = zst:3\n",
		  "s.ini:2:12: compress: 'zst:3' is not a compression (zstd:LEVEL, gzip:LEVEL, lz4 "
		  "or xz)\n"
		  "compress = zst:3\n           ^\n" },
		{ "[image]\ninsecure_registries = https://a\n",
		  "s.ini:2:23: insecure_registries: 'https://a' is not a registry (docker.io, "
		  "localhost:5000)\ninsecure_registries = https://a\n                      ^\n" },
		{ "[registry]\nca = /x\n[registry Hub]\n",
		  "s.ini:1:2: the section 'registry' needs a host ([registry docker.io])\n"
		  "[registry]\n ^\n"
		  "s.ini:3:2: 'Hub' has capital letters (registries have none)\n"
		  "[registry Hub]\n ^\n" },
		{ "[registry a.b]\nca = /x\nca = /y\n[registry a.b]\nca = /z\nmirror = a\n",
		  "s.ini:3:1: duplicate key 'ca' (first in line 2)\nca = /y\n^\n"
		  "s.ini:4:2: a second section for 'a.b'\n[registry a.b]\n ^\n"
		  "s.ini:6:1: unknown key 'mirror' (did you mean 'mirrors'?)\nmirror = a\n^\n" },
		{ "[registry a.b]\nmirrors = a/x:1\n",
		  "s.ini:2:11: mirrors: 'a/x:1' is not host[:port][/path]\n"
		  "mirrors = a/x:1\n          ^\n" },
		{ "[registry a.b]\nmirrors = http://a\n",
		  "s.ini:2:11: mirrors: 'http:' is not a registry (docker.io, localhost:5000)\n"
		  "mirrors = http://a\n          ^\n" },
		{ "[registry a.b]\nmirrors = a b c d e\n",
		  "s.ini:2:11: mirrors: 5 mirrors (at most 4)\n"
		  "mirrors = a b c d e\n          ^\n" },
		{ "[registry a.b]\ntoken_server = https://a\nca = ca.pem\n",
		  "s.ini:2:16: token_server: 'https://a' is not a registry (docker.io, "
		  "localhost:5000)\ntoken_server = https://a\n               ^\n"
		  "s.ini:3:6: ca: 'ca.pem' is not an absolute path (begin it with '/')\n"
		  "ca = ca.pem\n     ^\n" },
		{ "[registrys a.b]\n",
		  "s.ini:1:2: unknown section 'registrys a.b' (see stoker.ini(5))\n"
		  "[registrys a.b]\n ^\n" },
		{ "[vm]\nrestart_delay_min = 2m\n",
		  "s.ini:2:21: restart_delay_min is larger than restart_delay_max\n"
		  "restart_delay_min = 2m\n                    ^\n" },
		{ "[daemon]\nuid_base = 4000000000\nuid_count = 1000000\n[vm]\nqemu =\n",
		  "s.ini:5:7: qemu: '' is not an absolute path (begin it with '/')\n"
		  "qemu =\n      ^\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		refused_as(cases[i][0], cases[i][1]);
}

static void test_long_line(void **state)
{
	struct settings settings;
	struct problems problems = { 0 };
	char text[1000] = "[vm]\nqemu = /";

	(void)state;
	memset(text + strlen(text), 'x', 900);
	assert_int_equal(load(text, 0644, &settings, &problems), -1);
	assert_int_equal(problems.count, 1);
	assert_non_null(strstr(strbuf_text(&problems.text), "s.ini:2:1: the line is longer than"));
	problems_reset(&problems);
}

static void test_writable(void **state)
{
	struct settings settings;
	struct problems problems = { 0 };

	(void)state;
	assert_int_equal(load("", 0664, &settings, &problems), -1);
	assert_string_equal(strbuf_text(&problems.text),
			    "s.ini: writable by its group (chmod g-w s.ini)\n");
	problems_reset(&problems);
	assert_int_equal(load("", 0666, &settings, &problems), -1);
	assert_string_equal(strbuf_text(&problems.text),
			    "s.ini: writable by everyone (chmod go-w s.ini)\n");
	problems_reset(&problems);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_keys),  cmocka_unit_test(test_empty_is_defaults),
		cmocka_unit_test(test_missing),	  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long_line), cmocka_unit_test(test_writable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
