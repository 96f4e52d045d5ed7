#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Health checks of all kinds in one guest, changed while it runs, and a second VM that waits for it.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

lib_host health 905000
busybox_root "$work/root"
mkdir -p "$work/root/www"
echo fine >"$work/root/www/good"
oci_image "$work/image" "$work/root" \
	'{"Entrypoint":["httpd","-f","-p","8080","-h","/www"],"User":"app","Env":["PATH=/bin","COLOUR=blue"]}'

# fleet CHECK [DEPENDS]: db with that check, and web, which waits for it.
fleet() {
	cat >"$fleet/a.yaml" <<-END
		tenants:
		  acme:
		    subnets: [10.20.0.0/24]
		    vms:
		      db:
		        image: "oci:$work/image"
		        memory: 96MiB
		        vmm: qemu
		        stop_grace_period: 0s
		        healthcheck: {$1}
		      late:
		        image: "oci:$work/image"
		        depends_on: [lost]
		      lost:
		        image: "oci:$work/nowhere"
		        restart: no
		      web:
		        image: "oci:$work/image"
		        memory: 96MiB
		        vmm: qemu
		        stop_grace_period: 0s
		        depends_on: {db: healthy}
	END
}
# check TEXT CHECK HEALTH [MESSAGE]: after a reload with that check.
check() {
	fleet "$2"
	ok "$1: reloaded" ctl reload --timeout 0
	becomes "$1" "$3" "${4:-}"
}
is_so() { # HEALTH MESSAGE
	[ "$(member acme/db health)" = "$1" ] || return 1
	[ -z "$2" ] || member acme/db health_message | grep -qF -- "$2"
}
becomes() { # TEXT HEALTH MESSAGE
	ok "$1: $2${3:+, $3}" wait_for 60 is_so "$2" "${3:-}" || ctl status acme/db | sed 's/^/# /'
}
reason_is() { # REASON
	[ "$(member acme/db reason)" = "$1" ]
}
message_has() { # VM TEXT
	member "$1" message | grep -qF -- "$2"
}
in_db() { ctl exec acme/db -- "$@"; }
has_no_sleeper() { ! in_db pidof sleep; }
often="interval: 1s, timeout: 30s, retries: 2"

# Failures of the start period do not count, and web waits.
fleet "exec: [test, -e, /tmp/ready], $often, start_period: 1h"
start_daemon
becomes "in its start period" starting "exit code 1"
pid=$(member acme/db pid)
is "a VM waits until it is healthy" "$(member acme/web phase)" preparing
like "and says so" "$(member acme/web message)" "waits until acme/db is healthy: it is running"
ok "one that fails is said" wait_for 60 message_has acme/late "until acme/lost is started: it is failed"
is "status shows health" "$(ctl status | sed -n 's/^acme\/db  *\(running (starting)\).*/\1/p')" \
	"running (starting)"
check "the period ends" "exec: [test, -e, /tmp/ready], $often, start_period: 0s" unhealthy "exit code 1"
is "a VM waits on" "$(member acme/web phase)" preparing
ok "ready" in_db touch /tmp/ready
becomes "a check that succeeds" healthy
ok "whoever waited boots" wait_for 120 phase_is acme/web running
web=$(member acme/web pid)

ok "no longer ready" in_db rm /tmp/ready
becomes "two that fail" unhealthy "exit code 1"
is "whoever has booted does not care" "$(member acme/web pid)" "$web"
like "status tells why" "$(ctl status acme/db | tr -s " ")" "last check exit code 1"
like "the log tells it" "$(grep 'acme/db: unhealthy' "$work/daemon.log")" "exit code 1"

# shellcheck disable=SC2016 # the guest's shell
check "as the workload" 'exec: [sh, -c, "echo $(id -u) $COLOUR; exit 3"], '"$often" unhealthy \
	"exit code 3: 1000 blue"
check "a port that listens" "tcp: \":8080\", $often" healthy
check "a port that does not" "tcp: \":8081\", $often, start_period: 0s" unhealthy \
	"port 8081: Connection refused"
check "a page" "http: \":8080/good\", $often" healthy "GET /good: status 200"
check "no page" "http: \":8080/bad\", $often, start_period: 0s" unhealthy "GET /bad: status 404"
check "no program" "exec: [nowhere], $often, start_period: 0s" unhealthy "not found in the image"
check "one that hangs" \
	'exec: [sh, -c, "sleep 1000 & sleep 1000"], interval: 1s, timeout: 1s, retries: 2, start_period: 0s' \
	unhealthy "no result within 1000 ms"
check "one that answers" "tcp: \":8080\", $often" healthy
ok "nothing is left of the other" wait_for 60 has_no_sleeper
is "all in one boot" "$(member acme/db pid)" "$pid"

# One that is unhealthy already is stopped as soon as that is asked for, and its policy decides.
check "none answers" "tcp: \":8081\", $often, start_period: 0s" unhealthy
fleet "tcp: \":8081\", $often, start_period: 0s, on_unhealthy: stop"
ok "stop: reloaded" ctl reload --timeout 0
ok "stop: it is stopped" wait_for 60 reason_is unhealthy
starts_again() { [ "$(member acme/db restarts)" -ge 1 ] && phase_is acme/db running; }
ok "stop: and starts again" wait_for 120 starts_again
check "in its next life" "tcp: \":8080\", $often, on_unhealthy: stop" healthy
pid=$(member acme/db pid)

# Another daemon learns what is known.
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
cp "$work/daemon.log" "$work/before.log"
: >"$work/daemon.log"
start_daemon
becomes "adopted" healthy
is "the same VM" "$(member acme/db pid)" "$pid"
is "it never was anything else" "$(grep -c 'acme/db: \(unhealthy\|starting\)' "$work/daemon.log")" 0
ok "whoever waited for it goes on" wait_for 60 phase_is acme/web running
is "as it was" "$(member acme/web pid)" "$web"

rm "$fleet/a.yaml"
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 905000)" ""
done_testing
