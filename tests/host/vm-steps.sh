# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Sourced by inside.sh: the life of VMs under one driver, from a manifest to their removal.

wait_phase() { # VM PHASE
	wait_for 300 phase_is "$1" "$2"
}

wait_page() { # URL
	wait_for 120 curl -gsfm 5 "$1" || say_why
}

# What a person would look at next; ok() shows it. False, as what it is called for.
say_why() {
	ctl status acme/web
	ctl status beta/neighbour
	ctl guard acme/web | awk '$2 != 0'
	ip -o link show type tun
	ip neigh show nud permanent
	ctl logs -n 12 acme/web
	journalctl -u stokerd -n 12 --no-pager
	curl -gsvm 5 http://10.20.0.10/ 2>&1 | tail -n 5
	return 1
}

logs_have() { # VM TEXT
	ctl logs -n 400 "$1" | grep -qF -- "$2"
}

journal_has() { # TEXT FIELD=VALUE...
	journal_text=$1
	shift
	journalctl -q --no-pager -o cat "$@" | grep -qF -- "$journal_text"
}

write_web() { # DRIVER MEMORY
	cat >"$fleet/web.yaml" <<-END
		tenants:
		  acme:
		    subnets: [10.20.0.0/24, "fd00:20::/64"]
		    vms:
		      web:
		        image: oci:/srv/images/busybox
		        command: ["trap 'echo asked to end; exit 0' TERM; echo kernel \$(uname -r); logger to syslog; httpd -f -p 80 -h /www & wait"]
		        addresses: [10.20.0.10, "fd00:20::10"]
		        memory: $2
		        vmm: $1
	END
}

# One that no change of the other may touch.
write_neighbour() { # DRIVER
	cat >"$fleet/neighbour.yaml" <<-END
		tenants:
		  beta:
		    subnets: [10.30.0.0/24]
		    vms:
		      neighbour:
		        image: oci:/srv/images/busybox
		        command: ["while sleep 2; do timeout 2 wget -qO- http://10.20.0.10/ || echo no way; done"]
		        vmm: $1
	END
}

vm_first_start() { # DRIVER
	write_web "$1" 128MiB
	write_neighbour "$1"
	ok "$1: systemctl reload is a SIGHUP that reports" systemctl reload stokerd
	ok "$1: a VM runs" wait_phase acme/web running
	ok "$1: its neighbour runs" wait_phase beta/neighbour running
	like "$1: udev leaves its tap alone" "$(udevadm info -q property /sys/class/net/stk0)" \
		"60-stoker.link"
	is "$1: on the processor, by KVM" "$(member acme/web vmm)" "$(description "$1")"
	ok "$1: it answers over IPv4" wait_page http://10.20.0.10/
	ok "$1: it answers over IPv6" wait_page 'http://[fd00:20::10]/'
	ok "$1: its output is in its log" wait_for 60 logs_have acme/web "stdout kernel "
	ok "$1: its syslog as well" wait_for 60 logs_have acme/web "to syslog"
	ok "$1: the journal has that too, in fields" wait_for 60 journal_has "to syslog" \
		_SYSTEMD_UNIT=stokerd.service SYSLOG_IDENTIFIER=acme/web STOKER_TENANT=acme \
		STOKER_VM=web STOKER_STREAM=syslog PRIORITY=5
	diag "booted in $(member acme/web boot_ms) ms"
}

vm_guard() { # DRIVER
	like "$1: the guard is on the tap" "$(ctl guard acme/web)" "guard (clsact)"
	ok "$1: the other tenant has no way to it" wait_for 120 logs_have beta/neighbour "no way"
	not_ok "$1: and never had" logs_have beta/neighbour "hello"
	like "$1: its frames were dropped by the guard" "$(ctl guard beta/neighbour)" "drop "
}

vm_crash() { # DRIVER
	old=$(member acme/web pid)
	kill_vmm KILL "$old"
	ok "$1: a VMM that is killed is started again" wait_for 300 runs_anew acme/web "$old"
	is "$1: and why is remembered" "$(member acme/web reason) $(member acme/web exit_signal)" \
		"vmm-killed 9"
	ok "$1: it answers again" wait_page http://10.20.0.10/
}

