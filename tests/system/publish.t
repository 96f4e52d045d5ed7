#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest that the world calls, and that calls the world as its policy says: published ports and
# egress from a manifest, changed by reloads while it runs, over a daemon that is killed, and gone at
# the end. policy.t has what rules let pass.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh
uids=876000

write_publish_fleet() { # EGRESS and PORTS of acme/web
	cat >"$fleet/a.yaml" <<-EOF
		tenants:
		  acme:
		    subnets: [10.20.0.0/24, "fd00:20::/64"]
		    egress: {default: deny, allow: [{to: 192.0.2.0/24}]}
		    vms:
		      web:
		        image: oci:$work/image
		        egress: $1
		        ports: $2
	EOF
}

make_image() {
	busybox_root "$work/root"
	echo from-the-vm >"$work/root/www/word"
	cat >"$work/root/bin/work" <<-'EOF'
		#!/bin/sh
		trap 'exit 0' TERM
		httpd -p 80 -h /www
		while :; do
			timeout 10 wget -qO- http://192.0.2.9:9000/word
			sleep 1
		done
	EOF
	chmod 755 "$work/root/bin/work"
	oci_image "$work/image" "$work/root" '{"Entrypoint":["work"],"Env":["PATH=/bin"]}'
}

# The world at the other end of the uplink's wire, which serves a word.
make_world() {
	world=$netns-world world_pid=
	trap clean EXIT
	ip netns add "$world"
	in_host ip link set wire netns "$world"
	in_world ip link set wire up
	in_world ip addr add 192.0.2.9/24 dev wire
	in_world ip addr add fd00:ffff::9/64 dev wire nodad
	in_host sh -c 'echo 1 >/proc/sys/net/ipv4/conf/uplink/forwarding'
	in_host sh -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
	in_host nft add table inet foreign
	mkdir "$work/www"
	echo from-the-world >"$work/www/word"
	nsenter --net="/run/netns/$world" busybox httpd -f -p 9000 -h "$work/www" &
	world_pid=$!
}

clean() {
	clean_status=$?
	[ -z "$world_pid" ] || kill "$world_pid" 2>/dev/null
	ip netns del "$world" 2>/dev/null
	(exit "$clean_status")
	lib_clean
}

in_world() {
	nsenter --net="/run/netns/$world" "$@"
}

# answers PLACE URL: the VM does, to one who asks from there.
answers() {
	[ "$("$1" timeout 10 busybox wget -qO- "$2" 2>/dev/null)" = from-the-vm ]
}

has_heard_the_world() {
	ctl logs -n 0 acme/web | grep -q from-the-world
}

has_dropped() {
	ctl guard acme/web | grep -Eq '^  counter packets [1-9][0-9]* bytes [0-9]+ drop$'
}

lib_host publish "$uids"
make_world
make_image
write_publish_fleet '{default: deny}' '["8080:80"]'
start_daemon
ok "a VM runs" wait_for 300 phase_is acme/web running
ok "the world calls its published port" wait_for 300 answers in_world http://192.0.2.1:8080/word
ok "by IPv6 as well" wait_for 60 answers in_world "http://[fd00:ffff::1]:8080/word"
ok "so does the host" wait_for 60 answers in_host http://192.0.2.1:8080/word
ok "by its loopback, too" wait_for 60 answers in_host http://127.0.0.1:8080/word
ok "what the VM sends itself is dropped, and stokerctl guard counts it" wait_for 120 has_dropped
not_ok "it has heard nothing of the world" has_heard_the_world
guard=$(ctl guard acme/web)
like "the port is shown" "$guard" "  8080:80/tcp"
pid=$(member acme/web pid)

write_publish_fleet '{default: deny, allow: [{to: 192.0.2.9, ports: [tcp/9000]}]}' '["8081:80"]'
like "a policy is a live change" "$(ctl plan)" \
	"egress: [default deny] -> [default deny, allow 192.0.2.9/32 tcp/9000]; ports: [8080:80/tcp] -> [8081:80/tcp]"
ok "applied by a reload" ctl reload
like "it is shown as it is loaded" "$(ctl guard acme/web)" "  ip daddr 192.0.2.9 tcp dport 9000 return"
ok "the VM hears the world" wait_for 120 has_heard_the_world
ok "the world calls its new port" wait_for 60 answers in_world http://192.0.2.1:8081/word
not_ok "and no longer the old one" answers in_world http://192.0.2.1:8080/word
is "all that in one VM" "$(member acme/web pid) $(member acme/web restarts)" "$pid 0"

kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
ok "the daemon killed, the port stays" wait_for 60 answers in_world http://192.0.2.1:8081/word
start_daemon
ok "the next one adopts the VM" wait_for 60 phase_is acme/web running
ok "with its port" wait_for 60 answers in_world http://192.0.2.1:8081/word
like "and its policy" "$(ctl guard acme/web)" "  ip daddr 192.0.2.9 tcp dport 9000 return"

in_host nft delete table inet stoker
ok "the table taken away, a reload makes it anew" ctl reload
ok "and the port is there again" wait_for 60 answers in_world http://192.0.2.1:8081/word

rm "$fleet/a.yaml"
ok "no VM is wanted" ctl reload
ok "none is left" wait_for 60 sh -c "! '$STOKER_BUILD/stokerctl' -c '$ini' status | grep -q acme"
stop_daemon
is "the daemon ends" "$?" 0
is "nothing is left" "$(left_behind "$uids")" ""
is "but the table of others" "$(in_host nft list tables)" "table inet foreign"
done_testing
