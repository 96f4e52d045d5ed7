#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# The host's end of the channel, for a guest that is scripted: peer.pl SOCKET [WORD...]. Listens,
# greets, and prints what the guest says, a line each. Words:
#   stop=SIGNAL:GRACE_MS  asks for it once the guest has logged something
#   leave                 ends the first connection after the hello, as a daemon that restarts
#   unseen                does not acknowledge the exit report
#   wait=SECONDS          for the first connection (15)
#   last=SECONDS          ends then, whatever goes on (20)
# Ends when the guest has ended the connection for good (1 s without another), and when nonsense
# came on two of them.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;

my ($path, @words) = @ARGV;
my %want = map { /^(\w+)(?:=(.*))?$/ ? ($1, $2 // 1) : () } @words;
my $magic = "\xf5stoker\0channel\xfa";
my @streams = qw(stdout stderr kernel syslog init);
my @kinds = ('?', 'code', 'signal', 'oom', 'init-error');
my ($greet, $stop, $exit_seen, $log_seen, $hello, $log, $exit) = (1, 2, 4, 6, 64, 65, 66);
my $place;

$| = 1;
$SIG{PIPE} = 'IGNORE';
$SIG{ALRM} = sub { exit 0 };
alarm($want{last} // 20);
unlink $path;
my $listener = IO::Socket::UNIX->new(Local => $path, Listen => 16) or die "$path: $!\n";
chmod 0666, $path;

sub frame { my ($type, $body) = @_; return pack('Vvv', length $body, $type, 0) . $body }

sub say_log {
	my ($stream, $bytes) = @_;
	print "$streams[$stream]: $_\n" for split /\n/, $bytes;
}

my $nonsense = 0;
sub nonsense { print "nonsense\n"; exit 0 if $nonsense++; return 0 }

# Returns false when the connection is over.
sub take {
	my ($c, $type, $stream, $body) = @_;
	if ($type == $hello) {
		my ($their_magic, $nonce, $version, $running, $init, $boot, $at) =
			unpack 'a16 a8 V V Q< Q< Q<', $body;
		$place = $at;
		print 'hello: ', ($their_magic eq $magic && $nonce eq 'nonce-01' ? '' : 'not ours, '),
			"version $version, ", ($running ? 'running' : 'not running'), ', boot ',
			($boot ? 'told' : 'not told'), "\n";
		return 0 if delete $want{leave};
	} elsif ($type == $log) {
		say_log($stream, $body);
		$place += 8 + length $body;
		syswrite $c, frame($log_seen, pack('Q<', $place));
		if (defined(my $order = delete $want{stop})) {
			my ($signal, $grace) = split /:/, $order;
			syswrite $c, frame($stop, pack('V V Q<', $signal, 0, $grace));
		}
	} elsif ($type == $exit) {
		my ($kind, $code, $message) = unpack 'V l< Z200', $body;
		print "exit: $kinds[$kind] $code $message\n";
		syswrite $c, frame($exit_seen, '') if !$want{unseen};
	} else {
		return nonsense();
	}
	return 1;
}

sub serve {
	my ($c) = @_;
	my $bytes = '';
	syswrite $c, frame($greet, $magic . 'nonce-01' . pack('V Q<', 7, 0));
	while (sysread $c, $bytes, 65536, length $bytes) {
		while (length $bytes >= 8) {
			my ($length, $type, $stream) = unpack 'V v v', $bytes;
			return nonsense() if $length > 65536;
			last if length $bytes < 8 + $length;
			my $body = substr $bytes, 8, $length;
			substr $bytes, 0, 8 + $length, '';
			return if !take($c, $type, $stream, $body);
		}
	}
	print "closed\n";
}

my $ready = IO::Select->new($listener);
my $patience = $want{wait} // 15;
while ($ready->can_read($patience)) {
	my $c = $listener->accept or last;
	serve($c);
	close $c;
	$patience = 1;
}
