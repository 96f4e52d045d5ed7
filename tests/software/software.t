#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Software as Debian ships it, unmodified, in one fleet: nginx before a Python application that counts
# in redis, cron that speaks to the system log, and one static binary in an image from scratch. Each
# does what it does under a container runtime; stoker-init(8) has the differences.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh
. tests/software/images.sh
uids=925000
debian=${SOFTWARE:?"the directory that tests/software/debian.sh made"}/debian.tar

# software_fleet MEMORY: redis has so much.
software_fleet() {
	cat >"$fleet/a.yaml" <<-EOF
		x-all: &all {memory: 192MiB, restart: always}
		tenants:
		  acme:
		    subnets: [10.20.0.0/24, "fd00:20::/64"]
		    vms:
		      web: {<<: *all, image: "oci:$work/images/nginx", ports: ["8080:80"]}
		      app: {<<: *all, image: "oci:$work/images/app"}
		      redis:
		        <<: *all
		        image: oci:$work/images/redis
		        memory: $1
		        volumes: [{name: visits, target: /data, size: 64MiB}]
		      cron: {<<: *all, image: "oci:$work/images/cron"}
		      scratch: {<<: *all, image: "oci:$work/images/scratch", memory: 96MiB}
	EOF
}

get() {
	in_host curl -sS -m 30 "$@" 2>&1
}

answers() { # TEXT URL
	get "$2" | grep -qF "$1"
}

# visit: sets $visits to what the application counted; and $failed to how many visits before it got
# no answer, of which any may have been counted all the same.
visit() {
	failed=0
	until visits=$(get http://192.0.2.1:8080/app/count) && is_number "$visits"; do
		failed=$((failed + 1))
		[ "$failed" -lt 120 ] || return 1
		sleep 1
	done
}

is_number() {
	case $1 in '' | *[!0-9]*) return 1 ;; esac
}

# keeps_counting WHAT: one visit more than $visits, or as many more as went unanswered.
keeps_counting() {
	before=$visits
	visit
	ok "$1: $before, then $visits after $failed unanswered" \
		test "$visits" -gt "$before" -a "$visits" -le $((before + 1 + failed))
}

logged() { # VM TEXT [OPTION...]
	logged_vm=$1 logged_text=$2
	shift 2
	ctl logs -n 0 "$@" "acme/$logged_vm" | grep -qF -- "$logged_text"
}

lib_host software "$uids"
software_images
software_fleet 128MiB
start_daemon
for vm in web app redis cron scratch; do
	ok "$vm runs" wait_for 400 phase_is "acme/$vm" running
done

# --- nginx, the application and redis, each of which knows the next by its name --------------------
ok "nginx serves through a published port" \
	wait_for 200 answers "Welcome to nginx" http://192.0.2.1:8080/
ok "and by IPv6" answers "Welcome to nginx" "http://[fd00:ffff::1]:8080/"
ok "its access log is the VM's log" wait_for 60 logged web '"GET / HTTP/1.1" 200' --stream stdout
get http://192.0.2.1:8080/none >/dev/null
ok "its errors come by the other stream" wait_for 60 logged web '/var/www/html/none" failed' --stream stderr
ok "the application answers through nginx" \
	wait_for 300 answers "www-data in /app by app:8000" http://192.0.2.1:8080/app/who
visits=0
keeps_counting "it counts in redis"
keeps_counting "and again"

# --- what redis keeps ------------------------------------------------------------------------------
is "the volume is its user's, as the image's directory" \
	"$(ctl exec acme/redis -- stat -c '%U %G %a' /data 2>&1)" "redis redis 750"
pid=$(member acme/redis pid)
kill_vmm KILL "$pid"
ok "redis dies with its VMM and runs anew" wait_for 300 runs_anew acme/redis "$pid"
keeps_counting "no visit is lost"
pid=$(member acme/redis pid)
software_fleet 144MiB
like "more memory is a new VM" "$(ctl plan)" "replace acme/redis  memory: 128MiB -> 144MiB"
ok "applied" ctl reload
ok "it runs" wait_for 300 runs_anew acme/redis "$pid"
ok "redis ended in order" wait_for 60 logged redis "Redis is now ready to exit, bye bye" --stream stdout
keeps_counting "no visit is lost by a replace"

# --- cron --------------------------------------------------------------------------------------------
ok "cron runs what is due at the start" wait_for 200 logged cron "started by root" --stream syslog
ok "and what is due each minute, as another user" \
	wait_for 200 logged cron "minute by games" --stream syslog
ok "its own messages are there" wait_for 60 logged cron "(games) CMD ([" --stream syslog
not_ok "severities are kept" logged cron "started by root" --severity warning
ok "so what is a warning is found" logged cron "minute by games" --severity warning

# --- the one from scratch ------------------------------------------------------------------------------
address=$(ctl status acme/scratch --json | perl -MJSON::PP -0777 -ne '
	print decode_json($_)->{instances}[0]{addresses}[0]')
ok "the static binary serves" wait_for 60 answers from-scratch "http://$address:8080/"
like "without a shell" "$(ctl exec acme/scratch -- sh 2>&1)" "cannot run 'sh': not found"
like "as nobody" "$(ctl exec acme/scratch -- /httpd -f -p 80 2>&1)" "bind"

# --- the end ---------------------------------------------------------------------------------------------
# A boot that comes to a stop under emulation is tried again: see CAVEATS in stokerd(8).
for vm in web app cron scratch; do
	like "$vm never ended by itself" " none panic boot-timeout " " $(member "acme/$vm" reason) "
done
rm "$fleet/a.yaml"
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0
ok "the volume is sound" e2fsck -fn "$work/state/volumes/acme/visits.ext4"
is "nothing is left behind" "$(left_behind "$uids")" ""
done_testing
