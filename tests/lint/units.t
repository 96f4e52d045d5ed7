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
my $unit = "$tree/config-examples/systemd/stokerd.service";

sub slurp {
	my ($path) = @_;
	local $/;
	open(my $in, '<', $path) or die "$path: $!\n";
	return scalar <$in>;
}

my $text = slurp($unit);
my %granted = map { $_ => 1 } map { split } $text =~ m{^CapabilityBoundingSet=(.*)$}mg;
my %kept = map { $_ => 1 } slurp("$tree/supervisor/privilege.c") =~ m{^\t\{ (CAP_\w+),}mg;

cmp_ok(scalar(keys %kept), '>', 5, 'privilege.c has its table');
is_deeply([sort keys %granted], [sort keys %kept],
	'the unit grants exactly the capabilities that the daemon keeps');
like($text, qr{^KillMode=process$}m, 'VMs survive a stop of the daemon');
like($text, qr{^RuntimeDirectoryPreserve=yes$}m, 'and so does what adoption reads');

SKIP: {
	skip 'no systemd-analyze', 1 if system('command -v systemd-analyze >/dev/null') != 0;
	my $dir = tempdir('stoker-units-XXXXXX', TMPDIR => 1, CLEANUP => 1);

	# It wants the programs to be there; whether they are installed is not the question.
	$text =~ s{^(Exec\w+=)\S+}{$1/bin/true}mg;
	$text =~ s{^Documentation=.*\n}{}mg;
	open(my $out, '>', "$dir/stokerd.service") or die "$dir: $!\n";
	print $out $text;
	close($out);
	my @said = grep { m{stokerd\.service} } `systemd-analyze verify $dir/stokerd.service 2>&1`;
	is(join('', @said), '', 'systemd knows every setting of the unit');
}

is(system('sh', '-n', "$tree/config-examples/openrc/stokerd"), 0,
	'the OpenRC script is well-formed shell');

done_testing();
