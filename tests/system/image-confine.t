#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# The walls around stoker-image, in real pulls from a real registry. First what its two processes do
# there, by strace(1): which system calls at all, and on which names. Then what they could do: in the
# place of one of their own calls comes another (intrude_driver.c), and the kernel judges it.
use strict;
use warnings;
use Cwd 'abs_path';
use File::Basename 'dirname';
use Test::More;

require(dirname(abs_path($0)) . '/../store.pl');
our ($build, $dir, $layout);

start(5000, 'docker-registry', 'serve', registry_config(5000));
my $reference = '127.0.0.1:5000/team/app:v1';
quietly("skopeo copy --dest-tls-verify=false oci:$layout:v1 docker://$reference");
my $outside = "$dir/outside";
run('mkdir', '-m', '1777', $outside);
my $pulls = 0;

sub slurp { my ($path) = @_; open my $f, '<', $path or die "$path: $!"; local $/; return scalar <$f> }

# --- 1. what they do -------------------------------------------------------------------------------

# The lines of a trace; a call that strace told in two parts, as others came between, is one again, at
# its end.
sub trace_lines {
	my ($path) = @_;
	my (@lines, %begun);
	for (split /\n/, slurp($path)) {
		my ($pid, $line) = /^(\d+) +(.*)/ or next;
		if ($line =~ /^(.*) <unfinished \.\.\.>$/) { $begun{$pid} = $1; next }
		$line = delete($begun{$pid}) . $1 if $line =~ /^<\.\.\. \w+ resumed>(.*)/ && defined $begun{$pid};
		push @lines, [ $pid, $line ];
	}
	return (@lines, map { [ $_, "$begun{$_} = ?" ] } sort keys %begun);
}

