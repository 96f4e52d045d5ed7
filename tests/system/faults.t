#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What goes wrong on the host: VMMs that are killed over and over, a tap that is deleted, a run
# directory without room, programs that are missing, a range of uids that moved, a port that is taken.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

# A VMM is there; whether its guest has booted is of no interest here.
has_vmm() {
	pid=$(member acme/web pid)
	[ "${pid:-0}" -gt 0 ]
}

another_vmm() { # than PID
	has_vmm && [ "$pid" -ne "$1" ]
}

# A zombie is, until whoever inherited it looks.
is_dead() { # PID
	! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null
}

message_has() {
	member acme/web message | grep -qF "$1"
}

# What the daemon says when it refuses to start.
refusal() {
	in_host "$STOKERD" -c "$ini" 2>&1 | tail -n 1
}

lib_host faults 860000
sed -i 's/^\[vm\]$/[metrics]\nlisten = 127.0.0.1:9469\n&/' "$ini"
printf 'restart_delay_min = 10ms\nrestart_delay_max = 100ms\n' >>"$ini"
mkdir "$run"
mount -t tmpfs -o size=512k,mode=755 tmpfs "$run"
busybox_root "$work/root"
oci_image "$work/image" "$work/root" '{"Entrypoint":["/bin/sh","-c"],"Cmd":["sleep 1000"]}'
cat >"$fleet/a.yaml" <<-EOF
	tenants:
	  acme:
	    subnets: [10.20.0.0/24]
	    vms:
	      web: {image: "oci:$work/image", memory: 96MiB}
EOF

nsenter --net="/run/netns/$netns" perl -MIO::Socket::INET -e '
	$taken = IO::Socket::INET->new(LocalAddr => "127.0.0.1:9469", Listen => 1) or die;
	open($out, ">", $ARGV[0]) and close($out);
	sleep' "$work/taken" &
squatter=$!
trap 'kill $squatter 2>/dev/null; lib_clean' EXIT
ok "a port is taken" wait_for 60 test -e "$work/taken"
echo "qemu = $work/none" >>"$ini"
start_daemon
ok "without QEMU the VM says what to install" \
	wait_for 120 message_has "$work/none: cannot run it (install qemu-system-x86"
like "and that the port of metrics is taken, the log" "$(cat "$work/daemon.log")" \
	"error: [metrics] listen = 127.0.0.1:9469: cannot bind: Address already in use (no metrics until"
stop_daemon
kill "$squatter"
wait "$squatter" 2>/dev/null
trap lib_clean EXIT
sed '/^qemu = /d' "$ini" >"$ini.new" && mv "$ini.new" "$ini"

start_daemon
ok "a VM starts" wait_for 120 has_vmm
like "a second daemon is refused, and told about the first" "$(refusal)" "process $daemon_pid (stop"
before=$(descriptors)
for _ in 1 2 3 4 5 6 7 8 9 10; do
	wait_for 60 has_vmm
	kill_vmm KILL "$pid"
	wait_for 60 another_vmm "$pid"
done
is "ten deaths of a VMM cost no descriptor" "$(descriptors)" "$before"
is "and leave no zombie" "$(ps --ppid "$daemon_pid" -o stat= | grep -c Z)" 0
like "metrics are told on that port" \
	"$(in_host curl -sS -m 60 http://127.0.0.1:9469/metrics 2>&1)" 'stoker_vm_phase{vm="acme/web",'

told() { ctl events | grep -q "$1"; }
wait_for 60 has_vmm
rm -f "$work"/bpf/stoker/stk0-in "$work"/bpf/stoker/stk0-out
in_host tc qdisc del dev stk0 clsact 2>/dev/null
ok "a guard that was taken away is put back, and that is told" \
	wait_for 60 told 'acme/web  guard  repaired: the guard was taken off'
ok "and said in the log" grep -q 'error: acme/web: the guard was taken off; it is on again' \
	"$work/daemon.log"
ok "its VM goes on" kill -0 "$pid"
in_host ip link del stk0
ok "a VM whose tap was deleted is ended, and runs anew" wait_for 60 another_vmm "$pid"
ok "for that reason" told 'lost-tap  the tap is gone'
ok "its tap is back" in_host ip link show stk0

# Filled while no VM has its files there, for those that it leaves are room for its next run.
mv "$fleet/a.yaml" "$work/a.yaml"
ctl reload >/dev/null 2>&1
dd if=/dev/zero of="$run/ballast" bs=4k 2>/dev/null
mv "$work/a.yaml" "$fleet/a.yaml"
ctl reload >/dev/null 2>&1
ok "without room in the run directory the VM says so" wait_for 60 message_has "No space left"
rm "$run/ballast"
ok "and starts when there is room again" wait_for 60 has_vmm
has_vmm

kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
sed 's/^uid_base = .*/uid_base = 860001/' "$ini" >"$ini.new" && mv "$ini.new" "$ini"
old=$pid
start_daemon
ok "a VMM of another uid is replaced" wait_for 60 another_vmm "$old"
has_vmm
ok "it is gone" wait_for 10 is_dead "$old"
is "and its successor has the slot's uid" "$(stat -c %u "/proc/$pid")" 860003

rm "$fleet/a.yaml"
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0

is "and the run directory holds no VM" "$(find "$run/vm" -mindepth 1)" ""
umount "$work/bpf"
mount -t sysfs sysfs "$work/bpf"
is "without bpffs it says what to mount" "$(refusal | sed 's/.*error: //; s/.*stokerd: //')" \
	"network: $work/bpf/stoker: not on a BPF file system, so the guard cannot outlive the daemon (mount -t bpf bpf /sys/fs/bpf)"
umount "$work/bpf"
mount -t bpf bpf "$work/bpf"
umount "$run"
is "nothing is left behind" "$(left_behind 860000)" ""
done_testing
