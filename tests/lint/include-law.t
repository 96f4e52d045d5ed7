#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# The include law is a law only if breaking it is noticed: breaks a copy of the tree, one way at a
# time, and expects the checker's very words. Likewise for the format check.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $tree = abs_path(dirname(__FILE__) . '/../..');
my $copy = tempdir('stoker-law-XXXXXX', TMPDIR => 1, CLEANUP => 1);

sub run {
	my (@command) = @_;
	open(my $out, '-|', 'sh', '-c', 'exec 2>&1; exec "$@"', 'sh', @command) or die "sh: $!\n";
	local $/;
	my $text = <$out> // '';
	close($out);
	return ($? >> 8, $text);
}

sub write_file {
	my ($path, $text) = @_;
	make_path(dirname("$copy/$path"));
	open(my $out, '>', "$copy/$path") or die "$path: $!\n";
	print $out $text;
	close($out);
}

sub law { return run('perl', "$tree/tests/lint/include-law.pl", $copy); }

# One file of text `$body` at $path makes exactly the violation $expected, or none.
sub check_law {
	my ($path, $body, $expected, $name) = @_;

	write_file($path, $body);
	my ($code, $text) = law();
	is($text, defined $expected ? "$expected\n" : '', $name);
	is($code, defined $expected ? 1 : 0, "$name: exit code");
	unlink("$copy/$path");
}

system('cp', '-r', (map { "$tree/$_" } qw(supervisor guest-init)), $copy) == 0 or die;
system('cp', '-r', "$tree/bpf", $copy) if -d "$tree/bpf";
write_file('bpf/guard.h', "\n") if !-e "$copy/bpf/guard.h";

my ($code, $text) = law();
is($text, '', 'the tree obeys the law');
is($code, 0, 'and the exit code says so');

# Who sees whom.
check_law('supervisor/net/broken.c', "\n\n#include \"vmm/vmm.h\"\n",
	'supervisor/net/broken.c:3: net/ may not include vmm/vmm.h '
	. '(net/ sees base, model, loop, host)',
	'siblings do not see each other');
check_law('supervisor/base/broken.c', "#include \"model/spec.h\"\n",
	'supervisor/base/broken.c:1: base/ may not include model/spec.h (base/ sees only itself)',
	'base sees nobody');
check_law('supervisor/plan/broken.c', "#include \"loop/loop.h\"\n",
	'supervisor/plan/broken.c:1: plan/ may not include loop/loop.h (plan/ sees base, model)',
	'the planner has no loop');
check_law('supervisor/config/broken.c', "#  include \"plan/plan.h\"\n",
	'supervisor/config/broken.c:1: config/ may not include plan/plan.h (config/ sees base, model)',
	'blanks in the directive do not hide it');
check_law('supervisor/model/broken.h', "#include \"../loop/loop.h\"\n",
	'supervisor/model/broken.h:1: model/ may not include loop/loop.h (model/ sees base)',
	'nor does a relative path');
check_law('supervisor/image/broken.c', "#include <disk/disk.h>\n",
	'supervisor/image/broken.c:1: image/ may not include disk/disk.h '
	. '(image/ sees base, model, loop, host)',
	'nor do angle brackets');
check_law('supervisor/instance/broken.c', "#include \"control/server.h\"\n",
	'supervisor/instance/broken.c:1: instance/ may not include control/server.h '
	. '(instance/ sees base, model, loop, host, config, plan, image, disk, net, vmm, guest, '
	. 'forward)',
	'what lies to the right is out of sight');
check_law('supervisor/ctl/broken.c', "#include \"instance/roster.h\"\n",
	'supervisor/ctl/broken.c:1: ctl/ may not include instance/roster.h '
	. '(ctl/ sees base, model, loop, host, config, plan, control/protocol.h, image/image.h, image/pull.h)',
	'the control tool is not the daemon');
check_law('supervisor/ctl/broken.c', "#include \"control/server.h\"\n",
	'supervisor/ctl/broken.c:1: ctl/ may not include control/server.h '
	. '(ctl/ sees base, model, loop, host, config, plan, control/protocol.h, image/image.h, image/pull.h)',
	'one header of a folder does not open the rest');
check_law('supervisor/ctl/fine.c', "#include \"control/protocol.h\"\n", undef,
	'the protocol is for both ends');
check_law('supervisor/fine.c', "#include \"instance/roster.h\"\n", undef,
	'the daemon sees everything');
check_law('supervisor/misc/broken.c', "#include \"base/error.h\"\n",
	'supervisor/misc/broken.c:1: misc/ is not a folder of the layout (add it to the include law)',
	'a new folder needs a place in the law');
check_law('guest-init/broken.c', "#include \"supervisor/base/error.h\"\n",
	'guest-init/broken.c:1: guest-init/ may not include base/error.h '
	. '(guest-init/ sees only itself)',
	'stoker-init shares nothing but the protocol');

