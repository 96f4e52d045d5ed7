#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# guest.sh: what stoker-init costs a guest, each figure with its goal and a verdict: its size and its
# memory; the time from the kernel's hand-over to the workload, against a busybox script that does the
# same in the same kernel, on the same command line, by turns; logs, against a writer on the bare port;
# VMs that start at once, against the same command lines without stoker. Times within a guest are its
# own; what is compared is measured in one run, by turns, and by medians.
# BOOTS (20) of each init, VMS (10) at once, ROUNDS (3) of the rest, MIB (64) of log.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "make bench-guest needs root" >&2; exit 1; }
: "${BOOTS:=20}" "${VMS:=10}" "${ROUNDS:=3}" "${MIB:=64}"
. tests/lib.sh

fail() {
	echo "make bench-guest: $*" >&2
	tail -n 5 "$work/daemon.log" >&2
	exit 1
}

# goal WHAT VALUE WANTED UNIT [least]: at most WANTED; with `least`, at least.
goal() {
	awk -v what="$1" -v v="$2" -v w="$3" -v unit="$4" -v least="${5-}" 'BEGIN {
		met = least ? v >= w : v <= w
		printf "  %-6s %-52s %9.3f%s (%s %s%s)\n", met ? "met" : "MISSED", what, v, unit,
			least ? "at least" : "at most", w, unit
	}'
}

