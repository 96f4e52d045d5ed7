#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The outer host: a Debian VM with systemd, cgroup v2 and, by emulated SVM, a KVM that runs guests.
# stoker is installed in it by `make install`, and inside.sh drives it there; its TAP comes out by a
# virtio port and is passed on. Nothing leaves the VM: it has no network.
#
# FIRECRACKER_DIR holds the programs firecracker and jailer; without it their scenarios are skipped.
# STOKER_HOST_TIMEOUT are the seconds that all of it may take: 1500, with Firecracker 2700.
#
# The outer host has one processor. With two, each emulated by a thread of its own, once in a while one
# does not see that the other has patched the kernel's code, and the kernel breaks down. Should it
# break down all the same, the host is started anew, once, from the beginning; what went wrong until
# then is told, but judges nobody.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

seconds=${STOKER_HOST_TIMEOUT:-${FIRECRACKER_DIR:+2700}}
seconds=${seconds:-1500}
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

# A minute in which a CPU did nothing else is not for want of time.
broken_is_panic="oops=panic softlockup_panic=1 sysctl.kernel.watchdog_thresh=30 \
rcupdate.rcu_cpu_stall_timeout=60 sysctl.kernel.panic_on_rcu_stall=1"

# Nor does it have what is dear under TCG: a fifth level of page tables, string moves that are loops
# over bytes, a check at every access to a user's memory, the work against side channels.
cpu=max,+svm,-la57,-erms,-fsrm,-smap

start_host() { # DIRECTORY of rootfs.sh
	local left=$((seconds - SECONDS))

	# snapshot=on: what is written lies in $TMPDIR and goes with the process. hpet: without it
	# the kernel finds no stable clock under TCG. A panic ends it, instead of a wait for nothing.
	TMPDIR=$work timeout --kill-after=10 "$((left > 0 ? left : 1))" qemu-system-x86_64 -nodefaults \
		-display none -M q35,hpet=on -accel tcg -cpu "$cpu" -smp 1 -m 3072 \
		-action panic=shutdown -device pvpanic -device virtio-rng-pci \
		-kernel "$1/vmlinuz" -initrd "$1/initrd.img" \
		-append "console=ttyS0 root=/dev/vda rw mitigations=off $broken_is_panic" \
		-drive "file=$1/disk.img,format=raw,if=virtio,snapshot=on" \
		-drive "file=$work/payload.tar,format=raw,if=virtio,readonly=on" \
		-serial "file:$work/console" \
		-chardev "file,id=tap,path=$work/tap" \
		-device virtio-serial-pci -device virtserialport,chardev=tap,name=stoker.tap \
		>"$work/qemu.log" 2>&1 &
	qemu_pid=$!
}

# Or it says nothing any more: TCG has left its CPU spinning.
silence=300
end_if_silent() {
	local newest

	while sleep 10 && kill -0 "$qemu_pid" 2>/dev/null; do
		newest=$(stat -c %Y "$work/console" "$work/tap" | sort -n | tail -n 1)
		[ $(($(date +%s) - newest)) -gt "$silence" ] || continue
		echo "BUG: the outer host has said nothing for $silence s" >>"$work/console"
		kill "$qemu_pid"
	done
}

# Whether the kernel of the outer host says so; nothing else of that form reaches its console.
kernel_broke() {
	grep -aqE 'Kernel panic|rcu: INFO: .* (detected|self-detected) stall|BUG: |Oops: ' "$work/console"
}

show_console() {
	diag "The outer host's console, where its kernel first complains and at its end:"
	diag "$(grep -aE -m1 -A40 'Kernel panic|rcu: INFO|BUG: |Oops: ' "$work/console" | tr -cd '\n\t -~')"
	diag "$(tail -n 30 "$work/console" | tr -cd '\n\t -~')"
}

# Passes on what inside.sh says, with numbers of our own. The host may boot more than once: each
# time it says its plan. What fails is judged at the end: see judge().
relay() {
	local line

	plans=0 planned=0 heard=0 failures=()
	while IFS= read -r line; do
		case $line in
		"ok "*)
			heard=$((heard + 1))
			tap_result 0 "${line#* - }"
			;;
		"not ok "*)
			heard=$((heard + 1))
			failures+=("${line#* - }")
			echo "# failed: ${line#* - }"
			;;
		alive) ;;
		1..*)
			plans=$((plans + 1))
			planned=$((planned + ${line#1..}))
			;;
		*) echo "$line" ;;
		esac
	done < <(tail -n +1 -f --sleep-interval=0.2 --pid="$qemu_pid" "$work/tap")
}

judge() { # STATUS of QEMU
	local failure

	for failure in "${failures[@]}"; do
		tap_result 1 "$failure"
	done
	is "the outer host ends by itself, all within $seconds s" "$1" 0
	is "every scenario was gone through" "$plans boots, $heard of $planned" "2 boots, $planned of $planned"
	[ "$tap_failed" -eq 0 ] || diag "$(cat "$work/qemu.log")"
}

base=$(tests/host/rootfs.sh) || { tap_result 1 "the outer host's file system is made"; done_testing; exit 1; }
make_payload "$work/payload.tar" >"$work/payload.log" 2>&1 ||
	{ tap_result 1 "stoker is installed"; diag "$(tail -n 20 "$work/payload.log")"; done_testing; exit 1; }
for try in first last; do
	: >"$work/tap" >"$work/console"
	start_host "$base"
	end_if_silent &
	relay
	wait "$qemu_pid"
	status=$?
	qemu_pid=
	if [ "$try" = first ] && kernel_broke && [ "$SECONDS" -lt "$seconds" ]; then
		show_console
		diag "The kernel of the outer host broke down: it is started anew."
		continue
	fi
	judge "$status"
	[ "$tap_failed" -eq 0 ] || show_console
	break
done
done_testing
