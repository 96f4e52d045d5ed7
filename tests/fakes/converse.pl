#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Talks with a Firecracker, real or not: converse.pl SOCKET < CONVERSATION. A line that begins with
# a method is sent over one connection that is kept, and is followed by what came back, indented;
# indented lines of the input are left out, all others are copied. So a conversation that went as
# it is written comes out as it went in. {c*N} in a body is N times the character c. Where a
# message ends in " at line L column C", that is cut off.
use strict;
use warnings;
use IO::Socket::UNIX;

my ($path) = @ARGV;
my $socket;

sub receive {
	my $bytes = '';
	my $more = sub { sysread $socket, $bytes, 65536, length $bytes or die "the connection ended\n" };
	$more->() while $bytes !~ /\r\n\r\n/;
	my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
	my ($status) = $head =~ m{^HTTP/1\.1 (\d+) \r?$}m or die "no status: $head\n";
	my ($length) = $head =~ /^content-length: (\d+)\r?$/im;
	return $status if !defined $length;
	while (length $body < $length) {
		sysread $socket, $body, 65536, length $body or die "the connection ended\n";
	}
	$body = substr $body, 0, $length;
	$body =~ s/ at line \d+ column \d+//;
	$body =~ s/\n/\\n/g;
	return "$status $body";
}

sub ask {
	my ($method, $target, $body) = @_;
	$body =~ s/\{(.)\*(\d+)\}/$1 x $2/ge;
	$socket //= IO::Socket::UNIX->new(Peer => $path) or die "$path: $!\n";
	my $head = "$method $target HTTP/1.1\r\nHost: localhost\r\n";
	$head .= 'Content-Length: ' . length($body) . "\r\n" if length $body;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, "$head\r\n$body";
	my $answer = receive();
	# After a request that was none the connection is out of step.
	undef $socket if $answer =~ /"error"/;
	return $answer;
}

$| = 1;
alarm 120;
while (my $line = <STDIN>) {
	next if $line =~ /^\t/;
	print $line;
	print "\t", ask($1, $2, $3 // ''), "\n" if $line =~ /^([A-Z]+) (\S+)(?: (.*))?$/;
}
