#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# The flattening of images, end to end: layers are made, `stoker-image build` turns them into a
# squashfs as an unprivileged user, and the unpacked result must equal `umoci raw unpack` of the same
# image in every respect. Needs root (device nodes, capabilities, owners), umoci, squashfs-tools,
# attr and libcap2-bin.
use strict;
use warnings;
use Cwd qw(abs_path);
use Digest::SHA qw(sha256 sha256_hex);
use Fcntl qw(:mode);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use JSON::PP;
use POSIX qw(dup2 mkfifo _exit);
use Test::More;

my $root = abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{STOKER_BUILD} // "$root/build";
my $program = "$build/stoker-image";

plan skip_all => 'needs root' if $> != 0;
for my $tool (qw(umoci unsquashfs getfattr setfattr setcap zstd)) {
	BAIL_OUT("$tool is missing (make deps)")
	    if system("PATH=\$PATH:/usr/sbin:/sbin command -v $tool >/dev/null") != 0;
}
$ENV{PATH} .= ':/usr/sbin:/sbin';
umask 022;
require "$root/tests/system/trees.pl";
our $work = tempdir('image-flatten.XXXXXX', TMPDIR => 1, CLEANUP => 1);
# Nobody may not be able to reach the build directory.
chmod 0755, $work;
system('cp', $program, "$work/stoker-image") == 0 or die "cannot copy $program";
$program = "$work/stoker-image";

# --- layers -------------------------------------------------------------------------------------

sub base_layer {
	my $dir = "$work/base";

	make_path("$dir/usr/bin", "$dir/usr/lib", "$dir/etc", "$dir/dev", "$dir/run", "$dir/var/old",
		"$dir/var/opaque/sub", "$dir/turns/to-file/below", "$dir/keeps");
	symlink 'usr/bin', "$dir/bin";
	symlink '/usr/lib', "$dir/lib";
	symlink '../usr/../usr/lib', "$dir/etc/lib-again";
	symlink 'nowhere', "$dir/etc/dangling";
	spew("$dir/usr/bin/tool", text(300_000, 1), 0755);
	spew("$dir/usr/bin/suid", text(70_000, 2));
	chmod 04755, "$dir/usr/bin/suid";
	spew("$dir/usr/bin/ping", text(5_000, 3), 0755);
	run_ok('setcap', 'cap_net_raw+ep', "$dir/usr/bin/ping");
	spew("$dir/usr/lib/twin-$_", text(400_000, 4)) for 1 .. 3;
	spew("$dir/usr/lib/exact", text(131072, 5));
	spew("$dir/usr/lib/empty-$_", '') for 1, 2;
	spew("$dir/usr/lib/small-$_", "small " . $_ % 7) for 1 .. 40;
	spew("$dir/etc/attributes", 'x');
	run_ok('setfattr', '-n', 'user.note', '-v', 'a value', "$dir/etc/attributes");
	run_ok('setfattr', '-n', 'user.binary', '-v', '0x00ff0a00', "$dir/etc/attributes");
	run_ok('setfattr', '-n', 'trusted.mark', '-v', 'dir', "$dir/etc");
	spew("$dir/etc/caf\xe9", 'latin1');
	spew("$dir/etc/caf\xc3\xa9", 'utf8');
	spew("$dir/etc/cafe\xcc\x81", 'decomposed');
	spew("$dir/etc/linked", 'one inode');
	link "$dir/etc/linked", "$dir/etc/linked-$_" for 1 .. 3;
	run_ok('mknod', "$dir/dev/null", 'c', 1, 3);
	run_ok('mknod', "$dir/dev/big", 'b', 259, 70000);
	mkfifo("$dir/run/fifo", 0640);
	spew("$dir/var/old/$_", text(2000, 6)) for qw(a b c);
	spew("$dir/var/opaque/$_", 'lower') for qw(one two sub/three);
	spew("$dir/turns/to-file/below/x", 'x');
	spew("$dir/turns/to-directory", 'file');
	spew("$dir/keeps/lower", 'kept');
	spew("$dir/etc/replaced", text(250_000, 7));
	open my $sparse, '>:raw', "$dir/var/sparse" or die;
	for my $at (0, 3_000_000, 9_999_000) {
		seek $sparse, $at, 0;
		print $sparse text(5000, $at);
	}
	truncate $sparse, 16 << 20;
	close $sparse;
	chown 1000, 1001, "$dir/etc/replaced", "$dir/var/old/a";
	chown 4_000_000_000, 70_000, "$dir/keeps/lower";
	chmod 01777, "$dir/run";
	find({ no_chdir => 1, wanted => sub { utime 1_400_000_000, 1_400_000_000 + length, $_ unless -l } },
		$dir);
	return tar_directory($dir, '--sparse');
}

