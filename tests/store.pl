# SPDX-License-Identifier: Apache-2.0
# For the tests of the fetch side (tests/system/image-*.t): namespaces and a directory of the test's
# own, servers that end with it, an image of two layers in a layout, and the store asked through
# store_driver. Read with `require`, before anything else is done.
use strict;
use warnings;
use Cwd 'abs_path';
use File::Basename 'dirname';
use File::Temp 'tempdir';
use Test::More;

our $here = dirname(abs_path($0));
our $build = abs_path($ENV{STOKER_BUILD} // "$here/../../build");
plan skip_all => 'needs root' if $> != 0;
unless ($ENV{STOKER_UNSHARED}) {
	$ENV{STOKER_UNSHARED} = 1;
	exec 'unshare', '--net', '--mount', $^X, abs_path($0);
}
system('ip link set lo up') == 0 or die "no loopback";

our $dir = tempdir('stoker-fetch-XXXXXX', TMPDIR => 1);
my @servers;
my $parent = $$;

END {
	if ($parent && $$ == $parent) {
		my $status = $?;
		for my $pid (@servers) { kill 'KILL', -$pid; waitpid $pid, 0 }
		system('umount', "$dir/full") if $dir && -d "$dir/full";
		system('rm', '-rf', $dir) if $dir;
		$? = $status;
	}
}

sub run { my (@command) = @_; system(@command) == 0 or die "@command: failed\n" }

sub quietly { my ($command) = @_; system("$command >$dir/log 2>&1") == 0 or die "$command:\n", `cat $dir/log` }

sub start {
	my ($port, @command) = @_;
	my $pid = fork // die;
	if ($pid == 0) {
		setpgrp;
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$dir/servers.log";
		open STDERR, '>&', \*STDOUT;
		exec @command or exit 127;
	}
	push @servers, $pid;
	for (1 .. 600) {
		return $pid if `ss -Hltn sport = :$port` =~ /LISTEN/;
		select undef, undef, undef, 0.1;
	}
	die "nothing listens on port $port:\n", `cat $dir/servers.log`;
}

# The settings of one store: [paths], [image] and whatever else the test says.
my $inis = 0;
sub ini {
	my (%with) = @_;
	my $path = sprintf '%s/%d.ini', $dir, $inis++;
	open my $f, '>', $path or die;
	print $f "[paths]\nstate_dir = ", $with{state} // "$dir/state", "\nlibexec_dir = $build\n",
		"[daemon]\nuid_base = 870000\n[image]\nretries = ", $with{retries} // 1, "\ninsecure_registries = ",
		$with{insecure} // '127.0.0.1:5000 127.0.0.1:6000 127.0.0.1:6001', "\n",
		$with{ini} // '', "\n";
	close $f;
	chmod 0600, $path;
	return $path;
}

# Asks the store; returns a hash of reference => line.
sub ask {
	my (%with) = @_;
	my @command = ("$build/tests/store_driver", ini(%with), @{$with{references}});
	open my $out, '-|', @command or die;
	my %answers;
	while (<$out>) {
		chomp;
		my ($kind, $reference, $rest) = split / /, $_, 3;
		$answers{$reference} = "$kind $rest";
	}
	close $out;
	return \%answers;
}

sub image {
	my ($reference, %with) = @_;
	my $answers = ask(%with, references => [$reference]);
	return (values %$answers)[0] // 'nothing';
}

sub id { my ($answer) = @_; return $answer =~ /^image ([0-9a-f]{64}) / ? $1 : "none: $answer" }

sub files { my ($path) = @_; my @all = glob "$path/*"; return scalar @all }

# --- an image of two layers, in a layout that others than root can read ----------------------------

our $layout = "$dir/layout";
chmod 0755, $dir;
quietly("umoci init --layout $layout && umoci new --image $layout:v1");
for my $layer (1, 2) {
	quietly("umoci unpack --image $layout:v1 $dir/bundle");
	run('mkdir', '-p', "$dir/bundle/rootfs/bin");
	run("head -c 900000 /dev/urandom > $dir/bundle/rootfs/bin/file$layer");
	quietly("umoci repack --image $layout:v1 $dir/bundle && rm -rf $dir/bundle");
}
quietly("umoci gc --layout $layout && chmod -R a+rX $layout");

sub registry_config {
	my ($port, $more) = @_;
	open my $f, '>', "$dir/registry-$port.yml";
	print $f "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: $dir/registry}}\n",
		"http:\n  addr: 127.0.0.1:$port\n", $more // '';
	return "$dir/registry-$port.yml";
}


1;
