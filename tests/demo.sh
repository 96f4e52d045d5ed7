#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What stoker does, from nothing to a clean end, on a host of its own (a network namespace). Each
# step prints the command that shows it. KEEP=1 leaves everything running at the end;
# STOKER_KERNEL=PATH boots the VMs with another kernel than the distribution's.
cd "$(dirname "$0")/.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "make demo needs root: sudo make demo" >&2; exit 1; }
. tests/lib.sh

if [ -t 1 ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); else bold= dim= plain=; fi

step() {
	printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

show() {
	printf '%s$ %s%s\n' "$dim" "$*" "$plain"
	shown=$1
	shift
	case $shown in
	stokerctl) ctl "$@" ;;
	curl | ip | nft) in_host "$shown" "$@" ;;
	*) "$shown" "$@" ;;
	esac
}

fail() {
	printf '\nThe demo failed: %s. The end of the daemon'\''s log:\n' "$*" >&2
	tail -n 20 "$work/daemon.log" >&2
	exit 1
}

lib_host demo 800000

step "An image: busybox with a web page, as an OCI layout"
busybox_root "$work/root"
echo "hello from a microVM" >"$work/root/www/index.html"
oci_image "$work/busybox" "$work/root" \
	'{"Entrypoint":["/bin/sh","-c"],"Cmd":["httpd -f -v -p 80 -h /www"],"Env":["PATH=/bin"]}'
show ls -l "$work/busybox"

step "Two tenants, three VMs"
cat >"$fleet/demo.yaml" <<EOF
tenants:
  acme:
    subnets: [10.20.0.0/24, "fd00:20::/64"]
    vms:
      web:
        image: oci:$work/busybox
        addresses: [10.20.0.10, "fd00:20::10"]
      client:
        image: oci:$work/busybox
        command: ["while sleep 2; do timeout 5 wget -qO- http://web/ || echo no answer; done"]
        memroy: 96MiB
  beta:
    subnets: [10.30.0.0/24]
    vms:
      intruder:
        image: oci:$work/busybox
        command: ["while sleep 2; do timeout 5 wget -qO- http://10.20.0.10/ || echo no answer; done"]
EOF
show stokerctl check "$fleet/demo.yaml" && fail "a wrong key was not refused"
echo "(Nothing was changed. Mended:)"
sed -i 's/memroy/memory/' "$fleet/demo.yaml"
show stokerctl check "$fleet/demo.yaml" || fail "the manifest is not valid"

step "The daemon, in the foreground of its own host"
start_daemon
echo "stokerd -c $ini   (pid $daemon_pid)"
for vm in acme/web acme/client beta/intruder; do
	wait_for 300 phase_is $vm running || fail "$vm does not run"
done
show stokerctl status

step "A VM answers"
wait_for 60 in_host curl -sfm 5 http://10.20.0.10/ || fail "no answer from acme/web"
show curl -sS -m 10 http://10.20.0.10/
show curl -sS -m 10 -g 'http://[fd00:20::10]/' || fail "no answer over IPv6"

step "The same tenant's VM is answered; the other tenant's is not"
page_in_log() { ctl logs -n 20 acme/client | grep -q 'hello from a microVM'; }
refusal_in_log() { ctl logs -n 20 beta/intruder | grep -q 'no answer'; }
wait_for 120 page_in_log || fail "acme/client got no page"
wait_for 120 refusal_in_log || fail "beta/intruder does not run its loop"
show stokerctl logs -n 2 acme/client
show stokerctl logs -n 2 beta/intruder
ctl logs -n 100 beta/intruder | grep -q 'hello' && fail "beta/intruder reached acme/web"
show stokerctl guard beta/intruder

step "A VMM dies; its VM is started again"
old=$(member acme/web pid)
show kill -9 "$old"
wait_for 300 runs_anew acme/web "$old" || fail "acme/web was not restarted"
show stokerctl status acme/web

step "An edited manifest: the plan, a SIGHUP, the result"
sed -i 's/memory: 96MiB/memory: 160MiB/; /^      client:/,/command/d' "$fleet/demo.yaml"
show cat "$fleet/demo.yaml"
show stokerctl plan
survivor=$(member beta/intruder pid)
show kill -HUP "$daemon_pid"
reloaded() { [ "$(member acme/web memory_bytes)" = 167772160 ] && phase_is acme/web running && [ -z "$(member acme/client phase)" ]; }
wait_for 300 reloaded || fail "the reload did not do what the plan said"
show stokerctl status
[ "$(member beta/intruder pid)" = "$survivor" ] || fail "beta/intruder was touched"

step "Logs: what the web server said, and what the daemon said"
wait_for 60 in_host curl -sfm 5 http://10.20.0.10/ || fail "the replaced acme/web does not answer"
show stokerctl logs -n 5 acme/web
show tail -n 12 "$work/daemon.log"

if [ "${KEEP:-}" = 1 ]; then
	step "It stays as it is"
	cat <<-EOF
		settings  $ini      manifests  $fleet
		stokerctl $STOKER_BUILD/stokerctl -c $ini status
		on its host: nsenter --net=/run/netns/$netns curl http://10.20.0.10/
		to end it: empty the manifests, SIGHUP $daemon_pid, SIGTERM $daemon_pid,
		then: ip netns del $netns; rm -r $work
	EOF
	trap - EXIT
	exit 0
fi

step "A clean end: no manifest, no VM, no daemon, nothing left"
rm "$fleet/demo.yaml"
show stokerctl reload || fail "the last reload was refused"
show stokerctl status
show kill -TERM "$daemon_pid"
stop_daemon || fail "stokerd ended with an error"
rest=$(left_behind 800000)
[ -z "$rest" ] || fail "something is left: $rest"
echo "left behind: nothing (no tap, pin, table, process, mount or disk)"