# Parents through symbolic links, whiteouts, opaque directories, type changes, links to lower files.
sub second_layer {
	my $dir = "$work/second";

	make_path("$dir/var/opaque", "$dir/turns/to-directory", "$dir/keeps", "$dir/bin");
	spew("$dir/bin/tool2", text(150_000, 8), 0755);
	spew("$dir/etc/.wh.attributes", '');
	spew("$dir/etc/replaced", text(1000, 9), 0600);
	spew("$dir/var/.wh.old", '');
	spew("$dir/var/opaque/.wh..wh..opq", '');
	spew("$dir/var/opaque/new", 'upper');
	spew("$dir/turns/to-file", 'now a file');
	spew("$dir/turns/to-directory/inside", 'now inside');
	spew("$dir/keeps/upper", 'added');
	chmod 0700, "$dir/keeps";
	utime 1_450_000_000, 1_450_000_000, "$dir/keeps", "$dir/keeps/upper";
	# The directory bin itself is no entry: its place is the base's symbolic link.
	my $tar = qx{cd $dir && tar --format=gnu --numeric-owner --sort=name --no-recursion -cf - \\
		bin/tool2 etc/.wh.attributes etc/replaced var/.wh.old var/opaque \\
		var/opaque/new var/opaque/.wh..wh..opq turns/to-file turns/to-directory \\
		turns/to-directory/inside keeps keeps/upper};
	BAIL_OUT('tar failed') if $? != 0;
	return append_to_tar($tar,
		header(name => 'lib/link-to-lower', type => '1', link => '/bin/tool'),
		header(name => './implicit/deep/./file', size => 3), pack('a512', 'abc'),
		header(name => '/absolute', size => 2), pack('a512', 'ab'),
		header(name => 'absolute', size => 4), pack('a512', 'last'),
		header(name => 'etc/implied', size => 0));
}

# Whiteouts after and before what they meet, a link that outlives its target.
sub third_layer {
	return append_to_tar('',
		header(name => 'keeps/', type => '5'),
		header(name => 'keeps/late', size => 4), pack('a512', 'late'),
		header(name => '.wh.keeps'),
		header(name => 'etc/.wh.linked'),
		header(name => 'etc/.wh.linked-2'),
		header(name => 'usr/bin/.wh.tool'),
		header(name => 'usr/bin/.wh.tool2'),
		header(name => 'usr/bin/tool2', size => 5), pack('a512', 'again'),
		header(name => 'usr/lib/.wh.never-there'),
		header(name => 'lib/through-absolute', type => '2', link => '../x'));
}

# --- the worker ---------------------------------------------------------------------------------

my $compress = 'zstd:3';
my $worker_uid = 65534;

