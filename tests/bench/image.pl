#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# image.pl CACHE: from a registry to a squashfs, by stoker's two processes and by the tools that one
# would string together instead. The images are image-make.sh's; a docker-registry on the loopback of
# a network namespace of its own serves them with gzip and with zstd layers. All of it in one run, the
# ways by turns; the table shows medians. Every way ends when its image is on the disk (sync). CPU is
# of all its processes, RSS of the largest of them, written what the kernel calls so in proc(5): pages
# of files, less those that were given up before they reached a disk. Before anything is measured,
# each image is made with 1, 2 and 4 threads from layers of each codec, which must give the same
# bytes, and its tree compared with umoci's, entry by entry.
# ROUNDS (3), IMAGES (debian small busybox) and CODECS (gzip zstd) may be given.
use strict;
use warnings;
use Digest::SHA;
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use File::Spec::Functions qw(rel2abs);
use File::Temp qw(tempdir);
use POSIX qw(_exit);
use Time::HiRes qw(sleep);

require(rel2abs(dirname(__FILE__)) . '/../system/trees.pl');

my $cache = $ARGV[0] // die "usage: image.pl CACHE\n";
my $build = $ENV{STOKER_BUILD} // die "STOKER_BUILD is not set\n";
my $rounds = $ENV{ROUNDS} // 3;
my @images = split ' ', $ENV{IMAGES} // 'debian small busybox';
my @codecs = split ' ', $ENV{CODECS} // 'gzip zstd';
my $jobs = qx{nproc} + 0;
my $netns = "stoker-bench-image-$$";
my $work = tempdir('work.XXXXXX', DIR => $cache);
my $registry;

$> == 0 or die "make bench-image needs root\n";
$ENV{PATH} .= ':/usr/sbin:/sbin';
chmod 0755, $work;

# --- the registry -------------------------------------------------------------------------------

sub clean {
	if ($registry) {
		kill 'TERM', $registry;
		waitpid $registry, 0;
	}
	system('ip', 'netns', 'delete', $netns) if -e "/run/netns/$netns";
	remove_tree($work);
}
END { my $status = $?; clean(); $? = $status }
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

sub in_host {
	return ('nsenter', "--net=/run/netns/$netns", @_);
}

sub start_registry {
	run_ok('ip', 'netns', 'add', $netns);
	run_ok(in_host('ip', 'link', 'set', 'lo', 'up'));
	make_path("$cache/registry");
	open my $config, '>', "$work/registry.yml" or die;
	print $config "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n",
	    "storage: {filesystem: {rootdirectory: $cache/registry}}\nhttp: {addr: 'localhost:5000'}\n";
	close $config;
	$registry = fork // die;
	if ($registry == 0) {
		open STDOUT, '>', "$cache/registry.log";
		open STDERR, '>&', \*STDOUT;
		exec in_host('docker-registry', 'serve', "$work/registry.yml") or _exit(99);
	}
	for (1 .. 100) {
		return if system(join ' ', in_host('curl -sf -o /dev/null http://localhost:5000/v2/')) == 0;
		sleep 0.2;
	}
	die "no registry: see $cache/registry.log\n";
}

sub reference {
	my ($image, $codec) = @_;
	return "localhost:5000/bench/$image-$codec:latest";
}

sub push_images {
	for my $image (@images) {
		for my $codec (@codecs) {
			next if -e "$cache/registry/docker/registry/v2/repositories/bench/$image-$codec/"
			    . "_manifests/tags/latest";
			print "pushing $image with $codec layers\n";
			run_ok(in_host('skopeo', 'copy', '-q', '--dest-tls-verify=false', '--format', 'oci',
				"oci:$cache/$image" . ($codec eq 'zstd' ? '-zstd' : '') . ':latest',
				'docker://' . reference($image, $codec)));
		}
	}
}

# --- one measured run ---------------------------------------------------------------------------

