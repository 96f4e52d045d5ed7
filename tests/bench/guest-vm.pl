#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# For guest.sh: QEMU without stoker, by the command line that stoker gave it.
#
#   guest-vm.pl take PID DIR             the command line of a VM that runs, its kernel and initrd, into
#                                        DIR; its modules, in their order, into DIR/modules
#   guest-vm.pl boot DIR INITRD          one guest; prints the microseconds from "bench: begun" to
#                                        "bench: ran" (bench/guest.c)
#   guest-vm.pl port DIR INITRD FILE     one guest that writes to its port, which goes to FILE; prints
#                                        the microseconds
#   guest-vm.pl many DIR INITRD COUNT    so many at once; prints the milliseconds until all ran
#
# DIR/base is the image and a copy of DIR/upper.ext4 the writable disk of each guest, and a tap of its own, which is up, its
# network interface.
use strict;
use warnings;
use Fcntl qw(F_DUPFD);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use POSIX qw(_exit dup2);
use Time::HiRes qw(sleep time);

use constant { TUNSETIFF => 0x400454ca, IFF_TAP_NO_PI_VNET_HDR => 0x5002, BOOT_S => 300 };

my ($verb, @args) = @ARGV;
my %vms; # pid -> console
my $work = tempdir('/tmp/stoker-bench-vm.XXXXXX', CLEANUP => 0);

sub end_vms {
	kill 'KILL', keys %vms;
	waitpid $_, 0 for keys %vms;
	%vms = ();
}
END { my $status = $?; end_vms(); system 'rm', '-rf', $work; $? = $status }
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

sub slurp {
	my ($path) = @_;
	open my $file, '<:raw', $path or die "open $path: $!\n";
	local $/;
	return <$file> // '';
}

# The descriptors of a command line: number -> what it is.
sub descriptors {
	my @argv = @_;
	my %what;
	for my $i (0 .. $#argv - 1) {
		my ($option, $value) = @argv[$i, $i + 1];
		$what{$1} = substr $option, 1
			if $option =~ /^-(kernel|initrd)$/ && $value =~ m{^/proc/self/fd/(\d+)$};
		$what{$2} = $1 if $option eq '-chardev' && $value =~ /^socket,id=(\w+),fd=(\d+)/;
		$what{$1} = 'console'
			if $option eq '-chardev' && $value =~ m{^file,id=console,path=/dev/fdset/(\d+)};
		$what{$1} = 'tap' if $option eq '-netdev' && $value =~ /^tap,.*fd=(\d+)/;
		$what{$1} = $2 eq 'on' ? 'base' : 'upper'
			if $option eq '-blockdev' && $value =~ m{filename=/dev/fdset/(\d+),read-only=(\w+)};
	}
	return %what;
}

sub take {
	my ($pid, $dir) = @_;
	my $line = slurp("/proc/$pid/cmdline");
	my %what = descriptors(split /\0/, $line);
	open my $file, '>', "$dir/cmdline" or die "$dir/cmdline: $!\n";
	print $file $line;
	close $file;
	for my $fd (keys %what) {
		next unless $what{$fd} =~ /^(kernel|initrd)$/;
		system('cp', "/proc/$pid/fd/$fd", "$dir/$what{$fd}") == 0 or die "no $what{$fd}\n";
	}
	take_modules($dir);
}

# From stoker's own initramfs: guest-init/protocol.h has the format of /stoker/modules.
sub take_modules {
	my ($dir) = @_;
	my $number = 0;
	mkdir "$dir/$_" for qw(unpacked modules);
	system("cd $dir/unpacked && cpio -id --quiet <../initrd") == 0 or die "cpio failed\n";
	my $list = slurp("$dir/unpacked/stoker/modules");
	while (length $list) {
		my ($tag, $length) = unpack 'VV', $list;
		my $path = substr $list, 8, $length;
		my ($name) = $path =~ m{([^/]+)$};
		copy("$dir/unpacked$path", sprintf '%s/modules/%02d-%s', $dir, $number++, $name)
			or die "module $path: $!\n";
		$list = substr $list, 8 + $length;
	}
}

sub open_tap {
	my ($name) = @_;
	my $request = pack 'Z16 S x22', $name, IFF_TAP_NO_PI_VNET_HDR;
	open my $tap, '+<', '/dev/net/tun' or die "/dev/net/tun: $!\n";
	ioctl $tap, TUNSETIFF, $request or die "tap $name: $!\n";
	system('ip', 'link', 'set', $name, 'up') == 0 or die "tap $name stays down\n";
	return $tap;
}

