#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# stokerd -S: what runs is stopped as its manifest says, by somebody who never started it, and then
# nothing is left. And what a daemon that comes back finds removed is stopped no less gracefully.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

shut_down() {
	in_host "$STOKERD" -S -c "$ini" >"$work/shutdown.log" 2>&1
}

vm_log() { # NAME; also of one that no daemon knows
	cat "$work/log/$1.log"
}

write_shutdown_fleet() {
	cat >"$fleet/a.yaml" <<-EOF
		tenants:
		  acme:
		    subnets: [10.20.0.0/24]
		    vms:
		      polite:
		        image: oci:$work/image
		        command: ["trap 'echo was told; sleep 1; echo has finished; exit 0' USR1; $wait_on"]
		        stop_signal: SIGUSR1
		        stop_grace_period: 2m
		      deaf:
		        image: oci:$work/image
		        command: ["trap '' TERM; $wait_on"]
		        stop_grace_period: 1s
		      job: {image: "oci:$work/image", command: [exit 3], restart: "no"}
	EOF
}

lib_host shutdown 850000
busybox_root "$work/root"
oci_image "$work/image" "$work/root" '{"Entrypoint":["/bin/sh","-c"],"Env":["PATH=/bin"]}'
wait_on='echo runs; while :; do sleep 0.2; done'

ok "where nothing ever ran, there is nothing to do" shut_down
is "and nothing is said" "$(cat "$work/shutdown.log")" ""

write_shutdown_fleet
start_daemon
for vm in polite deaf; do
	ok "$vm runs" wait_for 300 phase_is acme/$vm running
done
ok "a job ends" wait_for 300 phase_is acme/job stopped
pids=$(vmm_pids)

shut_down
is "while a daemon runs, -S is refused" $? 1
like "with the daemon's number and the remedy" "$(cat "$work/shutdown.log")" \
	"another stokerd is running, process $daemon_pid (stop it first)"
is "and nothing happens to the VMs" "$(vmm_pids)" "$pids"

stop_daemon
is "the daemon leaves its VMs running" $? 0

# VMMs that are stopped keep it waiting, for certain.
kill -STOP $pids
nsenter --net="/run/netns/$netns" "$STOKERD" -S -c "$ini" >"$work/shutdown.log" 2>&1 &
waiting=$!
ok "-S takes them over" wait_for 60 grep -q 'stopping 3 VMs' "$work/shutdown.log"
kill -TERM "$waiting"
wait "$waiting"
is "interrupted, it fails" $? 1
like "and says what goes on" "$(cat "$work/shutdown.log")" \
	"interrupted, and 2 VMs go on: acme/deaf acme/polite"
kill -CONT $pids

shut_down
is "-S stops them and ends with 0" $? 0
like "it says what it does" "$(cat "$work/shutdown.log")" "stopping 2 VMs"
like "and when one has ended" "$(cat "$work/shutdown.log")" "acme/polite: has ended"
like "a workload got its own stop signal" "$(vm_log acme/polite)" "stdout was told"
like "and the time to finish" "$(vm_log acme/polite)" "stdout has finished"
is "no warning, no error" "$(grep -E ' (warning|error): ' "$work/shutdown.log")" ""
is "nothing is left behind, nor running" "$(left_behind 850000)" ""
for pid in $pids; do
	ok "process $pid has ended" has_ended "/proc/$pid"
done
ok "again, there is nothing to do" shut_down

# The next start is as one after a reboot: everything anew.
start_daemon
for vm in polite deaf; do
	ok "$vm runs again" wait_for 300 phase_is acme/$vm running
done
ok "so does the job" wait_for 300 phase_is acme/job stopped
runs_twice() { [ "$(ctl logs -n 1000 acme/polite | grep -c 'stdout runs')" = 2 ]; }
ok "it is the second run, and there was none between" wait_for 60 runs_twice

# Removed while no daemon was there: told by one that has just adopted it.
stop_daemon
rm "$fleet/a.yaml"
start_daemon
empty() { ctl status --json >/dev/null && [ -z "$(vmm_pids)" ]; }
ok "a daemon that comes back removes what is no longer wanted" wait_for 300 empty
is "gracefully" "$(vm_log acme/polite | grep -c 'stdout has finished')" 2
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 850000)" ""
done_testing