# Debian's umoci reads no zstd: of such layers skopeo must make gzip again.
sub skopeo {
	my ($image, $codec) = @_;
	my $format = $codec eq 'zstd' ? '--dest-compress-format gzip ' : '';
	return "skopeo copy -q ${format}--src-tls-verify=false docker://" . reference($image, $codec)
	    . ' oci:oci:x >/dev/null';
}

sub stoker {
	my ($threads, $image, $codec) = @_;
	my $settings = "$work/jobs-$threads.ini";

	open my $ini, '>', $settings or die;
	print $ini "[paths]\nlibexec_dir = $build\n[image]\ninsecure_registries = localhost:5000\n",
	    "compress = zstd:3\njobs = $threads\n";
	close $ini;
	return "$build/stokerctl -c $settings image pull -o image.sqfs " . reference($image, $codec);
}

my %ways = (
	a => sub { skopeo(@_) . ' && umoci unpack --image oci:x bundle >/dev/null 2>&1 && '
		. "mksquashfs bundle/rootfs image.sqfs -comp zstd -Xcompression-level 3 -b 131072 "
		. "-processors $jobs -noappend -no-progress -quiet && sync image.sqfs" },
	b => sub { skopeo(@_) . ' && umoci raw unpack --image oci:x rootfs >/dev/null 2>&1 && '
		. "tar -C rootfs --xattrs --xattrs-include='*' --numeric-owner -cf - . | "
		. "tar2sqfs -q -c zstd -X level=3 -b 131072 -j $jobs image.sqfs && sync image.sqfs" },
	c => sub { stoker($jobs, @_) . ' >out 2>&1' },
);

# Wall, CPU (s), peak RSS of the largest process (MiB), bytes written to files, size (MB). Of the
# clocks the shell's has three digits.
sub measure {
	my ($way, $image, $codec) = @_;
	my $directory = "$work/run";

	make_path($directory);
	my $script = "cd $directory && TIMEFORMAT='%3R %3U %3S' && { time { "
	    . $ways{$way}->($image, $codec) . '; } 2>err; } 2>clock && cat /proc/$$/io >io';
	system(in_host('/usr/bin/time', '-q', '-o', "$work/time", '-f', '%M', 'bash', '-c', $script))
	    == 0 or die "failed: $script\n" . qx{cat $directory/out $directory/err 2>/dev/null};
	my ($wall, $user, $system) = split ' ', qx{tail -n 1 $directory/clock};
	my ($resident) = split ' ', qx{tail -n 1 $work/time};
	my $io = qx{cat $directory/io};
	my ($written) = $io =~ /^write_bytes: (\d+)/m;
	my ($cancelled) = $io =~ /^cancelled_write_bytes: (\d+)/m;
	my %row = (wall => $wall, cpu => $user + $system, rss => $resident / 1024,
		written => ($written - $cancelled) / 1e6, size => (-s "$directory/image.sqfs") / 1e6);
	remove_tree($directory);
	return \%row;
}

