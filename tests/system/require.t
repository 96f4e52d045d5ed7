#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# [host] require: on a host that falls short no VM is started, what runs goes on, everybody is told
# why, and a reload after mending starts what waited. What falls short is a program of which only
# --version is run; it lies in a directory that can be trusted, which none below /tmp can.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

end() {
	end_status=$?
	rm -rf "$programs"
	(exit "$end_status")
	lib_clean
}

# write_fleet MEMORY [VM...]: one VM of that memory, and others like it.
write_fleet() {
	{
		printf 'tenants:\n  acme:\n    subnets: [10.20.0.0/24]\n    vms:\n'
		printf '      web: {image: "oci:%s", memory: %s}\n' "$work/image" "$1"
		shift
		for vm in "$@"; do
			printf '      %s: {image: "oci:%s", memory: 96MiB}\n' "$vm" "$work/image"
		done
	} >"$fleet/a.yaml"
}

# The last life, as status has it: "failed host-unfit: MESSAGE".
ending() {
	echo "$(member "$1" phase) $(member "$1" reason): $(member "$1" message)"
}

warnings() {
	ctl status | grep '^warning: '
}

lib_host require 895000
programs=$(mktemp -d /run/stoker-require.XXXXXX)
trap end EXIT
chmod 755 "$programs"
printf '#!/bin/sh\necho Firecracker v1.16.1\n' >"$programs/firecracker"
chmod 757 "$programs/firecracker"
printf 'restart_delay_min = 10ms\nrestart_delay_max = 100ms\n' >>"$ini"
printf 'vmm = qemu\nfirecracker = %s\njail = no\n' "$programs/firecracker" >>"$ini"
printf '[host]\nrequire = uids firecracker\n' >>"$ini"
busybox_root "$work/root"
oci_image "$work/image" "$work/root" '{"Entrypoint":["/bin/sh","-c"],"Cmd":["sleep 1000"]}'
write_fleet 96MiB
fact="firecracker: $programs/firecracker can be written by everyone (mode 0757) (chmod go-w $programs/firecracker)"
jail="warning: jail = no: a guest that breaks out of Firecracker sees the host's files (remove jail = no from [vm])"

start_daemon
ok "the VM is not started" wait_for 60 phase_is acme/web failed
is "and says why, and what to do" "$(ending acme/web)" "failed host-unfit: $fact"
is "status has it at its head, and that there is no jail" "$(warnings)" \
	"$jail
warning: no VM is started: $fact"
is "both are in the log" "$(sed -n 's/^[^ ]* warning: /warning: /p' "$work/daemon.log")" "$(warnings)"
is "a reload says it again" "$(ctl reload 2>&1)" "$(warnings)
plan: 0 to create, 0 to update, 0 to replace, 0 to remove, 1 unchanged"
is "the VM stays as it is" "$(ending acme/web)" "failed host-unfit: $fact"
is "no VMM was started" "$(vmm_pids)" ""

chmod 755 "$programs/firecracker"
ok "a reload after mending" ctl reload
ok "starts the VM" wait_for 120 phase_is acme/web running
is "only the jail is left to warn of" "$(warnings)" "$jail"
like "the log says that VMs may start" "$(cat "$work/daemon.log")" \
	"the host is as [host] require says: VMs may start"

pid=$(member acme/web pid)
chmod 757 "$programs/firecracker"
write_fleet 112MiB late
like "on a host that falls short again a reload" "$(ctl reload 2>&1)" \
	"stokerctl: acme/late: failed, host-unfit: $fact"
is "starts no new VM" "$(ending acme/late)" "failed host-unfit: $fact"
is "and leaves alone what runs" "$(member acme/web phase) $(member acme/web pid)" "running $pid"
like "also where it should be replaced" "$(cat "$work/daemon.log")" \
	"acme/web: not replaced, goes on as it was: $fact"
is "and where an operator asks for a restart" "$(ctl restart acme/web 2>&1)" \
	"stokerctl: acme/web: not restarted: $fact"
kill_vmm KILL "$pid"
ok "a VM that ends is not started again" wait_for 60 phase_is acme/web failed
is "for the same reason" "$(ending acme/web)" "failed host-unfit: $fact"

stop_daemon
start_daemon
ok "nor by the next daemon" wait_for 60 phase_is acme/web failed
chmod 755 "$programs/firecracker"
ctl reload --timeout 0 >/dev/null
ok "mended, both start" wait_for 120 phase_is acme/web running
ok "the one that is new as well" wait_for 120 phase_is acme/late running
is "in its new shape" "$(member acme/web memory_bytes)" $((112 << 20))

rm "$fleet/a.yaml"
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0
sed -i 's/^require = .*/require = uids firecraker/' "$ini"
is "a check that is none is refused" "$("$STOKERD" -c "$ini" -n 2>&1 | sed "s|$work/||" | head -n 1)" \
	"stoker.ini:$(grep -n ^require "$ini" | cut -d: -f1):11: require: 'firecraker' is not a check (did you mean 'firecracker'?)"
is "nothing is left behind" "$(left_behind 895000)" ""
done_testing