# Runs the worker as nobody with its descriptors; returns (exit status, last report's kind, text).
sub flatten {
	my ($name, $jobs, $config, @layers) = @_;
	my @arguments = ('build', '--jobs', $jobs, '--compress', $compress, '--config-digest',
		'sha256:' . sha256_hex($config));
	my @files = ("$work/$name.squashfs", "$work/$name.record", "$work/$name.config");
	spew($files[0], '');
	spew($files[1], '');
	spew($files[2], $config);
	for my $i (0 .. $#layers) {
		my ($type, $bytes) = @{ $layers[$i] };
		push @files, "$work/$name.layer$i";
		spew($files[-1], $bytes);
		push @arguments, '--layer', "$type:sha256:" . sha256_hex($bytes);
	}
	push @files, "$work/$name.notes";
	spew($files[-1], '');
	pipe my $reports, my $report_writer or die;
	my $child = fork // die;
	if ($child == 0) {
		my @handles = map { open my $file, '+<', $_ or _exit(98); $file } @files;
		# Out of the way first: the targets may be in use.
		my @numbers = (fileno $report_writer, map { fileno $_ } @handles);
		my $base = 60;
		dup2($numbers[$_], $base + $_) for 0 .. $#numbers;
		POSIX::close($_) for 3 .. $base - 1;
		for (0 .. $#numbers) {
			dup2($base + $_, 3 + $_);
			POSIX::close($base + $_);
		}
		$( = $) = "$worker_uid $worker_uid";
		$< = $> = $worker_uid;
		exec $program, @arguments or _exit(99);
	}
	close $report_writer;
	my $all = do { local $/; <$reports> } // '';
	waitpid $child, 0;
	my $size = 4 * 4 + 2 * 8 + 2 * 4 + 488;
	my @records = unpack "(a$size)*", $all;
	my ($magic, $kind, $stage, $type, $done, $total, $count, $retry, $text) =
	    unpack 'L4 Q2 L2 Z*', $records[-1] // '';
	return ($?, $kind // 0, $text // '', scalar @records);
}

# --- 1. the same tree as umoci ------------------------------------------------------------------

my @tars = (base_layer(), second_layer(), third_layer());
my $config = make_config({ Entrypoint => [ '/usr/bin/tool' ], Cmd => [ 'a', 'b c' ],
	Env => [ 'PATH=/usr/bin', "NAME=caf\x{e9}" ], User => '1000:1001', WorkingDir => '/srv/data',
	StopSignal => 'SIGQUIT' }, @tars);
my @gzip = map { compress($_, 'gzip') } @tars;

write_layout("$work/layout", $config, @gzip);
run_ok("umoci raw unpack --image $work/layout:test $work/expected >/dev/null 2>&1");

my ($status, $kind, $text, $records) = flatten('gzip', 2, $config, map { [ gzip => $_ ] } @gzip);
is($status, 0, 'the worker ends well') or diag($text);
is($kind, 5, 'and says REPORT_BUILT');
cmp_ok($records, '>', 3, 'and reported progress before');
ok(unsquash("$work/gzip.squashfs", "$work/actual"), 'unsquashfs unpacks the result');

# umoci leaves the time of day on directories without an entry, on their parent, and on a directory
# that a whiteout after its own entry empties; here they are from the epoch, or as their entry says.
my %implicit = map { $_ => 1 } ('.', './implicit', './implicit/deep', './keeps');
my $expected = inventory("$work/expected", without_mtime => \%implicit);
my $actual = inventory("$work/actual", without_mtime => \%implicit);
cmp_ok(scalar(keys %$actual), '>', 80, 'a tree of some size');
is(join("\n", differences($expected, $actual)), '', 'no difference to umoci raw unpack');
is((lstat "$work/actual/implicit/deep")[9], 0, 'directories without an entry are from the epoch');
is((lstat "$work/actual")[9], 1_400_000_000 + length "$work/base", 'the root is as old as its entry');
is((lstat "$work/actual/keeps")[9], 1_500_000_000, 'and so is a directory that lost files');
like($actual->{'./usr/bin/ping'}, qr/security\.capability=0x/, 'file capabilities are there');
like($actual->{'./etc/linked-1'}, qr/\[2 /, 'a link outlives the name that others were made from');
ok(!exists $actual->{'./var/old'}, 'a whiteout removes');
ok(!exists $actual->{'./keeps/lower'} && exists $actual->{'./keeps/late'},
	'a whiteout leaves what its own layer brought');

# --- 2. always the same bytes -------------------------------------------------------------------

my $digest = sha256_hex(slurp("$work/gzip.squashfs"));
my @zstd = map { compress($_, 'zstd') } @tars;
for ([ 1, gzip => \@gzip ], [ 4, gzip => \@gzip ], map { [ $_, zstd => \@zstd ] } 1, 2, 4) {
	my ($jobs, $type, $layers) = @$_;
	($status, $kind, $text) = flatten('again', $jobs, $config, map { [ $type => $_ ] } @$layers);
	is(sha256_hex(slurp("$work/again.squashfs")), $digest, "$jobs jobs, $type: the same bytes")
	    or diag($text);
}
$worker_uid = 12345;
($status, $kind, $text) = flatten('again', 2, $config, map { [ gzip => $_ ] } @gzip);
is(sha256_hex(slurp("$work/again.squashfs")), $digest, 'as another user: the same bytes') or diag($text);
$worker_uid = 65534;
($status, $kind, $text) = flatten('mixed', 3, $config, [ zstd => compress($tars[0], 'zstd') ],
	[ tar => $tars[1] ], [ gzip => compress(substr($tars[2], 0, 1000), 'gzip')
	. compress(substr($tars[2], 1000), 'gzip') ]);
is(sha256_hex(slurp("$work/mixed.squashfs")), $digest,
	'zstd, plain tar and gzip in two members: the same bytes') or diag($text);

# Another method is another file, of the same tree.
for ([ 'gzip:9', 1 ], [ 'lz4', 5 ], [ 'xz', 4 ], [ 'zstd:19', 6 ]) {
	my ($method, $number) = @$_;
	my ($name) = $method =~ /^(\w+)/;
	my %sums;
	$compress = $method;
	for my $jobs (1, 2) {
		($status, $kind, $text) = flatten("as-$name", $jobs, $config, map { [ gzip => $_ ] } @gzip);
		is($status, 0, "$method, $jobs jobs: built") or diag($text);
		$sums{ sha256_hex(slurp("$work/as-$name.squashfs")) } = 1;
	}
	is(scalar(keys %sums), 1, "$method: the same bytes");
	is(unpack('x20 v', slurp("$work/as-$name.squashfs")), $number, "$method: what the superblock says");
	ok(unsquash("$work/as-$name.squashfs", "$work/as-actual"), "$method: unpacked");
	is(join("\n", differences($expected, inventory("$work/as-actual", without_mtime => \%implicit))), '',
		"$method: no difference");
}
$compress = 'zstd:3';

# --- 3. the image record ------------------------------------------------------------------------

my @entries;
my $record = slurp("$work/gzip.record");
while (length $record) {
	my ($tag, $value) = unpack 'V V/a', $record;
	push @entries, "$tag $value";
	substr $record, 0, 8 + length $value, '';
}
is_deeply(\@entries, [ '1 /usr/bin/tool', '2 a', '2 b c', '3 PATH=/usr/bin', "3 NAME=caf\xc3\xa9",
	'4 1000:1001', '5 /srv/data', '6 SIGQUIT' ], 'the record says what the image says');

# --- 4. what is refused, as a whole -------------------------------------------------------------

sub refused {
	my ($what, $message, @arguments) = @_;
	my ($code, $last, $said) = flatten('refused', 2, @arguments);
	is("$code $last", '256 6', "$what: refused");
	like($said, $message, "$what: says so");
}

my $small = append_to_tar('', header(name => 'a', size => 3), pack 'a512', 'abc');
my $good = make_config({}, $small);
refused('a diffID that lies', qr/^layer 1 of 1: its diffID is sha256:[0-9a-f]{64}, not sha256:[0-9a-f]{64} as promised$/,
	make_config({}, $small . 'x'), [ tar => $small ]);
refused('fewer layers than the config names', qr/^image config: names 2 layers, the manifest 1$/,
	make_config({}, $small, $small), [ tar => $small ]);
refused('a layer of another type', qr/^layer 1 of 1: is not gzip data, as its manifest says$/,
	$good, [ gzip => $small ]);
my $broken = compress($small, 'gzip');
substr $broken, -6, 1, chr(ord(substr $broken, -6, 1) ^ 1);
refused('a wrong CRC', qr/^layer 1 of 1: gzip: wrong checksum$/, $good, [ gzip => $broken ]);
refused('a truncated layer', qr/^layer 1 of 1: gzip: the data is cut off$/, $good,
	[ gzip => substr compress($small, 'gzip'), 0, -9 ]);
refused('a config that overflows to root', qr/^image config: user '4294967296': a number beyond/,
	make_config({ User => '4294967296' }, $small), [ tar => $small ]);
refused('a path out of the root', qr/^layer 1 of 1: '..\/x': '\.\.' in a path$/,
	make_config({}, append_to_tar('', header(name => '../x'))),
	[ tar => append_to_tar('', header(name => '../x')) ]);

# --- 5. as root: not at all ---------------------------------------------------------------------

{
	my $zeros = 'sha256:' . '0' x 64;
	my $out = qx{$program build --jobs 1 --compress zstd:3 --config-digest $zeros --layer tar:$zeros \\
		3>&1 4<>/dev/null 5<>/dev/null 6</dev/null 7</dev/null 8<>/dev/null};
	is($? >> 8, 1, 'as root: refused');
	like($out, qr/must not run as root/, 'as root: says so');
}

# --- 6. many files ------------------------------------------------------------------------------

{
	my $many = join '', map {
		header(name => sprintf('d%02d/e%02d/f%d', $_ % 50, $_ % 97, $_), size => 9 + $_ % 5),
		    pack 'a512', sprintf 'file %-10d', $_ % 40000
	} 1 .. 50_000;
	$many = append_to_tar('', $many);
	my $layer = compress($many, 'gzip');
	($status, $kind, $text) = flatten('many', 2, make_config({}, $many), [ gzip => $layer ]);
	is("$status $kind", '0 5', '50,000 files') or diag($text);
	my $count = () = qx{unsquashfs -l $work/many.squashfs} =~ m{/f\d+$}mg;
	is($count, 50_000, 'all of them are there');
}

# --- 7. guesses that go wrong -------------------------------------------------------------------

# Contents are written before lower layers are known. A name that is gone may have had another; a
# few bytes for nobody may stay, many may not.
sub file {
	my ($name, $bytes) = @_;
	return (header(name => $name, size => length $bytes), $bytes . "\0" x (-length($bytes) % 512));
}

sub guesses {
	my ($name, @layers) = @_;
	my @guess_tars = map { append_to_tar('', @$_) } @layers;
	my $guess_config = make_config({}, @guess_tars);
	my @blobs = map { compress($_, 'gzip') } @guess_tars;
	write_layout("$work/$name-layout", $guess_config, @blobs);
	run_ok("umoci raw unpack --image $work/$name-layout:test $work/$name-expected >/dev/null 2>&1");
	my ($code, $last, $said) = flatten($name, 2, $guess_config, map { [ gzip => $_ ] } @blobs);
	is("$code $last", '0 5', "$name: built") or diag($said);
	ok(unsquash("$work/$name.squashfs", "$work/$name-actual"), "$name: unpacked");
	my %root = (without_mtime => { '.' => 1, './d' => 1 });
	is(join("\n", differences(inventory("$work/$name-expected", %root),
		inventory("$work/$name-actual", %root))), '', "$name: no difference to umoci");
	my $bytes = slurp("$work/$name.squashfs");
	flatten($name, 4, $guess_config, map { [ tar => $_ ] } @guess_tars);
	ok(slurp("$work/$name.squashfs") eq $bytes, "$name: always the same bytes");
	return length $bytes;
}

# Bytes that do not compress.
sub noise {
	my ($length, $seed) = @_;
	return substr join('', map { sha256("$seed $_") } 1 .. $length / 32 + 1), 0, $length;
}

guesses('another-name',
	[ file('big', noise(3_000_000, 1)), file('one', noise(9_000, 2)),
		header(name => 'two', type => '1', link => 'one'), file('gone', noise(9_000, 3)) ],
	[ header(name => '.wh.one'), header(name => 'three', type => '1', link => 'gone'),
		header(name => '.wh.gone') ],
	[ file('big', noise(3_000_000, 4)), file('d/small', 'x'), header(name => '.wh.d') ]);
my $lean = guesses('through-a-link',
	[ header(name => 'usr/', type => '5'), header(name => 'bin', type => '2', link => 'usr'),
		file('usr/large', noise(2_000_000, 5)), file('usr/kept', noise(1_000_000, 6)) ],
	[ file('bin/large', noise(2_000_000, 7)), file('twice', noise(400_000, 8)),
		file('twice', noise(400_000, 9)) ]);
cmp_ok($lean, '<', 3_450_000, 'through-a-link: nothing is kept that nobody sees');

done_testing();
