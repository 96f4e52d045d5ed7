#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# Images that nobody makes, through `stokerctl image pull -o`. First one with every kind of entry,
# every dialect of tar and whiteouts in odd places, then random ones (SEED=N repeats them): the tree
# equals `umoci raw unpack`'s, and is what a guest's kernel finds when it mounts the image. Then
# hostile ones: each is refused with its words, and leaves nothing.
use strict;
use warnings;
use Cwd qw(abs_path);
use Digest::SHA qw(sha256_hex);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use MIME::Base64 qw(decode_base64);
use POSIX qw(mkfifo);
use Test::More;

my $root = abs_path(dirname(__FILE__) . '/../..');
my $build = $ENV{STOKER_BUILD} // "$root/build";

plan skip_all => 'needs root' if $> != 0;
$ENV{PATH} .= ':/usr/sbin:/sbin';
umask 022;
require "$root/tests/system/trees.pl";
our $work = tempdir('image-torture.XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $work;
my $seed = $ENV{SEED} // int rand 2**31;
srand $seed;
make_path("$work/out", "$work/libexec");
symlink abs_path("$build/stoker-image"), "$work/libexec/stoker-image";
spew("$work/stoker.ini", "[paths]\nlibexec_dir = $work/libexec\n[daemon]\nuid_base = 869000\n");

# What stokerctl says, and the layout that it is given.
sub pull {
	my ($config, @tars) = @_;
	remove_tree("$work/layout");
	write_layout("$work/layout", $config, map { ref $_ ? $$_ : compress($_, 'gzip') } @tars);
	system("chmod -R a+rX $work/layout");
	my $out = qx{$build/stokerctl -c $work/stoker.ini image pull -o $work/out/image oci:$work/layout:test 2>&1};
	return join '', grep { /^stokerctl: / } split /^/, $out;
}

# The tree of an image, and what is different in umoci's.
sub compare {
	my ($what, $without_mtime, @tars) = @_;
	is(pull(make_config({}, @tars), @tars), '', "$what: no error");
	remove_tree("$work/expected", "$work/actual");
	my $log = qx{umoci raw unpack --image $work/layout:test $work/expected 2>&1};
	BAIL_OUT("umoci: $log") if $? != 0;
	ok(unsquash("$work/out/image", "$work/actual"), "$what: unsquashfs unpacks it");
	my ($expected, $actual) = map { inventory("$work/$_", without_mtime => $without_mtime) } qw(expected actual);
	is(join("\n", differences($expected, $actual)), '', "$what: no difference to umoci raw unpack");
	return $actual;
}

# Every directory's path as the inventories have it: umoci leaves the time of day on some.
sub directories {
	my %found = ('.' => 1);
	for my $tar (@_) {
		spew("$work/list.tar", $tar);
		for my $path (split /\n/, qx{tar -tf $work/list.tar 2>/dev/null}) {
			my @parts = grep { length && $_ ne '.' } split m{/}, $path;
			$found{join '/', '.', @parts[0 .. $_]} = 1 for 0 .. $#parts - 1;
			$found{join '/', '.', @parts} = 1 if $path =~ m{/$};
		}
	}
	return \%found;
}

# --- what a guest's kernel makes of it ------------------------------------------------------------

# All that busybox and getfattr see below the present directory, one program for guest and host.
my $facts = <<'END';
b=/bin/busybox
[ -x $b ] || b=busybox
$b find . ! -type d -print0 | $b sort -z | $b xargs -0 $b stat -c '%n %f %u:%g %h %t:%T %s %Y %N'
$b find . -type d -print0 | $b sort -z | $b xargs -0 $b stat -c '%n %f %u:%g %Y'
$b find . -type f -print0 | $b sort -z | $b xargs -0 $b sha256sum
$b find . -print0 | $b sort -z | $b xargs -0 getfattr -h -d -m - -e hex
END

my $init = <<'END';
#!/bin/busybox sh
PATH=/bin
busybox mount -t devtmpfs none /dev
exec >/dev/ttyS0 2>&1
for module in /modules/*; do busybox insmod $module; done
busybox mount -t squashfs -o ro /dev/vda /image && cd /image &&
	echo facts: && busybox sh /facts | busybox gzip | busybox base64 && echo end
busybox reboot -f
END

# The modules with what they depend on, in the order to load.
sub modules {
	my ($kernel, @names) = @_;
	my (%depends, @found, %seen);
	for (split /\n/, slurp("$kernel/modules.dep")) {
		my ($module, @on) = map { "$kernel/$_" } grep { length } split /:? +|:/;
		(my $name = $module) =~ s{.*/|\.ko.*}{}g;
		$depends{ $name =~ tr/-/_/r } = [ reverse(@on), $module ];
	}
	return grep { !$seen{$_}++ } map { @{ $depends{$_} // [] } } @names;
}

sub make_initrd {
	my ($kernel) = @_;
	my $dir = "$work/initrd";
	make_path(map { "$dir/$_" } qw(bin dev image modules));
	my @libraries = grep { -e } qx{ldd /usr/bin/getfattr} =~ m{(/\S+)}g;
	run_ok('cp', '-L', '--parents', @libraries, $dir);
	my ($busybox) = grep { -x } map { "$_/busybox" } split /:/, $ENV{PATH};
	run_ok('cp', '-L', $busybox, '/usr/bin/getfattr', "$dir/bin");
	spew("$dir/init", $init, 0755);
	spew("$dir/facts", $facts);
	my $number = 10;
	run_ok('cp', $_, sprintf('%s/modules/%d.ko', $dir, $number++)) for modules($kernel, qw(virtio_mmio virtio_blk squashfs));
	run_ok("cd $dir && busybox find . | busybox cpio -o -H newc >$work/initrd.cpio 2>/dev/null");
}

# Each file's attributes come in the order of its file system.
sub in_order { my ($text) = @_; return join "\n\n", map { join "\n", sort split /\n/ } split /\n\n/, $text }

sub compare_in_guest {
	my ($what) = @_;
	my ($kernel) = grep { m{/([^/]+)$} && -e "/boot/vmlinuz-$1" } glob '/lib/modules/*';
	return diag('no guest: only x86_64 is booted here') if qx{uname -m} ne "x86_64\n" || !$kernel;
	my ($version) = $kernel =~ m{([^/]+)$};
	make_initrd($kernel);
	# A guest that has to measure its clock itself may hang there, without help of the hardware.
	my ($mhz) = slurp('/proc/cpuinfo') =~ /^cpu MHz\s*: (\d+)/m;
	run_ok('timeout', '240', split(/ /, 'qemu-system-x86_64 -M microvm,acpi=on,pit=off,pic=off,rtc=on -accel tcg -cpu max -m 256 -nodefaults '
		. '-no-user-config -display none -no-reboot -kernel'), "/boot/vmlinuz-$version", '-initrd', "$work/initrd.cpio",
		'-append', 'console=ttyS0 quiet loglevel=0 panic=-1 reboot=t cryptomgr.notests tsc=reliable tsc_early_khz=' . 1000 * ($mhz // 2000), '-serial', "file:$work/console",
		'-drive', "if=none,id=image,file=$work/out/image,format=raw,readonly=on", '-device', 'virtio-blk-device,drive=image');
	my $console = slurp("$work/console");
	my ($packed) = $console =~ /^facts:\r?\n(.*?)^end\r?$/ms;
	ok($packed, "$what: a guest mounts the image") or return diag($console);
	spew("$work/facts.gz", decode_base64($packed));
	spew("$work/facts.sh", $facts);
	my $host = in_order(scalar qx{cd $work/actual && sh $work/facts.sh});
	cmp_ok(length $host, '>', 20_000, "$what: there is something to compare");
	my @guest = split /\n/, in_order(scalar qx{gzip -dc $work/facts.gz});
	my @host = split /\n/, $host;
	my @different = grep { ($guest[$_] // '') ne ($host[$_] // '') } 0 .. ($#guest > $#host ? $#guest : $#host);
	is(join("\n", map { ($guest[$_] // 'nothing') . "\n   " . ($host[$_] // 'nothing') } splice @different, 0, 10), '',
		"$what: its kernel sees what unsquashfs unpacks");
}

# --- 1. every kind of entry, in every dialect -----------------------------------------------------

sub tar_as {
	my ($directory, @options) = @_;
	my $tar = qx{tar -C $directory --numeric-owner --sort=name @options -cf - .};
	BAIL_OUT("tar @options failed") if $? != 0;
	return $tar;
}

my $long = 'n' x 255;
my $path = join '/', ('directory-of-some-length') x 40;

sub all_types {
	my $dir = "$work/all";
	make_path("$dir/usr/bin", "$dir/usr/lib", "$dir/etc/empty", "$dir/types", "$dir/x", "$dir/$path");
	symlink "usr/$_", "$dir/$_" for qw(bin lib);
	symlink '../' x 200 . 'etc', "$dir/types/link-up";
	symlink 'y' x 2000, "$dir/types/link-long";
	spew("$dir/usr/bin/tool", text(200_000, 1), 06755);
	spew("$dir/$path/deep", 'deep');
	spew("$dir/x/$long", 'long');
	spew("$dir/x/odd \n\t\\ \"'*?name", 'odd');
	spew("$dir/x/" . join('', map { chr } 0x80 .. 0xff), 'bytes');
	spew("$dir/types/file-$_", text($_, $_)) for 1, 511, 512, 513, 131071, 131072, 131073, 400_000;
	run_ok('mknod', "$dir/types/$$_[0]", @$_[1 .. 3]) for [qw(c c 4 255)], [qw(b b 4095 1048575)], [qw(zero c 0 1)];
	mkfifo("$dir/types/fifo", 01640);
	link "$dir/types/$_", "$dir/types/$_-again" for qw(fifo c link-long file-512);
	run_ok('setfattr', '-n', "user.$_", '-v', 'v' x $_, "$dir/types/file-1") for 1 .. 40;
	run_ok('setfattr', '-n', 'trusted.mark', '-v', 'y', "$dir/etc");
	run_ok('setfattr', '-h', '-n', 'trusted.of-link', '-v', 'l', "$dir/types/link-up");
	run_ok('setcap', 'cap_net_admin,cap_sys_admin+eip', "$dir/usr/bin/tool");
	chown 65534, 4294967294, "$dir/types/file-511";
	utime 0, 0, "$dir/types/file-512";
	utime 4294967295, 4294967295, "$dir/types/file-513";
	return tar_as($dir, '--format=pax', '--pax-option=delete=atime,delete=ctime', '--xattrs', "--xattrs-include='*'");
}

sub sparse_layer {
	my ($name, @options) = @_;
	my $dir = "$work/sparse-$name";
	make_path($dir);
	open my $file, '>:raw', "$dir/sparse-$name" or die;
	for my $i (0 .. 60) {
		seek $file, $i * 70_000 + $i % 3, 0;
		print $file text(700 + $i, $i + 1);
	}
	truncate $file, 9 << 20;
	close $file;
	spew("$dir/after-$name", 'after');
	return tar_as($dir, '--sparse', @options);
}

sub gnu_layer {
	my $dir = "$work/gnu";
	make_path("$dir/$path", "$dir/gnu");
	spew("$dir/$path/second", 'gnu');
	spew("$dir/gnu/$long", 'gnu');
	symlink 'z' x 3000, "$dir/gnu/link";
	link "$dir/$path/second", "$dir/gnu/hard";
	return tar_as($dir, '--format=gnu');
}

my $odd = append_to_tar('',
	header(name => 'types/.wh.never-there'),
	header(name => 'nowhere/.wh.x'),
	header(name => 'etc/.wh.empty'),
	header(name => 'etc/empty/', type => '5'),
	header(name => 'etc/empty/inside', size => 1), pack('a512', 'i'),
	header(name => 'x/new', size => 3), pack('a512', 'new'),
	header(name => 'x/.wh..wh..opq'),
	header(name => 'x/newer', size => 5), pack('a512', 'newer'),
	header(name => 'fresh/.wh..wh..opq'),
	header(name => 'fresh/file', size => 1), pack('a512', 'f'),
	header(name => 'types/.wh.link-up'),
	header(name => 'types/.wh.fifo'),
	header(name => 'types/.wh.c-again'),
	header(name => 'types/c', size => 2), pack('a512', 'no'),
	header(name => 'types/b', type => '5'),
	header(name => 'types/file-1', type => '2', link => 'file-511'),
	header(name => 'types/file-511', size => 3), pack('a512', '511'),
	header(name => 'types/from-lower', type => '1', link => 'types/file-512'),
	header(name => 'types/.wh.file-512'),
	header(name => 'lib/through', type => '1', link => '/bin/tool'),
	header(name => './/usr///lib//slashes', size => 1), pack('a512', 's'),
	header(name => 'old-style-directory/', type => "\0"),
	header(name => 'twice', size => 5), pack('a512', 'first'),
	header(name => 'twice', type => '2', link => 'etc'),
	header(name => 'twice', size => 6), pack('a512', 'second'));

{
	my @tars = (all_types(), gnu_layer(), (map { sparse_layer($_, '--format=pax', "--sparse-version=$_", '--pax-option=delete=atime,delete=ctime') }
			qw(0.0 0.1 1.0)), $odd);
	my $tree = compare('torture', directories(@tars), @tars);
	cmp_ok(scalar(keys %$tree), '>', 80, 'torture: a tree of some size');
	ok(exists $tree->{$_}, "torture: $_") for './types/fifo-again', './x/new',
		'./x/newer', './usr/lib/through', "./gnu/$long", './sparse-0.1';
	ok(!exists $tree->{$_}, "torture: no $_") for './types/fifo', "./x/$long", './nowhere/x', './etc/empty/.wh.x';
	my @sizes = map { -s "$work/actual/sparse-$_" } qw(0.0 0.1 1.0);
	is("@sizes", join(' ', (9 << 20) x 3), 'torture: sparse files have their size');
	compare_in_guest('torture');
}

# GNU tar's old sparse files are unknown to umoci: compared with what was packed.
{
	my $tar = sparse_layer('gnu', '--format=gnu');
	is(pull(make_config({}, $tar), $tar), '', 'old GNU sparse: no error');
	ok(unsquash("$work/out/image", "$work/actual"), 'old GNU sparse: unsquashfs unpacks it');
	is(join("\n", differences(inventory("$work/sparse-gnu"), inventory("$work/actual"))), '',
		'old GNU sparse: as it was packed');
}

# Two contents of one size and one xxHash32, by which libsquashfs finds fragments: from a first lane
# that differs, the second follows, because each step of the hash can be undone.
{
	my $mask = 0xffffffff;
	my $mul = sub { my ($x, $y) = @_; return (($x & 0xffff) * $y + ((($x >> 16) * $y & 0xffff) << 16)) & $mask };
	my $rotl = sub { my ($x, $n) = @_; return (($x << $n) | ($x >> (32 - $n))) & $mask };
	my ($p2, $p3, $p4, $p5) = (2246822519, 3266489917, 668265263, 374761393);
	my $lane = sub { my ($h, $word) = @_; return $mul->($rotl->(($h + $mul->($word, $p3)) & $mask, 17), $p4) };
	my $hash = sub {
		my ($bytes) = @_;
		my $h = $p5 + length $bytes;
		$h = $lane->($h, $_) for unpack 'V*', $bytes;
		$h = $mul->($h ^ ($h >> 15), $p2);
		$h = $mul->($h ^ ($h >> 13), $p3);
		return $h ^ ($h >> 16);
	};
	my $inverse = 1; # of p3, by Newton's iteration
	$inverse = $mul->($inverse, (2 - $mul->($inverse, $p3)) & $mask) for 1 .. 5;
	my ($a1, $b1, $a2) = unpack 'V3', 'innocenthost';
	my $difference = ($lane->($p5 + 8, $a1) - $lane->($p5 + 8, $a2)) & $mask;
	my ($one, $two) = (pack('V2', $a1, $b1), pack 'V2', $a2, ($b1 + $mul->($difference, $inverse)) & $mask);
	is($hash->($one), $hash->($two), 'a collision of xxHash32');
	isnt($one, $two, 'of two contents');
	my $tar = append_to_tar('', header(name => 'one', size => 8), pack('a512', $one),
		header(name => 'two', size => 8), pack('a512', $two));
	compare('collision', { '.' => 1 }, $tar);
}

# --- 2. random layers ----------------------------------------------------------------------------

diag("SEED=$seed");

# Few names, so that layers meet; what is refused by design (below) is not drawn.
sub random_layer {
	my ($known) = @_;
	my (@blocks, %touched);
	for (1 .. 60) {
		my @parts = map { (qw(a b c d))[rand 4] } 0 .. rand 3;
		my $name = join '/', @parts;
		my $type = (qw(file file file directory symlink link whiteout opaque))[rand 8];
		# A parent that is no directory, or a name a second time, is another test's matter.
		next if grep { ($known->{join '/', @parts[0 .. $_]} // 'directory') ne 'directory' } 0 .. $#parts - 1;
		next if $touched{$name}++ || grep { $touched{join '/', @parts[0 .. $_]} } 0 .. $#parts - 1;
		next if grep { index("$_/", "$name/") == 0 && $_ ne $name } keys %touched;
		my $marker = join '/', @parts[0 .. $#parts - 1], ".wh.$parts[-1]";
		if ($type eq 'whiteout') {
			push @blocks, header(name => $marker);
			delete @$known{grep { index("$_/", "$name/") == 0 } keys %$known};
			next;
		}
		my $size = int rand 3000;
		my @files = grep { $known->{$_} eq 'file' && !$touched{$_} && index("$_/", "$name/") != 0 } keys %$known;
		next if $type eq 'link' && !@files;
		push @blocks, $type eq 'file' ? (header(name => $name, size => $size), pack('a' . int(($size + 511) / 512) * 512, text($size, rand 1000)))
			: $type eq 'symlink' ? header(name => $name, type => '2', link => 'nowhere/' . rand)
			: $type eq 'link' ? do { my $target = (sort @files)[rand @files]; $touched{$target}++; header(name => $name, type => '1', link => $target) }
			: header(name => "$name/", type => '5');
		push @blocks, header(name => "$name/.wh..wh..opq") if $type eq 'opaque';
		delete @$known{grep { index("$_/", "$name/") == 0 && $_ ne $name } keys %$known}
			if $type ne 'directory';
		$known->{$name} = { opaque => 'directory', link => 'file' }->{$type} // $type;
		$known->{join '/', @parts[0 .. $_]} = 'directory' for 0 .. $#parts - 1;
	}
	return append_to_tar('', @blocks);
}

for my $round (1 .. 6) {
	my %known;
	my @tars = map { random_layer(\%known) } 1 .. 5;
	compare("random $round", directories(@tars), @tars);
}

# --- 3. hostile ones -----------------------------------------------------------------------------

sub pax {
	my ($name, $records, @more) = @_;
	my $body = join '', map { my $n = length($_) + 3; $n++ while length("$n $_\n") != $n; "$n $_\n" } @$records;
	return header(name => 'pax', type => 'x', size => length $body), pack('a' . int((length($body) + 511) / 512) * 512, $body),
		header(name => $name, @more);
}

unlink "$work/out/image";
sub refused {
	my ($what, $message, $config, @tars) = @_;
	my $said = pull($config // make_config({}, @tars), @tars);
	like($said, qr/^stokerctl: $message\n\z/, "$what: refused");
	is(join(' ', glob "$work/out/* $work/out/.i*"), '', "$what: left nothing");
}

sub bad_layer {
	my ($what, $message, @blocks) = @_;
	refused($what, "layer 1 of 1: $message", undef, append_to_tar('', @blocks));
}

my @link = (header(name => 'd/', type => '5'), header(name => 'l', type => '2', link => 'd'));
bad_layer('a name out of the root', qr{'\.\./x': '\.\.' in a path}, header(name => '../x'));
bad_layer('the root as a symbolic link', qr{'\.': the root of the image is not a directory}, header(name => '.', type => '2', link => '/'));
bad_layer('the root by another name', qr{'/': the root of the image is not a directory}, header(name => '/', type => '2', link => '/'));
bad_layer('a hard link outside', qr{'x': hard link to '\.\./etc/passwd': '\.\.' in a path}, header(name => 'x', type => '1', link => '../etc/passwd'));
bad_layer('a hard link to nothing', qr{'x': hard link to 'absent': does not exist}, header(name => 'x', type => '1', link => 'absent'));
bad_layer('a hard link to a directory', qr{'x': hard link to 'd': is a directory}, @link, header(name => 'x', type => '1', link => 'd'));
bad_layer('a bare whiteout', qr{'\.wh\.': a whiteout that names nothing}, header(name => '.wh.'));
bad_layer('a whiteout of ..', qr{'\.wh\.\.\.': a whiteout that names nothing}, header(name => '.wh...'));
bad_layer('a whiteout behind a link', qr{'l/\.wh\.x': a whiteout behind a symbolic link}, @link, header(name => 'l/.wh.x'));
bad_layer('a loop as parent', qr{'o/x': its parent leads through more than 40 symbolic links}, header(name => 'o', type => '2', link => 'o'), header(name => 'o/x'));
bad_layer('opaque on a file', qr{'f/\.wh\.\.wh\.\.opq': its parent is not a directory}, header(name => 'f'), header(name => 'f/.wh..wh..opq'));
bad_layer('a NUL in a name', qr{tar, before byte 1024: an extended header gives a name with a NUL byte}, pax('x', ["path=a\0b"]));
bad_layer('an empty name', qr{tar, before byte 1024: an extended header gives an empty name}, pax('x', ['path=']));
bad_layer('a date beyond 32 bits', qr{'x': modification time 4294967296 is out of range}, pax('x', ['mtime=4294967296']));
bad_layer('an owner beyond 32 bits', qr{'x': owner 4294967296 is out of range}, pax('x', ['uid=4294967296']));
bad_layer('two sizes', qr{tar, before byte 1536: two sizes for one entry: 0 and 6}, pax('x', ['size=6'], size => 0));
bad_layer('a path a million deep', qr{tar, before byte \d+: an extended header of \d+ bytes \(1048576 are allowed\)}, pax('x', ['path=' . 'a/' x 1_000_000]));
bad_layer('a path half as deep', qr{tar, before byte \d+: an extended header has a record of 1000014 bytes \(524288 are allowed\)}, pax('x', ['path=' . 'a/' x 500_000]));
bad_layer('a path of more than 4096 bytes', qr{'(?:a/)+': a path of 4201 bytes \(4096 are allowed\)}, pax('x', ['path=' . 'a/' x 2100 . 'x']));
bad_layer('a sparse map without end', qr{tar, before byte \d+: a sparse file of more than 262144 pieces},
	pax('y', ['GNU.sparse.major=1', 'GNU.sparse.minor=0', 'GNU.sparse.name=y', 'GNU.sparse.realsize=9'], size => 512), pack('a512', "100000000\n0\n0\n"));
bad_layer('a malformed extended header', qr{tar, before byte \d+: an extended header is malformed}, header(name => 'pax', type => 'x', size => 9), pack('a512', "99 path=x"), header(name => 'x'));
bad_layer('a long symbolic link', qr{'x': a symbolic link of 4096 bytes \(4095 are allowed\)}, pax('x', ['linkpath=' . 'y' x 4096], type => '2', link => 'y'));
bad_layer('many large records', qr{tar, before byte \d+: an extended header has a record of 600010 bytes \(524288 are allowed\)}, pax('x', ['comment=' . 'c' x 599_994, 'path=y']));
{
	my $ids = join '', map { my $block = header(name => "f$_"); substr $block, 108, 8, sprintf "%07o\0", $_;
		substr $block, 148, 8, ' ' x 8; substr $block, 148, 8, sprintf "%06o\0 ", unpack '%32C*', $block; $block } 1 .. 65536;
	refused('too many owners', qr/the image has more than 65535 different owners and groups/, undef, append_to_tar('', $ids));
}
my $good = append_to_tar('', header(name => 'a', size => 3), pack 'a512', 'abc');
my $packed = compress($good, 'gzip');
my $bent = $packed;
substr $bent, -6, 1, chr(ord(substr $bent, -6, 1) ^ 1);
refused('a wrong CRC', qr/layer 1 of 1: gzip: wrong checksum/, make_config({}, $good), \$bent);
{
	my $bomb = append_to_tar('', header(name => 'zeros', size => 80 << 20), "\0" x (80 << 20), header(name => 'end'));
	refused('a gzip bomb', qr/layer 1 of 1: grows more than 1000-fold when uncompressed/, undef, $bomb);
}
refused('a layer cut off', qr/layer 1 of 1: gzip: the data is cut off/, make_config({}, $good), \substr($packed, 0, -9));
refused('a diffID that lies', qr/layer 1 of 1: its diffID is sha256:[0-9a-f]{64}, not sha256:[0-9a-f]{64} as promised/, make_config({}, "$good."), $good);
refused('a user that wraps to root', qr/image config: user '4294967296': a number beyond 4294967294/, make_config({ User => '4294967296' }, $good), $good);
refused('a working directory in /proc', qr{image config: working directory '/proc/self/fd/8': lies in /proc}, make_config({ WorkingDir => '/proc/self/fd/8' }, $good), $good);

done_testing();
