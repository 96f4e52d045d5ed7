#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# The init scripts of config-examples: well-formed, and of one mind with the daemon.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Test::More;

my $tree = abs_path(dirname(__FILE__) . '/../..');
my $units = "$tree/config-examples/systemd";

sub slurp {
	my ($path) = @_;
	local $/;
	open(my $in, '<', $path) or die "$path: $!\n";
	return scalar <$in>;
}

sub settings {
	my ($text, $pattern) = @_;
	return [grep { m{^(?:$pattern)=} } split(m{\n}, $text)];
}

my %unit = map { $_ => slurp("$units/$_") } qw(stokerd.service stoker-vms.service);
my ($daemon, $vms) = @unit{qw(stokerd.service stoker-vms.service)};
my %granted = map { $_ => 1 } map { split } $daemon =~ m{^CapabilityBoundingSet=(.*)$}mg;
my %kept = map { $_ => 1 } slurp("$tree/supervisor/privilege.c") =~ m{^\t\{ (CAP_\w+),}mg;

cmp_ok(scalar(keys %kept), '>', 5, 'privilege.c has its table');
is_deeply([sort keys %granted], [sort keys %kept],
	'the unit grants exactly the capabilities that the daemon keeps');
like($daemon, qr{^KillMode=process$}m, 'VMs survive a stop of the daemon');
like($daemon, qr{^RuntimeDirectoryPreserve=yes$}m, 'and so does what adoption reads');
unlike($daemon, qr{^Delegate=}m, 'no group of a VM lies below the one of the daemon');

# The unit of the VMs: there before the daemon, stopped after it, and with it the VMs.
like($vms, qr{^Delegate=yes$}m, 'but below the one of their own unit');
my ($group) = slurp("$tree/supervisor/vmm/cgroup.c") =~ m{^#define UNIT_GROUP\s+"(.*?)"}m;
ok(defined $group && -e "$units/" . ($group =~ s{.*/}{}r), 'by whose name the daemon finds it');
like($daemon, qr{^Requires=stoker-vms\.service$}m, 'stopping it stops the daemon');
like($daemon, qr{^After=(.* )?stoker-vms\.service}m, 'first');
like($vms, qr{^ExecStop=\S+/stokerd -S$}m, 'and then the VMs');
my $sandbox = qr{Capability\w+|NoNew\w+|Protect\w+|Private\w+|Restrict(?!art)\w+|ReadWritePaths
	|LockPersonality|SystemCall\w+|Device\w+|\w+Directory(?:Preserve)?|TasksMax|Limit\w+
	|OOMPolicy}x;
cmp_ok(scalar @{settings($daemon, $sandbox)}, '>', 25, 'the daemon is confined');
is_deeply([sort @{settings($vms, $sandbox)}], [sort @{settings($daemon, $sandbox)}],
	'and who stops the VMs as well, by the same settings');

SKIP: {
	skip 'no systemd-analyze', 1 if system('command -v systemd-analyze >/dev/null') != 0;
	my $dir = tempdir('stoker-units-XXXXXX', TMPDIR => 1, CLEANUP => 1);

	# It wants the programs to be there; whether they are installed is not the question.
	for my $name (keys %unit) {
		my $text = $unit{$name} =~ s{^(Exec\w+=)\S+}{$1/bin/true}mgr;

		$text =~ s{^Documentation=.*\n}{}mg;
		open(my $out, '>', "$dir/$name") or die "$dir: $!\n";
		print $out $text;
		close($out);
	}
	my $paths = join(' ', map { "$dir/$_" } sort keys %unit);
	my @said = grep { m{stoker} } `systemd-analyze verify $paths 2>&1`;
	is(join('', @said), '', 'systemd knows every setting of the units');
}

# What udev does with taps, by their name as net.h has it.
my $link = slurp("$units/60-stoker.link");
my ($prefix) = slurp("$tree/supervisor/net/net.h") =~ m{^#define NET_TAP_PREFIX "(\w+)"}m;
like($link, qr{^OriginalName=\Q$prefix\E\*$}m, 'udev is told of taps');
like($link, qr{^MACAddressPolicy=none$}m, 'to leave their addresses alone');

for my $script (glob("$tree/config-examples/openrc/*")) {
	is(system('sh', '-n', $script), 0, $script =~ s{.*/}{}r . ' of OpenRC is well-formed shell');
}

done_testing();
