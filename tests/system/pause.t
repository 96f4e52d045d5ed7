#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a running VM is told by its operator: rate.disk changed by a reload, pause and resume, also
# over a daemon that is killed and over a replacement. The guest's own words say what became of it.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

write_pause_fleet() { # KEYS of acme/web
	cat >"$fleet/a.yaml" <<-EOF
		tenants:
		  acme:
		    subnets: [10.20.0.0/24]
		    vms:
		      web:
		        image: oci:$work/image
		        $1
		      ended:
		        image: oci:$work/image
		        entrypoint: ["/bin/true"]
		        restart: no
	EOF
}

# Each "round" writes to the disk twenty times, and says how long that took by its own clock.
make_image() {
	busybox_root "$work/root"
	cat >"$work/root/bin/work" <<-'EOF'
		#!/bin/sh
		trap 'echo stopped gracefully; exit 0' TERM
		n=0
		while :; do
			begin=$(date +%s) i=0
			while [ $((i += 1)) -le 20 ]; do
				dd if=/dev/zero of=/root/f bs=4k count=1 conv=fsync 2>/dev/null
			done
			echo "round $((n += 1)) took $(($(date +%s) - begin)) s"
			sleep 0.2
		done
	EOF
	chmod 755 "$work/root/bin/work"
	oci_image "$work/image" "$work/root" \
		'{"Entrypoint":["work"],"Env":["PATH=/bin"]}'
}

logs() {
	ctl logs -n 0 acme/web
}

rounds() {
	logs | grep -c 'stdout round'
}

last_round() {
	logs | sed -n 's/.*stdout round \([0-9]*\) took.*/\1/p' | tail -n 1
}

more_rounds_than() {
	[ "$(rounds)" -gt "$1" ]
}

# quick_round_after N, slow_round_after N: of the rounds after the Nth, one took less, or more, than
# five seconds.
quick_round_after() {
	logs | awk -v n="$1" '/stdout round/ && $4 > n && $6 < 5 { found = 1 } END { exit !found }'
}

slow_round_after() {
	logs | awk -v n="$1" '/stdout round/ && $4 > n && $6 >= 5 { found = 1 } END { exit !found }'
}

# Nothing more is heard for five seconds.
falls_silent() {
	silent_before=$(rounds)
	sleep 5
	[ "$(rounds)" = "$silent_before" ]
}

lib_host pause 894000
make_image
write_pause_fleet 'labels: {limit: none}'
start_daemon
ok "a VM runs" wait_for 300 phase_is acme/web running
ok "its writes are quick" wait_for 300 quick_round_after 0
pid=$(member acme/web pid)

# --- rate.disk, live ---

write_pause_fleet 'rate: {disk: {iops: 4}}'
like "a limit is a live change" "$(ctl plan)" "rate.disk.iops: none -> 4"
ok "applied by a reload" ctl reload
ok "its writes become slow" wait_for 300 slow_round_after "$(last_round)"
write_pause_fleet 'balloon: 32MiB'
ok "another reload takes it away, and some memory" ctl reload
ok "they are quick again" wait_for 300 quick_round_after "$(last_round)"
is "all that in one VM" "$(member acme/web pid) $(member acme/web restarts)" "$pid 0"
is "and nothing was refused" "$(member acme/web message)" ""

# --- pause, resume ---

ok "it is paused" ctl pause acme/web
is "as status says" "$(member acme/web phase) $(member acme/web pid)" "paused $pid"
ok "it falls silent" wait_for 120 falls_silent
count=$(rounds)
ok "paused twice is no mistake" ctl pause acme/web
ok "a reload leaves it so" ctl reload
is "and is soon done" "$(member acme/web phase) $(rounds)" "paused $count"
ok "it is resumed" ctl resume acme/web
ok "and goes on" wait_for 300 more_rounds_than "$count"
is "as the VM that it was" "$(member acme/web phase) $(member acme/web pid)" "running $pid"
ok "whose rounds go on counting" test "$(last_round)" -gt "$count"

# --- over the daemon's death ---

ok "paused again" ctl pause acme/web
ok "silent again" wait_for 120 falls_silent
count=$(rounds)
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
start_daemon
ok "the next daemon adopts it as paused" wait_for 60 phase_is acme/web paused
sleep 7 # longer than a lost channel may take to come back
is "and leaves it so" "$(member acme/web phase) $(member acme/web pid) $(rounds)" "paused $pid $count"
ok "it resumes it" ctl resume acme/web
ok "the guest goes on" wait_for 300 more_rounds_than "$count"
sleep 2
is "and is known to run" "$(member acme/web phase) $(member acme/web pid)" "running $pid"
kill -TERM "$daemon_pid"
wait "$daemon_pid"
start_daemon
ok "the one after that finds it running" wait_for 60 phase_is acme/web running

# --- what cannot be paused ---

ok "a job has ended" wait_for 300 phase_is acme/ended stopped
like "what does not run cannot be paused" "$(ctl pause acme/ended 2>&1)" \
	"acme/ended is stopped (only a running VM can be paused)"
like "nor resumed" "$(ctl resume acme/ended 2>&1)" \
	"acme/ended is stopped (only a paused VM can be resumed)"
like "nor what there is not" "$(ctl pause acme/nobody 2>&1)" "acme/nobody"

# --- a paused VM that has to go ---

stops() {
	logs | grep -c 'stdout stopped gracefully'
}

# The workload of the Nth VM has come so far that it hears its stop signal: told by its own first
# round. Rounds of its predecessor may still come in while that one is stopped.
began() {
	[ "$(logs | grep -c 'stdout round 1 took')" -ge "$1" ]
}

listens() {
	wait_for 300 began "$1"
}

ok "paused" ctl pause acme/web
write_pause_fleet 'memory: 160MiB'
ok "what changes its memory replaces it" ctl reload
ok "by a new VM" wait_for 300 runs_anew acme/web "$pid"
is "after it was stopped gracefully" "$(stops)" 1
pid=$(member acme/web pid)
ok "the new one works" listens 2
ok "and is paused" ctl pause acme/web
ok "restarted" ctl restart acme/web
ok "is another" wait_for 300 runs_anew acme/web "$pid"
is "after a graceful stop too" "$(stops)" 2
pid=$(member acme/web pid)
ok "that is paused" ctl pause acme/web
kill_vmm KILL "$pid"
ok "a paused VM that is killed is started again" wait_for 300 runs_anew acme/web "$pid"
is "and why is remembered" "$(member acme/web reason)" "vmm-killed"
ok "the last one is paused" ctl pause acme/web
rm "$fleet/a.yaml"
ok "and removed" ctl reload
gone() { [ -z "$(vmm_pids)" ]; }
ok "it is gone" wait_for 120 gone
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 894000)" ""
done_testing
