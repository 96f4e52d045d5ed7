#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that building, testing and running stoker need; with arguments, the
# packages that these name. With all of them there it does nothing and needs neither root nor a
# network.
set -eu

build="gcc make libc6-dev clang bpftool libbpf-dev libmnl-dev libev-dev libyaml-dev libinih-dev
libcurl4-openssl-dev libarchive-dev libsquashfs-dev libisal-dev libzstd-dev liblz4-dev liblzma-dev
zlib1g-dev libbz2-dev libext2fs-dev libjansson-dev libmicrohttpd-dev libseccomp-dev libssl-dev
musl-tools"

run="qemu-system-x86 nftables iproute2 ca-certificates"

# clang-format, cmocka, valgrind and mandoc judge the code; the others are the peers and rivals that
# the system tests compare with.
test="clang-format libcmocka-dev valgrind mandoc perl git curl busybox-static squashfs-tools umoci
skopeo docker-registry e2fsprogs attr libcap2-bin procps openssl zstd
strace cryptsetup-bin"

case $(dpkg --print-architecture) in
amd64)
	run="$run linux-image-cloud-amd64"
	# for guests of the other machine
	test="$test qemu-system-arm gcc-aarch64-linux-gnu libc6-dev-arm64-cross kmod"
	;;
arm64) run="qemu-system-arm nftables iproute2 linux-image-cloud-arm64" ;;
esac

# shellcheck disable=SC2086 # the lists are words
[ $# -gt 0 ] || set -- $build $run $test

missing=
for package; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || state=
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "these packages are missing:$missing" >&2
	echo "install them with: sudo apt-get install$missing" >&2
	exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# Runlevel 1 tells invoke-rc.d(8) to start no service: the registry is run by the tests alone.
export RUNLEVEL=1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # the lists are words
if ! { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1
then
	tail -n 20 "$log" >&2
	exit 1
fi
# Nor shall a systemd of this machine start it at the next boot.
case $missing in
*docker-registry*) deb-systemd-helper disable docker-registry.service >/dev/null 2>&1 || true ;;
esac