sub median {
	my ($rows, $column) = @_;
	my @sorted = sort { $a <=> $b } map { $_->{$column} } @$rows;
	return @sorted % 2 ? $sorted[$#sorted / 2] : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}

# --- the same bytes, the same tree --------------------------------------------------------------

sub check {
	my ($image) = @_;
	my $directory = "$work/check";
	my %digests;

	make_path($directory);
	run_ok('sh', '-c', "cd $directory && skopeo copy -q oci:$cache/$image:latest oci:oci:x && "
	    . 'umoci raw unpack --image oci:x rootfs >/dev/null 2>&1');
	for my $codec (@codecs) {
		for my $threads (1, 2, 4) {
			run_ok(in_host('sh', '-c', "cd $directory && " . stoker($threads, $image, $codec)
				. ' >out 2>&1'));
			$digests{ Digest::SHA->new(256)->addfile("$directory/image.sqfs")->hexdigest }++;
		}
	}
	keys %digests == 1 or die "$image: not always the same bytes\n";
	unsquash("$directory/image.sqfs", "$directory/actual") or die "$image: cannot be unpacked\n";
	my $expected = inventory("$directory/rootfs");
	my @differences = differences($expected, inventory("$directory/actual"));
	print "$_\n" for @differences;
	@differences == 0 or die "$image: not umoci's tree\n";
	printf "%s: with 1, 2 and 4 threads, %s layers, sha256:%s; %d entries, all as umoci has them\n",
	    $image, join(' and ', @codecs), keys %digests, scalar keys %$expected;
	remove_tree($directory);
}

# --- the table ----------------------------------------------------------------------------------

my %names = (a => 'skopeo, umoci unpack, mksquashfs', b => 'skopeo, umoci raw unpack, tar | tar2sqfs',
	c => 'stoker');

sub blobs_size {
	my ($image, $codec) = @_;
	my $raw = join ' ', in_host('skopeo', 'inspect', '--raw', '--tls-verify=false',
		'docker://' . reference($image, $codec));
	my $manifest = qx{$raw};
	my $total = 0;
	$total += $1 while $manifest =~ /"size":\s*(\d+)/g;
	return $total / 1e6;
}

sub at_least {
	my ($what, $value, $least) = @_;
	printf "  %-46s %8.2f   goal >= %7.2f   %s\n", $what, $value, $least,
	    $value >= $least ? 'met' : 'NOT met';
}

sub at_most {
	my ($what, $value, $most) = @_;
	printf "  %-46s %8.2f   goal <= %7.2f   %s\n", $what, $value, $most,
	    $value <= $most ? 'met' : 'NOT met';
}

sub table {
	my ($image, $codec, $results) = @_;
	my %m;

	printf "\n%-38s %8s %8s %8s %9s %8s\n", "$image, $codec layers", 'wall s', 'CPU s', 'RSS MiB',
	    'written', 'size MB';
	for my $way (qw(a b c)) {
		$m{$way} = { map { $_ => median($results->{$way}, $_) } qw(wall cpu rss written size) };
		printf "%-38s %8.3f %8.3f %8.1f %9.1f %8.2f\n", $names{$way},
		    @{ $m{$way} }{qw(wall cpu rss written size)};
	}
	at_least('wall over mksquashfs', $m{a}{wall} / $m{c}{wall}, 7);
	at_least('CPU over mksquashfs', $m{a}{cpu} / $m{c}{cpu}, 5);
	at_least('wall over tar2sqfs', $m{b}{wall} / $m{c}{wall}, 5);
	at_least('CPU over tar2sqfs', $m{b}{cpu} / $m{c}{cpu}, 4);
	at_most('peak RSS, MiB', $m{c}{rss}, 64);
	at_most('size against mksquashfs', $m{c}{size} / $m{a}{size}, 1.01);
	# Besides them there are a few pages of records and directories.
	at_most('written beyond blobs and image, MB',
		$m{c}{written} - blobs_size($image, $codec) - $m{c}{size}, 0.1);
}

$| = 1;
start_registry();
push_images();
check($_) for @images;
my %results;
for my $round (1 .. $rounds) {
	for my $image (@images) {
		for my $codec (@codecs) {
			# What takes a fifth of a second is measured more often.
			for (1 .. ($image eq 'busybox' ? 5 : 1)) {
				for my $way (qw(a b c)) {
					push @{ $results{"$image $codec"}{$way} },
					    measure($way, $image, $codec);
				}
			}
		}
	}
}
chomp(my $load = qx{cut -d' ' -f1 /proc/loadavg});
print "registry to squashfs, zstd-3, 128 KiB blocks; medians of $rounds rounds by turns; ",
    "$jobs processors, load $load at the end\n";
for my $image (@images) {
	table($image, $_, $results{"$image $_"}) for @codecs;
}