# What is private to a few.
check_law('supervisor/instance/broken.c', "#include \"guest-init/protocol.h\"\n",
	'supervisor/instance/broken.c:1: guest-init/protocol.h may only be included by '
	. 'guest-init/, supervisor/guest/, supervisor/image/',
	'the words to the guest have two speakers');
check_law('supervisor/guest/fine.c', "#include \"guest-init/protocol.h\"\n", undef,
	'guest/ is one of them');
check_law('supervisor/vmm/broken.c', "#include \"bpf/guard.h\"\n",
	'supervisor/vmm/broken.c:1: bpf/guard.h may only be included by bpf/, supervisor/net/',
	'the maps of the guard belong to net/');
check_law('supervisor/net/fine.c', "#include \"bpf/guard.h\"\n", undef, 'net/ sees them');
check_law('supervisor/net/broken.c', "#include \"guard.skel.h\"\n",
	'supervisor/net/broken.c:1: guard.skel.h may only be included by supervisor/net/guard_internal.h',
	'the skeleton has one user');
check_law('supervisor/forward/broken.c', "#include \"loop/multi.h\"\n",
	'supervisor/forward/broken.c:1: supervisor/loop/multi.h may only be included by supervisor/loop/',
	"libcurl's multi handle stays in its folder");

# One library has one home.
my %home = (
	'yaml.h'             => ['supervisor/config/yaml.c', 'libyaml'],
	'ini.h'              => ['supervisor/config/settings.c', 'libinih'],
	'ev.h'               => ['supervisor/loop/loop.c', 'libev'],
	'jansson.h'          => ['supervisor/base/json.h', 'jansson'],
	'bpf/libbpf.h'       => ['supervisor/net/guard* or bpf/ or tests/bpf/', 'libbpf'],
	'sqfs/super.h'       => ['supervisor/image/squash*', 'libsquashfs'],
	'ext2fs/ext2fs.h'    => ['supervisor/disk/disk.c', 'libext2fs'],
	'seccomp.h'          => ['supervisor/image/confine.c', 'libseccomp'],
	'curl/curl.h'        => ['supervisor/loop/http.c or supervisor/loop/connection.c or '
		. 'supervisor/loop/multi*', 'libcurl'],
	'systemd/sd-daemon.h' => ['nowhere', 'libsystemd'],
);
for my $header (sort keys %home) {
	my ($files, $library) = @{ $home{$header} };
	check_law('supervisor/instance/broken.c', "#include <$header>\n",
		"supervisor/instance/broken.c:1: <$header> belongs in $files "
		. "($library has one home)", "<$header> has one home");
}

# How not to hide an include, and what is none.
check_law('supervisor/base/broken.c', "const char *s = \"/*\";\n#include \"loop/loop.h\"\n",
	'supervisor/base/broken.c:2: base/ may not include loop/loop.h (base/ sees only itself)',
	'a string does not begin a comment');
check_law('supervisor/base/broken.c', "#define H \"loop/loop.h\"\n#include H\n",
	'supervisor/base/broken.c:2: an include by macro hides what it includes',
	'includes are spelled out');
check_law('supervisor/base/fine.c', "/*\n#include \"loop/loop.h\"\n */\nint x;\n", undef,
	'a comment is not an include');
check_law('supervisor/base/fine.c', "int y; // #include \"loop/loop.h\" /* \n", undef,
	'nor is this one');

my $empty = tempdir('stoker-law-XXXXXX', TMPDIR => 1, CLEANUP => 1);
($code, $text) = run('perl', "$tree/tests/lint/include-law.pl", $empty);
is($code, 2, 'nothing to check is not success');

# The format check, on a copy without git.
SKIP: {
	skip 'no clang-format', 4 if system('command -v clang-format >/dev/null') != 0;
	my $small = tempdir('stoker-format-XXXXXX', TMPDIR => 1, CLEANUP => 1);

	make_path("$small/$_") for qw(supervisor bpf guest-init tests/lint);
	system('cp', "$tree/.clang-format", $small);
	system('cp', "$tree/tests/lint/format.sh", "$small/tests/lint");
	$copy = $small;
	write_file('supervisor/good.c', "int good(void)\n{\n\treturn 1;\n}\n");
	($code, $text) = run("$small/tests/lint/format.sh");
	is($code, 0, 'a well-formatted file passes');
	write_file('supervisor/bad.c', "int bad( void ) {\n  return 1;\n}\n");
	($code, $text) = run("$small/tests/lint/format.sh");
	isnt($code, 0, 'a badly formatted one does not');
	like($text, qr{supervisor/bad\.c:1:\d+: error: code should be clang-formatted},
		'and is named with its line');
	unlike($text, qr{good\.c}, 'alone');
}

done_testing();
