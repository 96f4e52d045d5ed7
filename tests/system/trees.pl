# SPDX-License-Identifier: Apache-2.0
#
# Images made by hand and trees compared, for image-flatten.t and image-torture.t, which set $work,
# a directory for all of it.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Fcntl qw(:mode);
use File::Basename qw(dirname);
use File::Find qw(find);
use File::Path qw(make_path remove_tree);
use JSON::PP;
use Test::More;

our $work;

# --- making layers ------------------------------------------------------------------------------

sub run_ok {
	my (@command) = @_;
	system(@command) == 0 or BAIL_OUT("failed: @command");
}

sub slurp {
	my ($path) = @_;
	open my $file, '<:raw', $path or BAIL_OUT("$path: $!");
	local $/;
	return scalar <$file>;
}

sub spew {
	my ($path, $bytes, $mode) = @_;
	make_path(dirname($path));
	open my $file, '>:raw', $path or BAIL_OUT("$path: $!");
	print $file $bytes;
	close $file or BAIL_OUT("$path: $!");
	chmod $mode // 0644, $path;
}

# Text that compresses somewhat, the same on every run.
sub text {
	my ($length, $seed) = @_;
	my $out = '';
	my $state = $seed;

	while (length $out < $length) {
		$state = ($state * 1103515245 + 12345) & 0x7fffffff;
		$out .= sprintf '%x line of some file %d', $state, $state % 977;
		$out .= "\n";
	}
	return substr $out, 0, $length;
}

# A single ustar header, for what GNU tar would not write.
sub header {
	my (%field) = @_;
	my $block = pack 'a100 a8 a8 a8 a12 a12 A8 a1 a100 a6 a2 a32 a32 a8 a8 a155 a12',
	    $field{name}, '0000644', '0000000', '0000000', sprintf('%011o', $field{size} // 0),
	    sprintf('%011o', $field{mtime} // 1500000000), '', $field{type} // '0',
	    $field{link} // '', "ustar", '00', 'root', 'root', '0000000', '0000000', '', '';
	substr $block, 148, 8, sprintf "%06o\0 ", unpack '%32C*', $block;
	return $block;
}

sub tar_directory {
	my ($directory, @options) = @_;
	my $tar = qx{tar -C $directory --format=pax --pax-option=delete=atime,delete=ctime --xattrs \\
		--xattrs-include='*' --numeric-owner --sort=name @options -cf - .};
	BAIL_OUT('tar failed') if $? != 0;
	return $tar;
}

# Without the zero blocks at its end, so that headers can follow.
sub append_to_tar {
	my ($tar, @blocks) = @_;
	$tar =~ s/\0+\z//;
	$tar .= "\0" x (-length($tar) % 512);
	return join('', $tar, @blocks) . "\0" x 1024;
}

sub compress {
	my ($tar, $type) = @_;
	return $tar if $type eq 'tar';
	spew("$work/plain", $tar);
	my @command = $type eq 'gzip' ? qw(gzip -nc) : qw(zstd -q -c);
	my $out = qx{@command $work/plain};
	BAIL_OUT("@command failed") if $? != 0;
	return $out;
}

# --- images -------------------------------------------------------------------------------------

my $json = JSON::PP->new->utf8->canonical;

sub make_config {
	my ($config, @tars) = @_;
	return $json->encode({ architecture => 'amd64', os => 'linux', config => $config,
		rootfs => { type => 'layers', diff_ids => [ map { 'sha256:' . sha256_hex($_) } @tars ] } });
}

sub write_blob {
	my ($layout, $bytes) = @_;
	my $digest = sha256_hex($bytes);
	spew("$layout/blobs/sha256/$digest", $bytes);
	return { digest => "sha256:$digest", size => length $bytes };
}

sub write_layout {
	my ($layout, $config, @layers) = @_;
	my $media = 'application/vnd.oci.image.';
	my $manifest = $json->encode({ schemaVersion => 2, mediaType => "${media}manifest.v1+json",
		config => { mediaType => "${media}config.v1+json", %{ write_blob($layout, $config) } },
		layers => [ map { { mediaType => "${media}layer.v1.tar+gzip",
			%{ write_blob($layout, $_) } } } @layers ] });
	spew("$layout/oci-layout", '{"imageLayoutVersion":"1.0.0"}');
	spew("$layout/index.json", $json->encode({ schemaVersion => 2, manifests => [ {
		mediaType => "${media}manifest.v1+json", %{ write_blob($layout, $manifest) },
		annotations => { 'org.opencontainers.image.ref.name' => 'test' } } ] }));
}

# --- comparing trees ----------------------------------------------------------------------------

sub xattrs {
	my ($directory) = @_;
	my %found;
	my $path = '';
	open my $dump, '-|', "cd $directory && getfattr -R -h -P -d -m - -e hex --absolute-names . 2>/dev/null"
	    or die;
	while (my $line = <$dump>) {
		chomp $line;
		$path = $1 if $line =~ /^# file: (.*)/;
		$found{$path} .= "$line;" if $line =~ /^[a-z].*=/ && $line !~ /^security\.selinux/;
	}
	return { map { my $name = $_; (my $plain = $name) =~ s/\\([0-7]{3})/chr oct $1/ge;
		($plain => join ';', sort split /;/, $found{$name}) } keys %found };
}

# Path => one line of everything that must be equal; links are named by their first path.
sub inventory {
	my ($directory, %options) = @_;
	my (%tree, %first);
	my $xattrs = xattrs($directory);

	find({ no_chdir => 1, preprocess => sub { sort @_ }, wanted => sub {
		my $path = $_;
		(my $name = $path) =~ s/^\Q$directory\E/./;
		my @st = lstat $path or die "$path: $!";
		my $mtime = $options{without_mtime}{$name} ? '-' : $st[9];
		my $type = S_IFMT($st[2]);
		my $what = S_ISREG($st[2]) ? sha256_hex(slurp($path)) . " $st[7]"
		    : S_ISLNK($st[2]) ? readlink $path
		    : $type == S_IFBLK || $type == S_IFCHR ? "rdev $st[6]" : '';
		my $links = S_ISDIR($st[2]) ? '' : "$st[3] " . ($first{$st[1]} //= $name);
		$tree{$name} = sprintf '%o %d:%d %s [%s] %s {%s}', $st[2], $st[4], $st[5], $mtime,
		    $links, $what, $xattrs->{$name} // '';
	} }, $directory);
	return \%tree;
}

sub differences {
	my ($left, $right) = @_;
	my @out;
	for my $path (sort keys %{ { %$left, %$right } }) {
		my ($l, $r) = ($left->{$path} // 'missing', $right->{$path} // 'missing');
		push @out, "$path\n   $l\n   $r" if $l ne $r;
	}
	return @out;
}

sub unsquash {
	my ($image, $directory) = @_;
	remove_tree($directory);
	qx{unsquashfs -no-progress -d $directory $image 2>&1};
	return $? == 0;
}

1;
