#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# "What images find" in stoker-init(8): each entry says what to expect and names tests, and these
# are there, with the parts that are named.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::More;

my $tree = abs_path(dirname(__FILE__) . '/../..');

sub slurp {
	my ($path) = @_;
	local $/;
	open(my $in, '<', $path) or die "$path: $!\n";
	return scalar <$in>;
}

# The parts of tests that have any: the names in the table of their drivers.
my %driver = ('guest-boot.t' => 'guest_driver.c');
my %parts = map {
	my ($table) = slurp("$tree/tests/system/$driver{$_}") =~ m/\} tests\[\] = \{(.*?)\};/s;
	$_ => { map { $_ => 1 } $table =~ m/\{ "(\w+)", test_\w+ \}/g }
} keys %driver;

# What is wrong with "NAME.t PART, PART" or "NAME".
sub fault {
	my ($name, $rest) = $_[0] =~ m{^([\w./-]+)(?: (.*))?$} or return 'cannot be read';
	my @wanted = split(/, /, $rest // '');
	if ($name !~ m/\.t$/) {
		return "no tests/unit/$name.c" unless -e "$tree/tests/unit/$name.c";
	} elsif ($name =~ m{/}) {
		return "no tests/$name" unless -x "$tree/tests/$name";
	} else {
		return "no tests/system/$name" unless -x "$tree/tests/system/$name";
	}
	return $driver{$name} ? 'no part is named' : '' unless @wanted;
	my @unknown = grep { !$parts{$name}{$_} } @wanted;
	return @unknown ? "$name has no part @unknown" : '';
}

my ($section) = slurp("$tree/man/stoker-init.8") =~ m/^\.Ss What images find\n(.*?)^\.El\n/ms;
my (undef, @rows) = split(/^\.It /m, $section);
cmp_ok(scalar @rows, '>=', 30, 'the entries are found');
cmp_ok(scalar keys %{$parts{'guest-boot.t'}}, '>=', 5, 'the parts of guest-boot.t are found');
for my $row (@rows) {
	my ($entry, $expected, $tests) = $row =~ m/^(.*?)\n(.*)\n\.br\nShown by (.*)\.\n\z/s;
	ok($expected && $expected =~ m/\w/, 'an entry says what to expect: ' . ($entry // $row)) or next;
	my @faults = grep { $_ } map { fault($_) } split(/; /, $tests);
	is("@faults", '', "$entry: $tests");
}
# It does find what is wrong.
is(fault('guest-boot.t none'), 'guest-boot.t has no part none', 'a part that is not there');
is(fault('guest-boot.t'), 'no part is named', 'a test with parts, and none is named');
is(fault('test_none'), 'no tests/unit/test_none.c', 'a unit test that is not there');
is(fault('kernel/none.t'), 'no tests/kernel/none.t', 'another test that is not there');
done_testing();
