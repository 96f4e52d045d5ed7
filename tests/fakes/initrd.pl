#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# An initrd for the fake firecracker: initrd.pl WORD... > FILE. Two cpio segments, as stoker makes
# them; the second has the manifest's `command` (guest-init/protocol.h), which is the script.
use strict;
use warnings;

sub padded { my ($bytes) = @_; return $bytes . "\0" x (-length($bytes) % 4) }

sub member {
	my ($name, $mode, $data) = @_;
	my @fields = (0, $mode, 0, 0, 1, 0, length $data, 0, 0, 0, 0, length($name) + 1, 0);
	return padded('070701' . join('', map { sprintf '%08x', $_ } @fields) . "$name\0") .
		padded($data);
}

sub entry { my ($tag, $text) = @_; return pack('VV', $tag, length $text) . $text }

my $end = member('TRAILER!!!', 0, '');
my $config = entry(33, '') . join('', map { entry(2, $_) } @ARGV);
binmode STDOUT;
print member('init', 0100755, 'stoker-init'), $end, "\0" x 512;
print member('stoker', 0040755, ''), member('stoker/config', 0100600, $config), $end;
