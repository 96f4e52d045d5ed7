#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Boots real guests under QEMU without hardware help, with Debian's kernel and a busybox image, and
# hears them over the real channel code (guest_driver.c): what stoker-init makes of image and manifest,
# logs, syslog, peers, a host that comes back, stops, reports. In a network namespace of its own.
#
# GUEST_MACHINE=aarch64 boots guests of that machine, with GUEST_ROOT as the place of their kernel and
# busybox (arm64-guest.t); GUEST_KERNEL=PATH a kernel of one's own; GUEST_BOOT_CONSOLE=1 shows the end
# of what was on the consoles.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
[ "$(uname -m)" = x86_64 ] || { echo "1..0 # SKIP boots x86_64 guests"; exit 0; }
: "${STOKER_BUILD:=$PWD/build}" "${GUEST_ROOT:=}"
case ${GUEST_MACHINE:=x86_64} in
aarch64) init=$STOKER_BUILD/aarch64/stoker-init busybox=$GUEST_ROOT/bin/busybox ;;
*) init=$STOKER_BUILD/stoker-init busybox=$(command -v busybox) ;;
esac

if [ -z "${GUEST_BOOT_INSIDE-}" ]; then
	export GUEST_BOOT_INSIDE=1
	exec unshare --net "$0" "$@"
fi

work=$(mktemp -d /tmp/stoker-guest.XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM INT

make_image() {
	image=$work/image
	mkdir -p "$image/bin" "$image/etc" "$image/home/app" "$image/run" "$image/tmp" "$image/srv/data"
	cp "$busybox" "$image/bin/busybox" || return 1
	for applet in $(busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$image/bin/$applet"
	done
	echo 'the image put this here' >"$image/run/kept"
	printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n' >"$image/etc/passwd"
	printf 'root:x:0:\napp:x:1000:\nstaff:x:2000:app\n' >"$image/etc/group"
	echo '192.0.2.1 of-the-image' >"$image/etc/hosts"
	# A link that leads out of the image, as some distributions ship it.
	ln -s /run/nowhere/resolv.conf "$image/etc/resolv.conf"
	chmod 1777 "$image" "$image/tmp" "$image/srv/data"
	mksquashfs "$image" "$work/base.sqfs" -quiet -no-progress -all-root >&2
}

# An image of one static program and two that cannot run in it; and one that was cut short.
make_other_images() {
	mkdir "$work/scratch"
	cp "$busybox" "$work/scratch/busybox" || return 1
	echo '#!/bin/sh' >"$work/scratch/script"
	case $GUEST_MACHINE in
	aarch64) echo '#!/lib/ld.so' >"$work/scratch/dynamic" ;;
	*) cp /bin/true "$work/scratch/dynamic" ;;
	esac
	chmod 755 "$work/scratch"/*
	mksquashfs "$work/scratch" "$work/scratch.sqfs" -quiet -no-progress -all-root >&2 || return 1
	head -c $(($(stat -c %s "$work/base.sqfs") / 2)) "$work/base.sqfs" >"$work/cut.sqfs"
}

uppers="upper1 upper2 upper3 upper4 missing no-file no-user no-directory no-shell no-libc no-passwd \
	scratch cut full"

make_disks() {
	mkdir "$work/filler"
	head -c 25000000 /dev/urandom >"$work/filler/most"
	for name in $uppers; do
		set --
		[ "$name" != full ] || set -- -d "$work/filler"
		truncate -s 32M "$work/$name.ext4"
		mkfs.ext4 -q -F -m 0 -E lazy_itable_init=1 "$@" "$work/$name.ext4" || return 1
	done
}

# The host's side of a routed tap.
make_net() {
	ip link set lo up
	ip tuntap add tap0 mode tap vnet_hdr
	ip link set tap0 address 02:53:74:6b:00:fe
	sysctl -q -w net.ipv6.conf.tap0.accept_dad=0 net.ipv6.conf.tap0.addr_gen_mode=1
	ip link set tap0 up
	ip addr add 169.254.1.1/32 dev tap0
	ip addr add fe80::1/64 dev tap0 nodad
	ip addr add fd00:ffff::1/128 dev tap0 nodad
	ip route add 10.20.0.10 dev tap0 src 169.254.1.1
	ip -6 route add fd00:20::a dev tap0 src fd00:ffff::1
	ip neigh add 10.20.0.10 lladdr 02:00:00:00:00:01 dev tap0
	ip neigh add fd00:20::a lladdr 02:00:00:00:00:01 dev tap0
}

make_image && make_other_images && make_disks && make_net || { echo "Bail out! cannot prepare the test"; exit 1; }
cp "$init" "$work/stoker-init"
# An argument names the one test to run.
"$STOKER_BUILD/tests/guest_driver" -m "$GUEST_MACHINE" -r "$GUEST_ROOT" -k "${GUEST_KERNEL:-auto}" "$work" "$@"
result=$?

# A clean end leaves nothing for the journal to replay.
for name in $uppers; do
	state=$(dumpe2fs -h "$work/$name.ext4" 2>/dev/null | sed -n 's/^Filesystem state: *//p')
	needs=$(dumpe2fs -h "$work/$name.ext4" 2>/dev/null | grep -c needs_recovery)
	[ "$state $needs" = "clean 0" ] || { echo "# $name.ext4: $state, needs_recovery $needs"; result=1; }
done
if [ -n "${GUEST_BOOT_CONSOLE-}" ]; then tail -n 40 "$work"/*.console | sed 's/^/# /'; fi
exit $result