# median FILE, of numbers.
median() {
	sort -n "$1" | awk '{ v[NR] = $1 }
		END { printf "%d\n", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

per() { # A B
	awk -v a="$1" -v b="$2" 'BEGIN { print a / b }'
}

# write_fleet NAMES COMMAND: one VM of each name.
write_fleet() {
	{
		echo "tenants:"
		echo "  bench:"
		echo '    subnets: [10.20.0.0/24, "fd00:20::/64"]'
		echo "    vms:"
		for name in $1; do
			echo "      $name:"
			echo "        image: oci:$work/image"
			echo "        command: [$2]"
			[ "$name" != boot ] || echo '        addresses: [10.20.0.10, "fd00:20::10"]'
		done
	} >"$fleet/bench.yaml"
}

no_vm() {
	[ -z "$(vmm_pids)" ]
}

empty_fleet() {
	rm -f "$fleet/bench.yaml"
	ctl reload >/dev/null || fail "the empty fleet was refused"
	wait_for 120 no_vm || fail "VMs do not end"
}

vm() {
	in_host perl tests/bench/guest-vm.pl "$@" || fail "no guest without stoker"
}

# segment DIR: the directory as one more part of an initramfs.
segment() {
	(cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc --quiet)
}

make_initrds() {
	mkdir -p "$work/bench" "$work/busybox/bin"
	cp "$STOKER_BUILD/tests/bench_guest" "$work/bench/bench"
	{ cat "$work/vm/initrd" && segment "$work/bench"; } >"$work/stoker.initrd"
	(cd "$work/busybox" && mkdir base upper root proc sys dev)
	cp -r "$work/vm/modules" "$work/busybox/modules"
	cp "$work/bench/bench" "$work/busybox/bench"
	cp tests/bench/guest-init.sh "$work/busybox/init"
	chmod 755 "$work/busybox/init"
	cp "$(command -v busybox)" "$work/busybox/bin/busybox"
	for applet in $(busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$work/busybox/bin/$applet"
	done
	segment "$work/busybox" >"$work/busybox.initrd"
	# Without what writes to the port at once, and without a host that greets.
	cp -r "$work/busybox" "$work/port"
	sed -i 's,bench ran$,bench port stoker.0 '"$MIB," "$work/port/init"
	segment "$work/port" >"$work/port.initrd"
	truncate -s 64M "$work/vm/upper.ext4"
	mkfs.ext4 -q -F -m 0 -E lazy_itable_init=1 "$work/vm/upper.ext4" || fail "no disk"
}

# --- the measurements ----------------------------------------------------------------------------

bench_init() {
	write_fleet boot ran
	ctl reload >/dev/null || fail "the manifest was refused"
	phase_is bench/boot running || fail "no VM"
	mkdir "$work/vm"
	vm take "$(member bench/boot pid)" "$work/vm"
	cp "$work"/state/images/squashfs/*.sqfs "$work/vm/base"
	make_initrds
	goal "stoker-init, static" "$(per "$(stat -L -c %s "$STOKER_BUILD/stoker-init")" 1024)" 256 " KiB"
	resident=$(ctl exec bench/boot -- /bin/busybox sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' /proc/1/status)
	[ -n "$resident" ] || fail "the guest does not tell its init's memory"
	goal "its resident memory while the workload runs" "$resident" 1024 " KiB"
	empty_fleet
}

bench_boots() {
	: >"$work/boots.stoker" >"$work/boots.busybox"
	count=0
	while [ "$count" -lt "$BOOTS" ]; do
		for init in stoker busybox; do
			vm boot "$work/vm" "$work/$init.initrd" >>"$work/boots.$init"
		done
		count=$((count + 1))
	done
	stoker=$(median "$work/boots.stoker") busybox=$(median "$work/boots.busybox")
	goal "hand-over to workload, of the busybox script's" "$(per "$stoker" "$busybox")" 0.5 ""
	echo "         ($(ls "$work/vm/modules" | wc -l) modules; medians of $BOOTS boots: $stoker us, $busybox us)"
}

# Of the VM's console, which lies beside its record: prints the microseconds.
wrote() {
	sed -n 's/^bench: wrote \([0-9]*\) \([0-9]*\)[^0-9]*$/\1 \2/p' "$run"/vm/*/console.log | awk '
		{ print $2 - $1 } END { exit !NR }'
}

bench_log() {
	: >"$work/log.stoker" >"$work/log.port"
	count=0
	while [ "$count" -lt "$ROUNDS" ]; do
		write_fleet log "write, \"$MIB\""
		ctl reload >/dev/null || fail "the manifest was refused"
		wait_for 300 wrote || fail "the guest does not end its log"
		wrote >>"$work/log.stoker"
		dropped=$(member bench/log log_dropped_bytes)
		[ "$dropped" = 0 ] || fail "$dropped bytes of the log were dropped"
		empty_fleet
		vm port "$work/vm" "$work/port.initrd" "$work/port.out" >>"$work/log.port"
		count=$((count + 1))
	done
	stoker=$(per "$MIB" "$(median "$work/log.stoker")e-6")
	port=$(per "$MIB" "$(median "$work/log.port")e-6")
	goal "log to a file of the host" "$stoker" 50 " MiB/s" least
	echo "         (the bare port to a file: $port MiB/s)"
}

bench_many() {
	: >"$work/many.stoker" >"$work/many.bare"
	names=$(seq -f vm%g "$VMS")
	count=0
	while [ "$count" -lt "$ROUNDS" ]; do
		write_fleet "$names" ran
		from=$(date +%s%3N)
		ctl reload >/dev/null || fail "the manifest was refused"
		echo $(($(date +%s%3N) - from)) >>"$work/many.stoker"
		empty_fleet
		vm many "$work/vm" "$work/stoker.initrd" "$VMS" >>"$work/many.bare"
		count=$((count + 1))
	done
	goal "$VMS VMs at once, of the same without stoker" \
		"$(per "$(median "$work/many.stoker")" "$(median "$work/many.bare")")" 1.2 ""
}

lib_host bench-guest 861000
printf '[log]\nfile_size = 1GiB\nrate = 1GiB\n' >>"$ini" # what is measured is no cap
busybox_root "$work/root"
cp "$STOKER_BUILD/tests/bench_guest" "$work/root/bin/bench"
oci_image "$work/image" "$work/root" '{"Entrypoint":["/bin/bench"],"Env":["PATH=/bin"]}'
start_daemon
wait_for 60 ctl status || fail "no daemon"
echo "stoker-init:"
for part in ${PARTS:-init boots log many}; do
	bench_$part
done
