#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A real guest as the attacker: forged frames from inside a VM reach neither the other tenant's VM
# nor the same tenant's, nor do announcements of routers, neighbours and DHCP servers, redirects,
# offload tricks or a flood; the legitimate ones reach the same tenant's alone. The host's own
# services are out of reach.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

lib_host isolation 820000
busybox_root "$work/root"
cp "$STOKER_BUILD/tests/frames_guest" "$work/root/bin/frames"
oci_image "$work/image" "$work/root" '{"Entrypoint":["/bin/sh","-c"],"Cmd":["frames listen"],"Env":["PATH=/bin"]}'
cat >"$fleet/a.yaml" <<EOF
tenants:
  acme:
    subnets: [10.20.0.0/24, "fd00:20::/64"]
    vms:
      peer: {image: "oci:$work/image", addresses: [10.20.0.20, "fd00:20::20"]}
  beta:
    subnets: [10.30.0.0/24, "fd00:30::/64"]
    vms:
      victim: {image: "oci:$work/image", addresses: [10.30.0.30, "fd00:30::30"]}
EOF
start_daemon
for vm in acme/peer beta/victim; do
	ok "$vm runs" wait_for 300 phase_is $vm running
	heard() { ctl logs -n 50 $vm | grep -q 'stdout listening'; }
	ok "$vm listens" wait_for 120 heard
done

# A service of the host's own, on every address it has, and an address of the metadata kind.
in_host ip addr add 169.254.169.254/32 dev uplink
nsenter --net="/run/netns/$netns" busybox httpd -f -p 8088 -h "$work/root/www" >/dev/null 2>&1 &
httpd=$!
trap 'kill $httpd 2>/dev/null; lib_clean' EXIT
cat >"$fleet/b.yaml" <<EOF
tenants:
  evil:
    subnets: [10.40.0.0/24, "fd00:40::/64"]
    vms:
      first:
        image: oci:$work/image
        addresses: [10.40.0.40, "fd00:40::40"]
        command: ["for a in 192.0.2.1 169.254.1.1 169.254.169.254; do timeout 3 wget -qO- http://\$a:8088/ >/dev/null && echo reached-\$a; done; frames send 10.40.0.40 10.30.0.30 20; frames send 10.40.0.40 10.20.0.20 20; sleep 100000"]
EOF
sed -i 's/      peer: .*/&\n      attacker: {image: "oci:IMAGE", addresses: [10.20.0.66, "fd00:20::66"], command: ["frames send 10.20.0.66 10.20.0.20 20; frames send 10.20.0.66 10.30.0.30 20; sleep 100000"]}/' "$fleet/a.yaml"
sed -i "s|oci:IMAGE|oci:$work/image|" "$fleet/a.yaml"
ok "the attackers are started" ctl reload
for vm in acme/attacker evil/first; do
	ok "$vm runs" wait_for 300 phase_is $vm running
	done_sending() { [ "$(ctl logs -n 100 $vm | grep -c 'sent 20 rounds')" -eq 2 ]; }
	ok "$vm sent all it had" wait_for 180 done_sending
done

saw_legitimate() { ctl logs -n 400 acme/peer | grep -q 'saw stoker-frame:legitimate'; }
ok "the same tenant's legitimate frames arrive" wait_for 60 saw_legitimate
is "and nothing else" "$(ctl logs -n 1000 acme/peer | grep 'saw ' | grep -v legitimate)" ""
is "20 of them: those of the other tenant do not" \
	"$(ctl logs -n 1000 acme/peer | grep -c 'saw stoker-frame:legitimate')" 20
is "the other tenant's VM sees nothing at all" "$(ctl logs -n 1000 beta/victim | grep 'saw ')" ""
is "no service of the host's was reached" "$(ctl logs -n 1000 evil/first | grep reached-)" ""
counters=$(ctl guard acme/attacker)
diag "$counters"
for reason in source-mac source-address vlan arp-sender destination-mac dhcp-server icmp-redirect \
	router-advertisement nd-router-flag checksum-offset gso; do
	like "the guard counted $reason" "$counters" "$reason"
done
like "it shows the last of what it dropped" "$counters" " from the guest, 65 bytes: "
like "and what the VM may be" "$counters" " 10.20.0.66"
like "the events tell of it" "$(ctl events)" "acme/attacker  guard  dropped "
like "and a line of the log" "$(cat "$work/daemon.log")" \
	"warning: acme/attacker: the guard drops frames from it: "
like "the guard counted the other tenant" "$(ctl guard evil/first)" "tenant"

metrics=$(curl -sS -m 60 --unix-socket "$run/metrics.sock" http://localhost/metrics 2>&1)
like "Prometheus reads the phases" "$metrics" 'stoker_vm_phase{vm="beta/victim",phase="running"} 1'
like "and what the guard counts" "$metrics" 'stoker_guard_frames_total{vm="acme/attacker",verdict="drop"'
for reason in source-mac gso; do
	like "the same of $reason as stokerctl guard" "$counters" "$(echo "$metrics" | awk -v \
		line="stoker_guard_frames_total{vm=\"acme/attacker\",verdict=\"drop\",reason=\"$reason\"}" \
		'$1 == line { printf "%-9s%12d", "drop", $2 }')"
done
pid=$(member acme/peer pid)
sed -i 's/ peer: {/ peer: {rate: {network: {bandwidth: 8Mbit, packets: 900}}, /' "$fleet/a.yaml"
ok "a rate is set in a VM that runs" ctl reload
like "the guard has it" "$(ctl guard acme/peer)" "may send: MTU 1500, 8Mbit/s, 900 packets/s"
is "and the VM goes on" "$(member acme/peer pid)" "$pid"

rm "$fleet"/*.yaml
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 820000)" ""
done_testing