# Every process of a trace: what it executed, its threads' calls once its filter was in force.
sub processes {
	my ($path) = @_;
	my (%process_of, %found);
	my @lines = trace_lines($path);
	# A thread may be at work before its maker is told its number.
	for (@lines) {
		my ($pid, $line) = @$_;
		$process_of{$1} = $pid if $line =~ /^clone3?\(.*CLONE_THREAD.* = (\d+)(?: |$)/;
	}
	for (@lines) {
		my ($pid, $line) = @$_;
		$pid = $process_of{$pid} while $process_of{$pid};
		my $process = $found{$pid} //= { calls => {}, named => [] };
		$process->{command} = $1 if $line =~ /^execve\("[^"]*", \["[^"]*", "(\w+)"/;
		push @{$process->{before}}, $line unless $process->{confined};
		if ($process->{confined} && $line =~ /^(\w+)\(/) {
			$process->{calls}{$1}++;
			push @{$process->{named}}, $line if $line =~ /^\w+\((?:AT_FDCWD, |\d+, )?"/ && $line !~ /^(?:p?read|p?write|recv|send)/;
		}
		$process->{confined} = 1 if $line =~ /^seccomp\(SECCOMP_SET_MODE_FILTER, .* = 0$/;
	}
	return values %found;
}

my $driver = "$build/tests/store_driver " . ini(state => "$dir/traced") . " $reference";
my $said = `strace -f -qq -s 64 -o $dir/trace $driver`;
like($said, qr/^image \Q$reference\E [0-9a-f]{64} /, 'a pull under strace');
my ($fetch) = grep { ($_->{command} // '') eq 'fetch' } processes("$dir/trace");
my ($builder) = grep { ($_->{command} // '') eq 'build' } processes("$dir/trace");
ok($fetch && $fetch->{confined}, 'the fetcher confines itself');
ok($builder && $builder->{confined}, 'so does the builder');
for ([ fetcher => $fetch, 870000 ], [ builder => $builder, 870001 ]) {
	my ($who, $process, $uid) = @$_;
	my $before = join "\n", @{$process->{before}};
	like($before, qr/^setgroups\(0, NULL\) += 0$/m, "the $who: no groups");
	like($before, qr/^setres${_}id\($uid, $uid, $uid\) += 0$/m, "the $who: not root, but ${_}id $uid") for qw(g u);
	cmp_ok(index($before, 'setresuid('), '<', index($before, 'execve('), "the $who: before it is executed");
	like($before, qr/^prctl\(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0\) += 0$/m, "the $who: nothing to get privileges with");
	like($before, qr/^capset\(\{version=_LINUX_CAPABILITY_VERSION_3, pid=0\}, \{effective=0, permitted=0, inheritable=0\}\) += 0$/m, "the $who: no capabilities");
}

# Neither opens a file nor makes a socket: it has what it was given.
my %harmless = map { $_ => 1 } qw(read write pread64 pwrite64 lseek fstat newfstatat ftruncate close
	brk mmap munmap mremap mprotect madvise futex clone clone3 set_robust_list rseq sched_yield
	sched_getaffinity rt_sigaction rt_sigprocmask getrandom sysinfo clock_gettime gettimeofday exit exit_group);
is(join(' ', grep { !$harmless{$_} } sort keys %{$builder->{calls}}), '', 'the builder: nothing but reading, writing, memory and threads');
cmp_ok($builder->{calls}{$_} // 0, '>', 0, "the builder: $_ is among what was seen") for qw(read pwrite64 futex clone);
is(join("\n", grep { !/^newfstatat\(\d+, "", .*AT_EMPTY_PATH\)/ } @{$builder->{named}}), '', 'the builder: names no file');

# Writes by the descriptor of its cache (4) and a plain name; elsewhere it only reads.
my (@reads, @strange);
for (@{$fetch->{named}}) {
	next if m{^(?:openat|newfstatat|unlinkat|linkat|fchmodat|utimensat)\(4, "(?!\.)[^"/]+"} || m{^(?:renameat2?|linkat)\(4, "[^"/]+", 4, "[^"/]+"};
	next if /^newfstatat\(\d+, "", .*AT_EMPTY_PATH\)/;
	if (/^(?:openat|newfstatat|readlink|access|statx)\((?:AT_FDCWD, )?"([^"]+)"/ && !/O_WRONLY|O_RDWR|O_CREAT/) { push @reads, $1 }
	else { push @strange, $_ }
}
is(join("\n", @strange), '', 'the fetcher: writes in its cache alone');
is(join("\n", grep { !m{^/(?:etc|lib|lib64|usr/lib|usr/share|dev/urandom|sys/devices/system/cpu|proc/sys/vm)(?:/|$)} } @reads), '', 'the fetcher: reads what names and TLS need');
cmp_ok($fetch->{calls}{$_} // 0, '>', 0, "the fetcher: $_ is among what was seen") for qw(socket connect openat);

# --- 2. what they could do -------------------------------------------------------------------------

# What became of each attempt, who made it, and what the store said of the pull.
sub intrude {
	my ($name, @attempts) = @_;
	my @command = ("$build/tests/intrude_driver", "$dir/intruded", $name, @attempts, '--',
		"$build/tests/store_driver", ini(state => sprintf '%s/intruded-%d', $dir, $pulls++), $reference);
	open my $out, '-|', @command or die;
	my $answer = do { local $/; <$out> } // '';
	close $out;
	my $notes = slurp("$dir/intruded");
	my %result = $notes =~ /^([a-z0-9_-]+(?::\S+)?): (done|E\w+|SIG\w+)$/mg;
	return (\%result, $notes, $answer);
}

sub is_nobody {
	my ($who, $notes, $uid) = @_;
	like($notes, qr/^${_}id:\t$uid\t$uid\t$uid\t$uid$/m, "the $who: its ${_}id") for qw(U G);
	like($notes, qr/^Groups:\t ?$/m, "the $who: no groups");
	like($notes, qr/^Cap$_:\t0+$/m, "the $who: Cap$_ is empty") for qw(Inh Prm Eff Bnd Amb);
	like($notes, qr/^NoNewPrivs:\t1$/m, "the $who: no new privileges");
}

sub files_outside { return join ' ', glob "$outside/*" }

SKIP: {
	skip('the intruder knows x86_64 only', 1) if `uname -m` ne "x86_64\n";
	my $has_landlock = `$build/tests/intrude_driver landlock` eq "yes\n";
	my $text = "$outside/text";
	run("echo text > $text && chmod 0666 $text");

	# The builder: none of these exists for it.
	my ($result, $notes, $answer);
	for my $attempt ("read:/etc/passwd", "open:/etc/passwd", "create:$outside/new", "append:$text", "mkdir:$outside/new",
		"unlink:$text", "rename:$text,$outside/new", "truncate:$text", "chmod:$text", 'tcp', 'udp6', 'unix',
		'packet', 'socketpair', 'execute:/bin/sh', 'fork', 'setuid', 'ptrace', 'mount', 'unshare', 'io_uring', 'code') {
		($result, $notes, $answer) = intrude('stoker-build', $attempt);
		is($result->{$attempt} // 'nothing', 'SIGSYS', "the builder: $attempt");
		is($answer, "error $reference 0 stoker-image crashed with signal 31\n", 'the daemon lives on and says so') if $attempt =~ /^(?:read|tcp)/;
	}
	is_nobody('builder', $notes, 870001);

	# The fetcher: a good many of these are refused, and then the pull goes on.
	my %expected = (
		'create-in-cache:intruder' => qr/^done$/,
		'unix' => qr/^EAFNOSUPPORT$/,
		'tcp' => qr/^done$/,
		'read:/etc/hosts' => qr/^done$/,
		($has_landlock ? ("create:$outside/new" => qr/^EACCES$/, "append:$text" => qr/^EACCES$/,
			'create-in-cache:../../../out' => qr/^EACCES$/, "mkdir:$outside/new" => qr/^EACCES$/,
			"unlink:$text" => qr/^EACCES$/, "rename:$text,$outside/new" => qr/^EACCES$/,
			"link:$text,$outside/new" => qr/^(?:EACCES|EPERM|EXDEV)$/, 'read:/etc/passwd' => qr/^EACCES$/, "read:$text" => qr/^EACCES$/,
			'create:/dev/shm/intruder' => qr/^EACCES$/) : ()),
	);
	my @in_turn = sort keys %expected;
	($result, $notes, $answer) = intrude('stoker-fetch', @in_turn);
	like($result->{$_} // 'nothing', $expected{$_}, "the fetcher: $_") for @in_turn;
	is_nobody('fetcher', $notes, 870000);
	like($answer, qr/^image \Q$reference\E /, 'the fetcher: after all that it goes on');
	for my $attempt ("truncate:$text", "chmod:$text", "symlink:/etc/passwd,link", 'packet', 'execute:/bin/sh', 'fork',
		'setuid', 'ptrace', 'mount', 'unshare', 'io_uring') {
		($result) = intrude('stoker-fetch', $attempt);
		is($result->{$attempt} // 'nothing', 'SIGSYS', "the fetcher: $attempt");
	}
	is(files_outside(), $text, 'no file was made');
	is(slurp($text), "text\n", 'none was changed');
	is(sprintf('%o', (stat $text)[2] & 07777), '666', 'nor its mode');
}

done_testing();
