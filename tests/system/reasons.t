#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every way in which a VM of QEMU's ends, as the table in stokerd(8) has them, by real guests under
# TCG. For Firecracker, firecracker.t does the same with a scripted guest, and tests/host with real
# ones; host-unfit is require.t's.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

fleet_head() {
	cat >"$fleet/a.yaml" <<-EOF
		tenants:
		  acme:
		    subnets: [10.20.0.0/24]
		    vms:
	EOF
}

add() { # NAME KEY...: a VM of the one tenant, with further keys
	echo "      $1: {image: \"oci:$work/image\", memory: 96MiB, vmm: qemu, restart: \"no\"$2}" \
		>>"$fleet/a.yaml"
}

reason_is() { # VM REASON
	! timerless "acme/$1" || ctl restart "acme/$1" >/dev/null
	[ "$(member "acme/$1" reason)" = "$2" ]
}

ends_as() { # VM REASON
	ok "$1: $2" wait_for 300 reason_is "$1" "$2"
}

lib_host reasons 897000
sed -i 's/^boot_timeout = .*/boot_timeout = 120s\nguest_timeout = 30s/' "$ini"
busybox_root "$work/root"
# The guest ends itself, whatever stoker-init thinks.
cat >"$work/root/bin/end" <<-'EOF'
	#!/bin/sh
	case $1 in
	signal) kill -SEGV $$ ;;
	oom) exec tail /dev/zero ;;
	panic) echo c >/proc/sysrq-trigger ;;
	init) # its code becomes zeroes, which it meets when this ends
		text=$(sed -n 's/^\([0-9a-f]*\)-.* r-xp .*/\1/p' /proc/1/maps | head -n 1)
		dd if=/dev/zero of=/proc/1/mem bs=4096 count=64 seek=$((0x$text / 4096)) conv=notrunc
		exit
		;;
	daemon)
		/bin/sleep 100000 &
		/bin/sleep 100001 &
		exit
		;;
	power-off) poweroff -f ;;
	reset) reboot -f ;;
	esac
	sleep 100000
EOF
chmod 755 "$work/root/bin/end"
oci_image "$work/image" "$work/root" \
	'{"Entrypoint":["/bin/sh","-c"],"Cmd":["sleep 100000"],"Env":["PATH=/bin"]}'

fleet_head
printf s3cr3t >"$fleet/key"
chmod 600 "$fleet/key"
add exited ", command: ['[ \"\$(rev /run/secrets/key)\$(cat /etc/x)\" = t3rc3s-x ] && exit 3'],
        files: [{path: /etc/x, content: \"-x\"}], secrets: [{source: key}]"
add signalled ", command: [exec end signal]"
add oom ", command: [exec end oom]"
add panic ", command: [exec end panic]"
add init-killed ", command: [exec end init]"
add daemonised ", command: [exec end daemon]"
add power-off ", command: [exec end power-off]"
add reset ", command: [exec end reset]"
add unhealthy ", healthcheck: {exec: ['test', '-e', '/none'], interval: 1s, timeout: 60s, retries: 2,
        start_period: 0s, on_unhealthy: stop}"
add init-error ", entrypoint: [/no/such/file], command: []"
start_daemon
ends_as exited exited
is "exited: with the workload's code, that saw its file and its secret" \
	"$(member acme/exited exit_code)" 3
is "exited: nobody else saw the secret" "$(grep -rl 's3cr[3]t' "$work/log" "$work/state" "$run" \
	"$work/daemon.log" /proc/[0-9]*/cmdline 2>/dev/null; ctl status --json | grep -c s3cr3t)" 0
rm "$fleet/key"
ok "exited: again, without its secret" ctl restart acme/exited
ends_as exited start-error
like "exited: it says which is missing" "$(member acme/exited message)" \
	"secret 'key': $fleet/key: cannot open"
ends_as signalled signalled
is "signalled: by this signal" "$(member acme/signalled exit_signal)" 11
ends_as oom guest-oom
like "oom: it names the process" "$(member acme/oom message)" "its kernel killed tail (pid "
ends_as daemonised daemonised
like "daemonised: it names what was left" "$(member acme/daemonised message)" \
	"left 2 processes running (sleep, sleep): it is to run in the foreground"
ends_as panic panic
ends_as init-killed init-killed
like "init-killed: the console is in the log" "$(ctl logs -n 400 acme/init-killed)" \
	"Attempted to kill init"
ends_as unhealthy unhealthy
is "unhealthy: in words" "$(member acme/unhealthy message)" "2 checks failed, the last: exit code 1"
ends_as power-off guest-ended
ends_as reset guest-ended
ends_as init-error start-error
like "init-error: the message names the file" "$(member acme/init-error message)" /no/such/file
like "panic: the console is in the log" "$(ctl logs -n 400 acme/panic)" "sysrq"

fleet_head
for vm in crashed killed frozen operator; do
	add "$vm" ""
done
echo "      no-image: {image: \"oci:$work/none\"}" >>"$fleet/a.yaml"
ctl reload >/dev/null 2>&1
ends_as no-image image-error
for vm in crashed killed frozen operator; do
	ok "$vm runs" wait_for 300 phase_is "acme/$vm" running
done
kill_vmm SEGV "$(member acme/crashed pid)"
ends_as crashed vmm-crashed
is "crashed: with its signal" "$(member acme/crashed exit_signal)" 11
kill_vmm KILL "$(member acme/killed pid)"
ends_as killed vmm-killed
is "killed: with its signal" "$(member acme/killed exit_signal)" 9
ok "operator: a restart" ctl restart acme/operator
ends_as operator operator
# A VMM that stands still is a guest that says nothing.
kill_vmm STOP "$(member acme/frozen pid)"
ends_as frozen lost-channel
like "frozen: in words" "$(member acme/frozen message)" "the guest has said nothing for 30 s"

stop_daemon
sed -i 's/^boot_timeout = .*/boot_timeout = 1s/' "$ini"
fleet_head
add unheard ""
start_daemon
ends_as unheard boot-timeout
like "unheard: in words" "$(member acme/unheard message)" "no word from the guest within 1 s"

rm "$fleet/a.yaml"
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 897000)" ""
done_testing
