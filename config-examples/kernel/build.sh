#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds a guest kernel from Debian's kernel source, which has Debian's patches: for `make kernel`.
#
#   build.sh x86_64|aarch64 DIRECTORY
#
# The kernel becomes DIRECTORY/x86_64/vmlinux, stripped, or DIRECTORY/aarch64/Image.
#
# The configuration is allnoconfig with common.config and ARCH.config, which lie beside this script;
# an option in them that the kernel does not take ends the build. DIRECTORY/src is the source,
# unpacked once per version of its package; later builds compile what changed. JOBS: how many
# compilers run at once. LINUX_SOURCE: the package with the source, if not the one that the package
# linux-source depends on. The fragments name options as Linux 6.1 does.
set -eu

# The kernel's build is no part of the one that may have called this.
unset MAKEFLAGS MFLAGS MAKELEVEL

usage="usage: build.sh x86_64|aarch64 DIRECTORY"
arch=${1:?$usage} out=${2:?$usage}
here=$(cd "$(dirname "$0")" && pwd)
jobs=${JOBS:-$(nproc)}

case $arch in
x86_64) machine=x86 cross=x86_64-linux-gnu- compiler=gcc-x86-64-linux-gnu target=vmlinux ;;
aarch64) machine=arm64 cross=aarch64-linux-gnu- compiler=gcc-aarch64-linux-gnu target=Image ;;
*) echo "$usage" >&2 && exit 2 ;;
esac
[ "$(uname -m)" != "$arch" ] || cross= compiler=gcc

fail() {
	echo "make kernel: $*" >&2
	exit 1
}

# --- packages ------------------------------------------------------------------------------------

# Installed without the tree around it, the script takes the packages as they are.
deps=$here/../../tests/deps.sh
[ ! -x "$deps" ] || "$deps" "${LINUX_SOURCE:-linux-source}" make libc6-dev "$compiler" flex bison \
	bc libelf-dev libssl-dev xz-utils
source=${LINUX_SOURCE:-$(dpkg-query -W -f '${Depends}' linux-source |
	grep -o 'linux-source-[0-9.]*')}
[ -e "/usr/src/$source.tar.xz" ] || fail "no /usr/src/$source.tar.xz (apt-get install linux-source)"

# --- source --------------------------------------------------------------------------------------

# The package's version names the tree, so that a security update is unpacked anew.
mkdir -p "$out/$arch"
out=$(cd "$out" && pwd)
exec 9>"$out/lock" # one build at a time: they share the source, and each takes all processors
flock 9
tree=$out/src/$source-$(dpkg-query -W -f '${Version}' "$source")
if [ ! -e "$tree/Makefile" ]; then
	echo "  UNPACK   $source"
	rm -rf "$out/src"
	mkdir -p "$out/src"
	tar -C "$out/src" -xf "/usr/src/$source.tar.xz"
	mv "$out/src/$source" "$tree"
fi

# --- configuration -------------------------------------------------------------------------------

build=$out/$arch/build
mkdir -p "$build"

kernel_make() {
	make -s -C "$tree" O="$build" ARCH="$machine" CROSS_COMPILE="$cross" \
		KBUILD_BUILD_USER=stoker KBUILD_BUILD_HOST=stoker "$@"
}

# An unchanged configuration of the same source keeps its time stamp, and the build what it compiled.
{ echo "# $tree" && cat "$here/common.config" "$here/$arch.config"; } >"$build/fragment"
if ! cmp -s "$build/fragment" "$build/fragment.done"; then
	echo "  CONFIG   $arch"
	rm -f "$build/fragment.done"
	kernel_make KCONFIG_ALLCONFIG="$build/fragment" allnoconfig >"$build/config.log" 2>&1 ||
		{ cat "$build/config.log" >&2 && fail "cannot configure $source"; }
	"$here/check-config.sh" "$build/.config" "$here/common.config" "$here/$arch.config"
	cp "$build/fragment" "$build/fragment.done"
fi

# --- kernel --------------------------------------------------------------------------------------

echo "  KERNEL   $arch, $source ($jobs at once; from nothing it takes minutes)"
kernel_make -j"$jobs" "$target"
if [ "$target" = vmlinux ]; then
	"${cross}objcopy" --strip-all --remove-section .comment --remove-section '.rela*' \
		"$build/vmlinux" "$out/$arch/vmlinux.new"
else
	cp "$build/arch/$machine/boot/$target" "$out/$arch/$target.new"
fi
chmod 644 "$out/$arch/$target.new"
mv "$out/$arch/$target.new" "$out/$arch/$target"
ls -l "$out/$arch/$target"
