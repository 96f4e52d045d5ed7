# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Sourced by inside.sh: the host itself, the units, the doctor, and what is left at the end.

# What everything else rests upon: were it not so, the scenarios would prove little.
host_facts() {
	is "PID 1 is systemd" "$(cat /proc/1/comm)" systemd
	is "cgroups are of version 2 alone" "$(stat -f -c %T /sys/fs/cgroup)" cgroup2fs
	ok "there is a KVM" test -c /dev/kvm
	host_network
}

# The host's own address, to which VMs answer. Its wire leads nowhere.
host_network() {
	ip link add uplink type dummy
	ip addr add 192.0.2.1/24 dev uplink
	ip addr add fd00:ffff::1/64 dev uplink nodad
	ip link set uplink up
}

host_install() {
	missing=$(ldd /usr/local/sbin/stokerd /usr/local/bin/stokerctl \
		/usr/local/lib/stoker/stoker-image | grep 'not found')
	is "the packages of running are all it needs" "$missing" ""
	cp /usr/local/share/doc/stoker/examples/stoker.ini /etc/stoker
	sed -i 's/^forward = off/forward = journald/' /etc/stoker/stoker.ini
	for unit in stokerd stoker-vms; do
		ok "systemd finds nothing wrong with $unit.service" \
			systemd-analyze verify --man=no "/etc/systemd/system/$unit.service"
	done
	ok "systemctl daemon-reload" systemctl daemon-reload
}

unit_is() { # UNIT PROPERTY VALUE
	[ "$(systemctl show -P "$2" "$1")" = "$3" ]
}

host_start() {
	ok "the unit starts, which says that READY=1 came" systemctl enable --now stokerd
	is "and is active" "$(systemctl is-active stokerd)" active
	is "its main process is stokerd" \
		"$(cat "/proc/$(systemctl show -P MainPID stokerd)/comm")" stokerd
	like "systemd shows what the daemon says of itself" \
		"$(systemctl show -P StatusText stokerd)" "the fleet is as the manifests say"
	is "with nothing to run" "$(vmm_pids)" ""
}

# verdict CHECK TEXT: whether the doctor says so.
verdict() {
	stokerctl doctor --json | perl -MJSON::PP -0777 -ne '
		for (@{decode_json($_)}) { print "$_->{verdict}: $_->{fact}\n" if $_->{name} eq "'"$1"'" }'
}

host_doctor() {
	diag "$(stokerctl doctor 2>&1)"
	like "doctor: KVM was probed and found usable" "$(verdict kvm)" "ok: hardware"
	like "doctor: this host has no SMT" "$(verdict smt)" "ok: notsupported"
	# Emulated AMD processors know of none, so the file is another one for a moment.
	echo on >/run/smt-control
	mount --bind /run/smt-control /sys/devices/system/cpu/smt/control
	like "doctor: SMT, if there were any, is a warning" "$(verdict smt)" "warn: on"
	umount /sys/devices/system/cpu/smt/control
	like "doctor: all controllers" "$(verdict cgroup)" "ok: version 2 with cpu, memory, pids, io"
	like "doctor: this kernel has no TCX" "$(verdict kernel)" "clsact"

	like "doctor: KSM is off" "$(verdict ksm)" "ok: off"
	echo 1 >/sys/kernel/mm/ksm/run
	like "doctor: KSM that is on is bad" "$(verdict ksm)" "bad: on"
	echo 2 >/sys/kernel/mm/ksm/run
	like "doctor: and no longer, after its remedy" "$(verdict ksm)" "ok: off"

	like "doctor: no swap" "$(verdict swap)" "ok: none"
	dd if=/dev/zero of=/swap bs=1M count=16 2>/dev/null
	chmod 600 /swap
	mkswap /swap >/dev/null
	swapon /swap
	like "doctor: swap in use is a warning" "$(verdict swap)" "warn: /swap is in use"
	swapoff -a
	rm /swap
	like "doctor: and no longer, after its remedy" "$(verdict swap)" "ok: none"
}

# What of stoker's VMs is there, beside the daemon's own; nothing, when all went well.
look_behind() {
	ip -o link show | grep -o 'stk[0-9]*' | sed 's/^/tap /'
	find /run/stoker/vm -mindepth 1 2>/dev/null
	find /var/lib/stoker/disks -type f 2>/dev/null
	find /sys/fs/bpf/stoker -name 'vm*' 2>/dev/null
	find /proc -maxdepth 1 -name '[0-9]*' -printf '%U %p\n' 2>/dev/null |
		awk '$1 >= 900000 && $1 < 965536 { print "process", $2 }'
}

