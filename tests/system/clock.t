#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The guest's clock is kept by the host's: set wrong by its workload, and lost by a pause, it is right
# again. And how a guest is doing, as stokerctl stats asks it.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

seconds_off() { # of the guest's clock, either way
	off_guest=$(ctl exec acme/web -- date +%s) || return 1
	off=$((off_guest - $(date +%s)))
	echo "${off#-}"
}

is_right() {
	off=$(seconds_off) && [ "$off" -le 5 ]
}

is_wrong() {
	off=$(seconds_off) && [ "$off" -ge 1000 ]
}

# stat_of VM KEY: as stokerctl tells it.
stat_of() {
	ctl stats --json "$1" | perl -MJSON::PP -0777 -ne 'print decode_json($_)->[0]{stats}{'"$2"'} // ""'
}

lib_host clock 896000
busybox_root "$work/root"
oci_image "$work/image" "$work/root" \
	'{"Entrypoint":["/bin/sh","-c"],"Cmd":["sleep 100000"],"Env":["PATH=/bin"]}'
cat >"$fleet/a.yaml" <<-EOF
	tenants:
	  acme:
	    subnets: [10.20.0.0/24]
	    vms:
	      web: {image: "oci:$work/image", memory: 128MiB}
	      ended: {image: "oci:$work/image", command: ["exit 3"], restart: "no"}
EOF
start_daemon
ok "it runs" wait_for 300 phase_is acme/web running
ok "its clock is right" wait_for 60 is_right

ok "its root sets it to another day" ctl exec acme/web -- date -s "2031-01-02 03:04:05"
ok "then it is wrong" is_wrong
# Within the minute after which it asks again.
ok "and right again" wait_for 150 is_right
like "which the log tells" "$(ctl logs -n 100 acme/web)" "ms ahead, it was set"

ok "paused" ctl pause acme/web
like "a guest that is paused is not asked" "$(ctl stats acme/web)" "paused"
sleep 20
ok "and resumed" ctl resume acme/web
ok "it has lost no time" wait_for 30 is_right

ok "how long it is up" test "$(stat_of acme/web uptime_ms)" -gt 20000
ok "what memory it has" test "$(stat_of acme/web memory_total_bytes)" -gt 67108864
ok "and has left" test "$(stat_of acme/web memory_available_bytes)" -gt 16777216
ok "what its disk holds" test "$(stat_of acme/web disk_total_bytes)" -gt 67108864
ok "and that it is not full" test "$(stat_of acme/web disk_used_bytes)" -lt 67108864
ok "how many tasks" test "$(stat_of acme/web tasks)" -gt 5
like "what it waits for, in percent" "$(stat_of acme/web pressure_cpu_percent)" "."
table=$(ctl stats)
like "all of them in a table" "$table" "acme/web "
like "with what has ended" "$table" "stopped"

# Its VMM stands still: nobody waits for long.
kill_vmm STOP "$(member acme/web pid)"
like "a guest that does not answer is told as such" "$(ctl stats acme/web)" "no answer"
kill_vmm CONT "$(member acme/web pid)"
ok "later it does" test "$(stat_of acme/web uptime_ms)" -gt 20000

rm "$fleet/a.yaml"
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 896000)" ""
done_testing
