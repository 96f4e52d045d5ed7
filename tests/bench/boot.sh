#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# boot.sh VMLINUX: how much sooner a workload runs with the kernel of `make kernel` than with the
# distribution's. One VM at a time, the kernels by turns, by a stokerd on a host of its own; the time
# is the daemon's boot_ms, from the start of the VMM to the guest's word that its workload runs. ROUNDS
# (default 9) boots of each count, after one that does not.
cd "$(dirname "$0")/../.." || exit 1
own=${1:?usage: boot.sh VMLINUX}
[ "$(id -u)" -eq 0 ] || { echo "make bench-boot needs root" >&2; exit 1; }
: "${ROUNDS:=9}" "${GOAL:=1.7}"
. tests/lib.sh

fail() {
	echo "make bench-boot: $*" >&2
	tail -n 5 "$work/daemon.log" >&2
	exit 1
}

# boot KERNEL RESULTS: starts the VM, adds "milliseconds cpu-milliseconds resident-kib" to the file,
# ends the VM. The processor time is the VMM's until it is looked at, a moment later.
boot() {
	cat >"$fleet/bench.yaml" <<-YAML
		tenants:
		  bench:
		    subnets: [10.20.0.0/24]
		    vms:
		      boot:
		        image: oci:$work/busybox
		        memory: 128MiB
		        kernel: $1
	YAML
	ctl reload >/dev/null || fail "the manifest was refused"
	wait_for 300 phase_is bench/boot running || fail "no VM with kernel $1"
	pid=$(member bench/boot pid)
	cpu=$(awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$pid/stat")
	resident=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$pid/status")
	vmm=$(member bench/boot vmm)
	echo "$(member bench/boot boot_ms) $cpu $resident" >>"$2"
	rm "$fleet/bench.yaml"
	ctl reload >/dev/null || fail "the empty fleet was refused"
	wait_for 60 no_vm || fail "the VM does not end"
}

no_vm() {
	[ -z "$(member bench/boot phase)" ]
}

# median FILE COLUMN
median() {
	awk -v c="$2" '{ print $c }' "$1" | sort -n | awk '{ v[NR] = $1 }
		END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

line() { # NAME FILE RESULTS
	least=$(sort -n "$3" | sed -n '1s/ .*//p')
	most=$(sort -n "$3" | sed -n '$s/ .*//p')
	echo "$1 $(median "$3" 1) $least $most $(median "$3" 2) $(median "$3" 3) $(stat -L -c %s "$2")" |
		awk '{ printf "%-13s %7.0f %7.0f %7.0f %7.0f %10.0f %11.1f\n",
			$1, $2, $3, $4, $5, $6 / 1024, $7 / 1048576 }'
}

lib_host bench 860000
cp "$own" "$work/vmlinux" # root's, whoever built it
chmod 644 "$work/vmlinux"
busybox_root "$work/root"
oci_image "$work/busybox" "$work/root" '{"Entrypoint":["/bin/sleep","1000000"],"Env":["PATH=/bin"]}'
start_daemon
wait_for 60 ctl status || fail "no daemon"
boot auto "$work/unused"
boot "$work/vmlinux" "$work/unused"
round=0
while [ "$round" -lt "$ROUNDS" ]; do
	boot auto "$work/distribution"
	boot "$work/vmlinux" "$work/own"
	round=$((round + 1))
done
set -- "$work"/state/boot/vmlinux-*
echo "from the start of the VMM to the workload, $ROUNDS boots of each by turns, $vmm"
echo "kernel         median   least    most     cpu   resident        size"
echo "                   ms      ms      ms      ms        MiB         MiB"
line distribution "$1" "$work/distribution"
line own "$work/vmlinux" "$work/own"
awk -v d="$(median "$work/distribution" 1)" -v o="$(median "$work/own" 1)" -v goal="$GOAL" 'BEGIN {
	printf "ratio %.2f, goal %.2f: %s\n", d / o, goal, (d / o >= goal) ? "met" : "NOT met"
}'
