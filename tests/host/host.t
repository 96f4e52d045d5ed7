#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The outer host: a Debian VM with systemd, cgroup v2 and, by emulated SVM, a KVM that runs guests.
# stoker is installed in it by `make install`, and inside.sh drives it there; its TAP comes out by a
# virtio port and is passed on. Nothing leaves the VM: it has no network.
#
# FIRECRACKER_DIR holds the programs firecracker and jailer; without it their scenarios are skipped.
# STOKER_HOST_TIMEOUT are the seconds that all of it may take.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

seconds=${STOKER_HOST_TIMEOUT:-1500}
work=$(mktemp -d /tmp/stoker-host.XXXXXX)
qemu_pid=
clean() {
	[ -z "$qemu_pid" ] || kill "$qemu_pid" 2>/dev/null
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- what goes in: stoker as `make install` leaves it, images, the scenarios -----------------------

# make_images DIR: OCI layouts under the path that they have inside as well.
make_images() {
	busybox_root "$work/root"
	echo "hello from a microVM" >"$work/root/www/index.html"
	mkdir -p "$1"
	oci_image "$1/busybox" "$work/root" \
		'{"Entrypoint":["/bin/sh","-c"],"Cmd":["sleep 100000"],"Env":["PATH=/bin"]}'
}

make_payload() { # FILE
	local root=$work/payload

	make --no-print-directory install DESTDIR="$root" prefix=/usr/local sysconfdir=/etc \
		systemdunitdir=/etc/systemd/system >&2 || return 1
	install -d "$root/opt/check-host"
	cp -r --parents tests/lib.sh tests/tap.sh tests/host "$root/opt/check-host"
	make_images "$root/srv/images" || return 1
	if [ -n "${FIRECRACKER_DIR:-}" ]; then
		install -D -m 0755 -t "$root/usr/bin" "$FIRECRACKER_DIR/firecracker" \
			"$FIRECRACKER_DIR/jailer" || return 1
	fi
	tar -C "$root" --owner=0 --group=0 -cf "$1" .
}

# --- the VM ----------------------------------------------------------------------------------------

start_host() { # DIRECTORY of rootfs.sh
	# snapshot=on: what is written lies in $TMPDIR and goes with the process. hpet: without it
	# the kernel finds no stable clock under TCG. A panic ends it, instead of a wait for nothing.
	TMPDIR=$work timeout --kill-after=10 "$seconds" qemu-system-x86_64 -nodefaults \
		-display none -M q35,accel=tcg,hpet=on -cpu max,+svm -smp 2 -m 3072 \
		-action panic=shutdown -device pvpanic -device virtio-rng-pci \
		-kernel "$1/vmlinuz" -initrd "$1/initrd.img" \
		-append "console=ttyS0 root=/dev/vda rw" \
		-drive "file=$1/disk.img,format=raw,if=virtio,snapshot=on" \
		-drive "file=$work/payload.tar,format=raw,if=virtio,readonly=on" \
		-serial "file:$work/console" \
		-chardev "file,id=tap,path=$work/tap" \
		-device virtio-serial-pci -device virtserialport,chardev=tap,name=stoker.tap \
		>"$work/qemu.log" 2>&1 &
	qemu_pid=$!
}

# Passes on what inside.sh says, with numbers of our own. The host may boot more than once: each
# time it says its plan.
relay() {
	local line

	plans=0 planned=0 heard=0
	while IFS= read -r line; do
		case $line in
		"ok "* | "not ok "*)
			heard=$((heard + 1))
			[ "${line%%ok *}" = "" ]
			tap_result $? "${line#* - }"
			;;
		1..*)
			plans=$((plans + 1))
			planned=$((planned + ${line#1..}))
			;;
		*) echo "$line" ;;
		esac
	done < <(tail -n +1 -f --sleep-interval=0.2 --pid="$qemu_pid" "$work/tap")
}

base=$(tests/host/rootfs.sh) || { tap_result 1 "the outer host's file system is made"; done_testing; exit 1; }
make_payload "$work/payload.tar" >"$work/payload.log" 2>&1 ||
	{ tap_result 1 "stoker is installed"; diag "$(tail -n 20 "$work/payload.log")"; done_testing; exit 1; }
touch "$work/tap" "$work/console"
start_host "$base"
relay
wait "$qemu_pid"
status=$?
qemu_pid=
is "the outer host ends by itself, within $seconds s" "$status" 0
is "every scenario was gone through" "$plans boots, $heard of $planned" "2 boots, $planned of $planned"
if [ "$tap_failed" -gt 0 ]; then
	diag "$(cat "$work/qemu.log")"
	diag "The end of the outer host's console:"
	diag "$(tail -n 60 "$work/console" | tr -cd '\n\t -~')"
fi
done_testing
