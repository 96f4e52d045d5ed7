#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run inside the outer host by inside.service, at each of its two boots; says TAP on stdout, which
# host.t passes on. What stoker is told, it is told as an administrator would: by files in
# /etc/stoker, systemctl and stokerctl.
cd /opt/check-host || exit 1
STOKER_BUILD=/usr/local/bin
STOKERD=/usr/local/sbin/stokerd
. tests/lib.sh
. tests/tap.sh
. tests/host/host-steps.sh
. tests/host/vm-steps.sh
. tests/host/limit-steps.sh

ini=/etc/stoker/stoker.ini
fleet=/etc/stoker/fleet.d
run=/run/stoker
boots=/var/lib/check-host/boots

in_host() { # this is the host
	"$@"
}

drivers=qemu
[ ! -x /usr/bin/firecracker ] || drivers="qemu firecracker"

first_boot() {
	host_facts
	host_install
	host_start
	for driver in $drivers; do
		vm_life "$driver"
	done
	host_doctor
	host_stop
	host_leave
}

# As it was left: nothing was started but what systemd starts.
second_boot() {
	host_network
	host_again
	host_end
	case $drivers in
	*firecracker*) ;;
	*) tap_count=$((tap_count + 1)) && echo "ok 0 - the same with Firecracker # SKIP it was not given: FIRECRACKER_DIR" ;;
	esac
}

# host.t tells a host that stands still from one that waits.
while sleep 10; do echo alive; done &

mkdir -p "${boots%/*}"
if [ -e "$boots" ]; then
	second_boot
	done_testing
	systemctl poweroff
else
	touch "$boots"
	first_boot
	done_testing
	systemctl reboot
fi
