#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# image-make.sh CACHE: the images that image.pl measures with, as OCI layouts CACHE/NAME with gzip layers
# and CACHE/NAME-zstd with zstd layers, tag latest. What is there already is left alone. Needs root
# and, for Debian's packages, a network.
set -eu
cache=${1:?usage: image-make.sh CACHE}
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mkdir -p "$cache"
bundle=$cache/bundle
export SOURCE_DATE_EPOCH=1700000000

# begin NAME: an empty image, unpacked into $bundle; layer: what changed since becomes its next one.
begin() {
	name=$1
	rm -rf "$cache/$name" "$bundle"
	umoci init --layout "$cache/$name.part"
	umoci new --image "$cache/$name.part:latest"
	umoci unpack --image "$cache/$name.part:latest" "$bundle"
}

layer() {
	umoci repack --refresh-bundle --image "$cache/$name.part:latest" "$bundle"
}

finish() {
	umoci gc --layout "$cache/$name.part"
	rm -rf "$cache/$name-zstd"
	skopeo copy -q --dest-compress-format zstd "oci:$cache/$name.part:latest" \
		"oci:$cache/$name-zstd:latest"
	mv "$cache/$name.part" "$cache/$name"
}

# install PACKAGE: into the tree, with Debian's own installer.
install() {
	cp /etc/resolv.conf "$bundle/rootfs/etc/resolv.conf"
	printf '#!/bin/sh\nexit 101\n' >"$bundle/rootfs/usr/sbin/policy-rc.d"
	chmod 755 "$bundle/rootfs/usr/sbin/policy-rc.d"
	DEBIAN_FRONTEND=noninteractive chroot "$bundle/rootfs" \
		apt-get install -q -y --no-install-recommends "$1"
	rm "$bundle/rootfs/etc/resolv.conf" "$bundle/rootfs/usr/sbin/policy-rc.d"
}

# minbase, python3 on it, nginx on that; then files go, change and turn into others.
make_debian() {
	begin debian
	rmdir "$bundle/rootfs"
	mmdebstrap --mode=root --variant=minbase "$suite" "$bundle/rootfs"
	chroot "$bundle/rootfs" apt-get update
	layer
	install python3
	layer
	install nginx
	cd "$bundle/rootfs"
	rm -rf usr/share/doc usr/share/man var/lib/apt/lists var/cache/apt
	mkdir usr/share/doc
	find usr/lib/python3* -name '*.py' | sort | sed -n '1~3p' | while read -r file; do
		echo '# replaced' >>"$file"
	done
	rm usr/bin/perl
	mkdir usr/bin/perl
	ln usr/bin/tar usr/bin/tar-again
	cd "$OLDPWD"
	layer
	finish
}

# 50,000 pieces of what a Debian image holds, a few hundred of them removed and replaced on top.
make_small() {
	rm -rf "$cache/bundle-debian"
	umoci unpack --image "$cache/debian:latest" "$cache/bundle-debian"
	begin small
	find "$cache/bundle-debian/rootfs" -xdev -type f | LC_ALL=C sort | xargs -d '\n' cat |
		perl -e '
			my $state = 1;
			for my $i (0 .. 49_999) {
				$state = ($state * 1103515245 + 12345) & 0x7fffffff;
				my $size = int(-4000 * log(($state + 1) / 0x80000000));
				my $got = read(STDIN, my $bytes, $size > 60_000 ? 60_000 : $size);
				my $directory = sprintf "%s/m%02d/d%03d", $ARGV[0], $i % 60, $i % 900;
				system("mkdir", "-p", $directory) if !-d $directory;
				open my $file, ">:raw", "$directory/file-$i.txt" or die $!;
				print $file $got ? $bytes : "file $i\n";
				close $file or die $!;
			}' "$bundle/rootfs/modules"
	rm -rf "$cache/bundle-debian"
	layer
	find "$bundle/rootfs/modules" -name 'file-*1.txt' | LC_ALL=C sort | sed -n '1~10p' | xargs rm
	find "$bundle/rootfs/modules" -name 'file-*2.txt' | LC_ALL=C sort | sed -n '1~10p' |
		while read -r file; do echo replaced >>"$file"; done
	layer
	finish
}

make_busybox() {
	begin busybox
	mkdir "$bundle/rootfs/bin"
	cp /bin/busybox "$bundle/rootfs/bin/busybox"
	chroot "$bundle/rootfs" /bin/busybox --install -s /bin
	layer
	finish
}

for image in debian small busybox; do
	[ ! -d "$cache/$image" ] || continue
	rm -rf "$cache/$image.part"
	echo "making the image '$image'"
	"make_$image" >"$cache/$image.log" 2>&1 || {
		tail -n 20 "$cache/$image.log" >&2
		exit 1
	}
done
rm -rf "$bundle"
