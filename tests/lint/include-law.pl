#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
#
# The include law: data flows one way, and the folders are the arrow. Reads every C file below the
# tree it is given (default: the one it lies in) and reports violations as a compiler does:
#
#     supervisor/net/tap.c:9: net/ may not include vmm/qemu.h (net/ sees base, model, loop)
#
# Three rules: which folder sees which, which headers are private to a few folders, and which
# library has which home. Exit code 1 when there is a violation, 2 when there is nothing to check.
use strict;
use warnings;
use File::Basename qw(dirname);
use File::Find qw(find);

my $root = $ARGV[0] // dirname(__FILE__) . '/../..';
chdir $root or die "$root: $!\n";

# Rule 1. Folder of supervisor/ => the folders it sees besides itself. Braced siblings of the
# layout (image, disk, net, vmm, guest) are in nobody's list but that of what lies to the right.
my @values  = qw(base model);
my @live    = (@values, 'loop');
my @parts   = (@live, qw(host config plan image disk net vmm guest forward));
my %sees = (
	base     => [],
	model    => ['base'],
	config   => [@values],
	plan     => [@values],
	loop     => [@values],
	host     => [@live],
	image    => [@live, 'host'],
	disk     => [@live, 'host'],
	net      => [@live, 'host'],
	vmm      => [@live, 'host'],
	guest    => [@live, 'host'],
	forward  => [@live],
	instance => [@parts],
	control  => [@parts, 'instance'],
	daemon   => [@parts, qw(instance control)],
	ctl      => [qw(base model loop host config plan control/protocol.h image/image.h image/pull.h)],

	# Programs of their own: they share with supervisor/ only what rule 2 lists.
	'guest-init' => [],
	bpf          => [],
);

# Rule 2. Shared between programs: header => what may include it (a folder, or a file).
my %private = (
	'guest-init/protocol.h' => [qw(guest-init/ supervisor/guest/ supervisor/image/)],
	'bpf/guard.h'           => [qw(bpf/ supervisor/net/)],
	'guard.skel.h'          => ['supervisor/net/guard_internal.h'],
	'supervisor/loop/multi.h' => ['supervisor/loop/'],
);

# Rule 3. One library has one home: pattern of the header => where it is known.
my @homes = (
	[qr{^yaml\.h$},        'libyaml',      'supervisor/config/yaml.c'],
	[qr{^ini\.h$},         'libinih',      'supervisor/config/settings.c'],
	[qr{^ev(\+\+)?\.h$},   'libev',        'supervisor/loop/loop.c'],
	[qr{^curl/},           'libcurl',      'supervisor/loop/http.c', 'supervisor/loop/connection.c',
		'supervisor/loop/multi'],
	[qr{^jansson\.h$},     'jansson',      'supervisor/base/json.h'],
	[qr{^libmnl/},         'libmnl',       'supervisor/net/'],
	[qr{^bpf/(libbpf|bpf|btf)(_[a-z]+)?\.h$}, 'libbpf', 'supervisor/net/guard', 'bpf/',
		'tests/bpf/'],
	[qr{^archive(_entry)?\.h$}, 'libarchive', 'supervisor/image/'],
	[qr{^sqfs/},           'libsquashfs',  'supervisor/image/squash'],
	[qr{^(ext2fs|et)/},    'libext2fs',    'supervisor/disk/disk.c'],
	[qr{^openssl/},        'libcrypto',    'supervisor/image/', 'supervisor/vmm/modules.c'],
	[qr{^(isa-l/)?igzip_lib\.h$|^isa-l(/|\.h)}, 'ISA-L', 'supervisor/image/'],
	[qr{^seccomp\.h$},     'libseccomp',   'supervisor/image/confine.c'],
	[qr{^(lz4|lz4frame|lz4hc|lzma|zstd|zstd_errors|zlib|bzlib)\.h$}, 'a compressor',
		'supervisor/image/', 'supervisor/vmm/unpack.c', 'supervisor/guest/initramfs.c'],
	[qr{^microhttpd\.h$}, 'libmicrohttpd', 'supervisor/control/metrics.c'],
	[qr{^systemd/},        'libsystemd',   'nowhere'],
	[qr{^(nftables|libnftnl)/}, 'nftables', 'nowhere'],
);

my $violations = 0;
my $checked = 0;

sub report {
	my ($place, $what) = @_;
	print "$place: $what\n";
	$violations++;
}