vm_reload() { # DRIVER
	old=$(member acme/web pid)
	neighbour=$(member beta/neighbour pid)
	ok "$1: a reload without a change" systemctl reload stokerd
	is "$1: touches nothing" "$(member acme/web pid) $(member beta/neighbour pid)" "$old $neighbour"
	write_web "$1" 160MiB
	ok "$1: a reload with one" systemctl reload stokerd
	ok "$1: replaces the VM" wait_for 300 runs_anew acme/web "$old"
	is "$1: by what is wanted" "$(member acme/web memory_bytes)" 167772160
	is "$1: and not its neighbour" "$(member beta/neighbour pid)" "$neighbour"
	not_ok "$1: the old process is gone" test -e "/proc/$old"
	ok "$1: the new one answers" wait_page http://10.20.0.10/

	echo "tenants: {bad: {subnets: [10.20.0.0/16]}}" >"$fleet/bad.yaml"
	before=$(vmm_pids)
	not_ok "$1: systemctl reload fails with a manifest that is wrong" systemctl reload stokerd
	like "$1: the journal says where" "$(journalctl -u stokerd -n 40 --no-pager)" "bad.yaml:1:"
	is "$1: the unit stays active" "$(systemctl is-active stokerd)" active
	is "$1: and its VMs run" "$(vmm_pids)" "$before"
	rm "$fleet/bad.yaml"
	ok "$1: mended, it is taken" systemctl reload stokerd
}

# Paused and resumed, it hears the host as before: being asked to end, it says so.
vm_pause() { # DRIVER
	old=$(member acme/web pid)
	asked=$(times_asked)
	ok "$1: stokerctl pause" stokerctl pause acme/web
	is "$1: it is paused" "$(member acme/web phase)" paused
	not_ok "$1: and answers nobody" curl -gsfm 5 http://10.20.0.10/
	ok "$1: stokerctl resume" stokerctl resume acme/web
	ok "$1: resumed, it answers" wait_page http://10.20.0.10/
	is "$1: and is the same" "$(member acme/web phase) $(member acme/web pid)" "running $old"
	ok "$1: restarted" stokerctl restart acme/web
	ok "$1: it is another" wait_for 300 runs_anew acme/web "$old"
	is "$1: the old one was asked to end, and heard it" "$(times_asked)" $((asked + 1))
}

times_asked() {
	grep -c 'asked to end' /var/log/stoker/acme/web.log
}

daemon_is_not() { # PID
	now=$(systemctl show -P MainPID stokerd)
	[ "$now" -ne 0 ] && [ "$now" -ne "$1" ] && unit_is stokerd ActiveState active &&
		phase_is acme/web running && phase_is beta/neighbour running
}

daemon_returns() { # PID of the old one
	wait_for 120 daemon_is_not "$1" || say_why
}

vm_adoption() { # DRIVER
	before=$(vmm_pids)
	ok "$1: systemctl restart" systemctl restart stokerd
	ok "$1: adopts what runs" daemon_returns 0
	is "$1: with the same processes" "$(vmm_pids)" "$before"
	daemon=$(systemctl show -P MainPID stokerd)
	kill -KILL "$daemon"
	ok "$1: systemd starts a daemon that was killed" daemon_returns "$daemon"
	is "$1: and no VM was touched" "$(vmm_pids)" "$before"
	ok "$1: it answers" wait_page http://10.20.0.10/
	old=$(member acme/web pid)
	kill_vmm KILL "$old"
	ok "$1: an adopted one that is killed is started again" wait_for 300 runs_anew acme/web "$old"
}

vm_removal() { # DRIVER
	rm "$fleet"/*.yaml
	ok "$1: without manifests" systemctl reload stokerd
	empty() { [ -z "$(vmm_pids)" ]; }
	ok "$1: no VM is left" wait_for 120 empty
	is "$1: and nothing of them" "$(left_behind)" ""
}

# What `status` says that the VM runs on.
description() { # DRIVER
	case $1 in
	firecracker) echo "firecracker $(firecracker --version | sed -n 's/^Firecracker v//p') (kvm)" ;;
	*) echo "$1 (kvm)" ;;
	esac
}

vm_life() { # DRIVER
	vm_first_start "$1"
	vm_guard "$1"
	vm_limits "$1"
	vm_crash "$1"
	vm_reload "$1"
	vm_pause "$1"
	vm_adoption "$1"
	vm_removal "$1"
}