# What a VM opens, before its time begins; number => handle.
sub prepare {
	my ($dir, $initrd, $number) = @_;
	my @argv = split /\0/, slurp("$dir/cmdline");
	my %what = descriptors(@argv);
	my $name = "$work/$number";
	my %open;
	system('cp', '--sparse=always', "$dir/upper.ext4", "$name.upper") == 0 or die "no disk\n";
	my %path = (kernel => "$dir/kernel", initrd => $initrd, base => "$dir/base",
		upper => "$name.upper", console => "$name.console");
	for my $fd (keys %what) {
		my $what = $what{$fd};
		my $handle;
		if ($what eq 'tap') {
			$handle = open_tap("bench$number");
		} elsif ($what eq 'channel' || $what eq 'qmp') {
			$handle = IO::Socket::UNIX->new(Local => "$name.$what", Listen => 1)
				or die "socket $name.$what: $!\n";
		} else {
			my $mode = $what eq 'console' ? '>>' : $what eq 'upper' ? '+<' : '<';
			open $handle, $mode, $path{$what} or die "$path{$what}: $!\n";
		}
		$open{$fd} = $handle;
	}
	$argv[0] = '/usr/bin/' . ($argv[0] =~ m{([^/]+)$})[0];
	for my $i (0 .. $#argv - 1) {
		$argv[$i + 1] .= ' rdinit=/bench' if $argv[$i] eq '-append';
	}
	return { argv => \@argv, open => \%open, name => $name };
}

sub start {
	my ($vm) = @_;
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		my %high = map { $_ => fcntl($vm->{open}{$_}, F_DUPFD, 100) } keys %{ $vm->{open} };
		dup2($high{$_}, $_) for keys %high;
		open STDOUT, '>>', "$vm->{name}.console";
		open STDERR, '>>', "$vm->{name}.console";
		exec { $vm->{argv}[0] } @{ $vm->{argv} } or _exit(99);
	}
	$vms{$pid} = "$vm->{name}.console";
	return $pid;
}

# What follows "bench: WORD" on the console.
sub said {
	my ($console, $word) = @_;
	return slurp($console) =~ /^bench: $word ([0-9 ]+)\r?\n/m ? $1 : undef;
}

sub await {
	my ($pid, $word) = @_;
	for (my $until = time + BOOT_S; time < $until; sleep 0.005) {
		my $what = said($vms{$pid}, $word);
		return $what if defined $what;
		die "the guest failed:\n" . slurp($vms{$pid})
			if waitpid($pid, POSIX::WNOHANG()) || defined said_failed($vms{$pid});
	}
	die "the guest does not say '$word':\n" . slurp($vms{$pid});
}

sub said_failed {
	my ($console) = @_;
	return slurp($console) =~ /^bench: failed|Kernel panic/m ? 1 : undef;
}

sub boot {
	my ($dir, $initrd) = @_;
	my $pid = start(prepare($dir, $initrd, 0));
	my $ran = await($pid, 'ran');
	printf "%d\n", $ran - said($vms{$pid}, "begun");
}

sub port {
	my ($dir, $initrd, $path) = @_;
	my $vm = prepare($dir, $initrd, 0);
	my $host = IO::Socket::UNIX->new(Peer => "$vm->{name}.channel") or die "channel: $!\n";
	my $reader = fork // die "fork: $!\n";
	if ($reader == 0) {
		open my $file, '>:raw', $path or _exit(1);
		while (sysread $host, my $bytes, 65536) {
			syswrite $file, $bytes;
		}
		_exit(0);
	}
	$vms{$reader} = '/dev/null';
	my ($from, $to) = split / /, await(start($vm), 'wrote');
	printf "%d\n", $to - $from;
}

sub many {
	my ($dir, $initrd, $count) = @_;
	my @ready = map { prepare($dir, $initrd, $_) } 1 .. $count;
	my $from = time;
	my @pids = map { start($_) } @ready;
	await($_, 'ran') for @pids;
	printf "%d\n", (time - $from) * 1000;
}

my %verbs = (take => \&take, boot => \&boot, port => \&port, many => \&many);
($verbs{ $verb // '' } // die "usage: guest-vm.pl take|boot|port|many ...\n")->(@args);
