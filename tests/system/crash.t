#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kill -9 at any instant: the daemon is killed again and again while it starts VMs, replaces them and
# removes them. Afterwards one more start has exactly what the manifests say, each VM once, and
# nothing of the unfinished is left.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

write_crash_fleet() { # MEMORY
	cat >"$fleet/a.yaml" <<-EOF
		tenants:
		  acme:
		    subnets: [10.20.0.0/24]
		    vms:
		      web: {image: "oci:$work/image", replicas: 2, memory: $1}
		      steady: {image: "oci:$work/image"}
	EOF
}

processes() {
	find /proc -maxdepth 1 -name '[0-9]*' -printf '%U %p\n' 2>/dev/null |
		awk '$1 >= 840002 && $1 < 841000' | wc -l
}

lib_host crash 840000
busybox_root "$work/root"
echo page >"$work/root/www/index.html"
oci_image "$work/image" "$work/root" \
	'{"Entrypoint":["/bin/sh","-c"],"Cmd":["httpd -f -p 80 -h /www"],"Env":["PATH=/bin"]}'
write_crash_fleet 96MiB

# Delays that sweep over fetching, building, preparing, booting and running; each once.
memory=96 early=0
for delay in 0.02 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1 1.2 1.5 2 3 5; do
	start_daemon
	sleep "$delay"
	kill -KILL "$daemon_pid" || early=$((early + 1))
	wait "$daemon_pid" 2>/dev/null
	memory=$((200 - memory)) # a replacement is under way, every time
	write_crash_fleet "${memory}MiB"
done
is "the daemon was there to be killed, each time" "$early" 0
[ "$early" -eq 0 ] || diag "$(grep ' error: ' "$work/daemon.log")"
start_daemon
for vm in acme/web acme/web.2 acme/steady; do
	ok "$vm runs" wait_for 300 phase_is "$vm" running
done
is "each VM runs once" "$(processes)" 3
is "on one tap each" "$(in_host ip -o link show | grep -c 'stk[0-9]')" 3
is "in one slot each" "$(find "$run/vm" -mindepth 1 -maxdepth 1 | wc -l)" 3
is "as the manifest says by now" "$(member acme/web memory_bytes)" $((memory * 1048576))
ok "and is reachable" wait_for 60 in_host curl -sfm 5 -o /dev/null http://10.20.0.2/
is "one image was published" "$(find "$work/state/images/squashfs" -name '*.sqfs' | wc -l)" 1
is "and no half of one is left" "$(find "$work/state/images/tmp" -type f 2>/dev/null)" ""

rm "$fleet/a.yaml"
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 840000)" ""
done_testing