# "supervisor/net/tap.c" => "net"; files right below supervisor/ are the daemon.
sub folder_of {
	my ($file) = @_;
	return $1 if $file =~ m{^supervisor/([^/]+)/};
	return 'daemon' if $file =~ m{^supervisor/[^/]+$};
	return $1 if $file =~ m{^(guest-init|bpf)/};
	return undef; # tests see everything
}

# Where a quoted include leads, seen from the tree's root: beside the file, then -Isupervisor, -I.
sub resolve {
	my ($file, $header) = @_;
	my @places = (dirname($file) . "/$header", "supervisor/$header", $header);
	for my $place (@places) {
		1 while $place =~ s{(^|/)(?!\.\./)[^/]+/\.\./}{$1};
		$place =~ s{(^|/)\./}{$1}g;
		return $place if -e $place;
	}
	return undef;
}

sub is_within {
	my ($file, @places) = @_;
	return grep { $_ eq $file || index($file, $_) == 0 } @places;
}

sub check_folder {
	my ($place, $file, $target) = @_;
	my $from = folder_of($file);
	my $to   = folder_of($target);

	return if !defined $from || !defined $to || $from eq $to || $private{$target};
	if (!$sees{$from}) {
		report($place, "$from/ is not a folder of the layout (add it to the include law)");
		return;
	}
	(my $header = $target) =~ s{^supervisor/}{};
	return if grep { $_ eq $to || $_ eq $header } @{ $sees{$from} };
	my $list = join(', ', @{ $sees{$from} }) || 'only itself';
	report($place, "$from/ may not include $header ($from/ sees $list)");
}

sub check_private {
	my ($place, $file, $header, $target) = @_;
	my $name = $private{$header} ? $header : $target;

	return if !defined $name || !$private{$name} || $file =~ m{^tests/};
	return if is_within($file, @{ $private{$name} });
	report($place, "$name may only be included by " . join(', ', @{ $private{$name} }));
}

sub check_library {
	my ($place, $file, $header) = @_;

	for my $home (@homes) {
		my ($pattern, $library, @files) = @$home;
		next if $header !~ $pattern;
		# Tests may look at a result with the library itself; product code may not.
		return if $file =~ m{^tests/} && $files[0] ne 'nowhere';
		return if is_within($file, @files);
		my @shown = map { m{/$|\.[ch]$|^nowhere$} ? $_ : "${_}*" } @files;
		report($place, "<$header> belongs in " . join(' or ', @shown) .
			" ($library has one home)");
	}
}

sub check_file {
	my ($file) = @_;
	my ($number, $comment) = (0, 0);
	my $include = qr{^\s*#\s*include(_next)?\b};

	open(my $in, '<', $file) or die "$file: $!\n";
	$checked++;
	while (my $line = <$in>) {
		$number++;
		# An include inside a block comment is an example, not an include.
		if ($comment) {
			next if $line !~ s{^.*?\*/}{};
			$comment = 0;
		}
		# Nor does a string begin a comment.
		$line =~ s{"(?:\\.|[^"\\])*"}{""}g if $line !~ $include;
		$line =~ s{/\*.*?\*/}{}g;
		$line =~ s{//.*$}{} if $line !~ $include;
		$comment = 1 if $line =~ s{/\*.*$}{};
		next if $line !~ $include;
		my $place = "$file:$number";
		if ($line !~ m{$include\s*([<"])([^>"]+)[>"]}) {
			report($place, 'an include by macro hides what it includes');
			next;
		}
		my ($kind, $header) = ($2, $3);
		my $target = resolve($file, $header);

		# A system header never lies in the tree, whatever it is called (<bpf/...>).
		$target = undef if $kind eq '<' && (!defined $target || $target !~ m{^supervisor/});
		check_library($place, $file, $header) if !defined $target;
		check_private($place, $file, $header, $target);
		check_folder($place, $file, $target) if defined $target;
	}
	close($in);
}

my @files;
for my $top (qw(supervisor guest-init bpf tests)) {
	next if !-d $top;
	find({ no_chdir => 1, wanted => sub { push @files, $_ if -f && m{\.[ch]$} } }, $top);
}
check_file($_) for sort @files;
if (!$checked) {
	print STDERR "$root: no C files to check\n";
	exit 2;
}
exit($violations ? 1 : 0);
