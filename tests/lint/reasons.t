#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# Every reason of the guard's verdicts stands in stokerctl(8), in the order of bpf/guard.h, and
# nothing else does.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More tests => 2;

my $tree = abs_path(dirname(__FILE__) . '/../..');

sub slurp {
	my ($path) = @_;
	local $/;
	open(my $in, '<', $path) or die "$path: $!\n";
	return scalar <$in>;
}

my @reasons = slurp("$tree/bpf/guard.h") =~ m{^\s+_\(\w+, "([^"]+)", [01]\)}mg;
my ($section) = slurp("$tree/man/stokerctl.8") =~ m{^\.Sh GUARD REASONS\n(.*?)^\.Sh }ms;
my @explained = $section =~ m{^\.It (\S+)$}mg;
cmp_ok(scalar @reasons, '>=', 40, 'the reasons are found');
is_deeply(\@explained, \@reasons, 'each is explained, in order');