nothing_left() {
	is "no process is left" "$(pgrep -a 'stokerd|qemu|firecracker|jailer')" ""
	is "no tap" "$(ip -o link show | grep stk)" ""
	is "no table" "$(nft list tables | grep stoker)" ""
	is "no group" "$(find /sys/fs/cgroup -path '*stoker*')" ""
	is "no mount" "$(grep stoker /proc/self/mountinfo)" ""
}

host_stop() {
	is "no VM leaves anything behind" "$(left_behind)" ""
	ok "the unit stops" systemctl stop stokerd
	is "without an error" "$(systemctl show -P Result stokerd)" success
	ok "and that of the VMs" systemctl stop stoker-vms
	is "without an error, too" "$(systemctl show -P Result stoker-vms)" success
	nothing_left
}

unfit() { # VM
	[ "$(member "$1" reason)" = host-unfit ]
}

# A syslog server for what follows the reboot; what it understood lies in /var/log/vms.
write_syslog_server() {
	cat >/etc/rsyslog.d/vms.conf <<-'END'
		module(load="imtcp")
		template(name="understood" type="string"
			string="%hostname%|%app-name%|%syslogseverity-text%|%structured-data%|%msg%\n")
		ruleset(name="vms") {
			action(type="omfile" file="/var/log/vms" template="understood")
		}
		input(type="imtcp" address="127.0.0.1" port="5514" ruleset="vms")
	END
	sed -i 's,^forward = .*,forward = tcp://127.0.0.1:5514,' /etc/stoker/stoker.ini
}

# A VM that says when it is asked to end, for the shutdown of the host to ask it.
host_leave() {
	cat >"$fleet/polite.yaml" <<-END
		tenants:
		  acme:
		    subnets: [10.20.0.0/24]
		    vms:
		      polite:
		        image: oci:/srv/images/busybox
		        command: ["trap 'echo asked to end; exit 0' TERM; echo begun; while :; do sleep 1; done"]
		        vmm: auto
	END
	sed -i 's/^; require = .*/require = ksm swap cgroup/' /etc/stoker/stoker.ini
	echo 1 >/sys/kernel/mm/ksm/run
	ok "the unit starts on a host that is not what [host] require asks for" \
		systemctl start stokerd
	ok "but no VM does" wait_for 60 unfit acme/polite
	like "status says why" "$(ctl status)" "ksm"
	echo 2 >/sys/kernel/mm/ksm/run
	ok "when that is mended, it is reloaded" systemctl reload stokerd
	ok "the VM runs" wait_phase acme/polite running
	ok "as does its workload" wait_for 60 logs_have acme/polite begun
	write_syslog_server
}

host_again() {
	ok "after a reboot the unit starts with the host" \
		wait_for 120 unit_is stokerd ActiveState active
	ok "the shutdown asked the VM to end" logs_have acme/polite "asked to end"
	ok "which runs again" wait_phase acme/polite running
	case $drivers in
	*firecracker*) like "vmm: auto is Firecracker" "$(member acme/polite vmm)" "firecracker" ;;
	*) is "vmm: auto is QEMU with KVM" "$(member acme/polite vmm)" "qemu (kvm)" ;;
	esac
	ok "as does its workload" wait_for 60 begun_twice
	ok "rsyslog has its line, understood" wait_for 60 grep -qxF \
		'outer-host|acme/polite|info|[stoker@32473 tenant="acme" vm="polite" stream="stdout"]|begun' \
		/var/log/vms
}

begun_twice() {
	[ "$(ctl logs -n 400 acme/polite | grep -c 'stdout begun')" -eq 2 ]
}

host_end() {
	ok "stopping the VMs' unit" systemctl stop stoker-vms
	is "stops the daemon" "$(systemctl is-active stokerd)" inactive
	is "succeeds" "$(systemctl show -P Result stoker-vms)" success
	is "asks the VM to end" "$(grep -c 'asked to end' /var/log/stoker/acme/polite.log)" 2
	is "leaves nothing of it" "$(left_behind)" ""
	nothing_left
	is "the journal has no word of a crash" \
		"$(journalctl -b --no-pager | grep -E 'core-dump|segfault|BUG:|Oops|WARNING: CPU')" ""
}
