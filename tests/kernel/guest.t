#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a workload finds in a guest with the kernel of `make kernel` (STOKER_KERNEL, a vmlinux), run by
# stokerd: that it is this kernel, what images expect of one, what hardening keeps away, and that a
# panic is reported as such.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
: "${STOKER_KERNEL:?the path of a vmlinux}"
. tests/lib.sh
. tests/tap.sh

lib_host kernel 870000
busybox_root "$work/root"
cat >"$work/root/bin/look" <<'EOT'
#!/bin/sh
echo "release $(uname -r)"
echo "controllers $(cat /sys/fs/cgroup/cgroup.controllers)"
echo "pressure $(ls /proc/pressure | tr '\n' ' ')"
echo "namespaces $(ls /proc/self/ns | tr '\n' ' ')"
echo "filesystems $(sed 's/.*\t//' /proc/filesystems | tr '\n' ' ')"
echo "lru_gen $(cat /sys/kernel/mm/lru_gen/enabled)"
echo "seccomp $(cat /proc/sys/kernel/seccomp/actions_avail)"
echo "protocols $(sed 1d /proc/net/protocols | cut -d' ' -f1 | tr '\n' ' ')"
echo "devices $(ls /dev | tr '\n' ' ')"
echo "balloon $(ls -d /sys/bus/virtio/drivers/virtio_balloon)"
echo "restricted $(cat /proc/sys/kernel/dmesg_restrict /proc/sys/kernel/unprivileged_bpf_disabled | tr '\n' ' ')"
echo "absent $(ls -d /proc/modules /proc/kcore /proc/sysrq-trigger /dev/mem /dev/port /sys/kernel/debug/kprobes 2>/dev/null | wc -l)"
zcat /proc/config.gz | sed -n 's/^CONFIG_LOCALVERSION=/config /p'
echo "that is all"
exec sleep 1000000
EOT
chmod +x "$work/root/bin/look"
oci_image "$work/busybox" "$work/root" '{"Entrypoint":["/bin/sh","-c"],"Env":["PATH=/bin"]}'
cat >"$fleet/kernel.yaml" <<EOF
tenants:
  kernel:
    subnets: [10.20.0.0/24]
    vms:
      look: {image: "oci:$work/busybox", command: [look]}
      panics:
        image: oci:$work/busybox
        command: ["echo 2 >/proc/sys/vm/panic_on_oom; exec tail /dev/zero"]
        restart: "no"
EOF
start_daemon
looked() { ctl logs -n 100 kernel/look | grep -q 'that is all'; }
ended() { case $(member kernel/panics phase) in failed | stopped) ;; *) return 1 ;; esac; }

ok "a VM runs" wait_for 300 phase_is kernel/look running
ok "its workload looks around" wait_for 60 looked
seen=$(ctl logs -n 100 kernel/look)
diag "$seen"
said() { echo "$seen" | sed -n "s/^.* $1 //p" | head -n 1; }
has() { # WHAT WORD...
	what=$1
	shift
	for word; do
		case " $(said "$what") " in
		*" $word "*) ;;
		*) echo "no $word in $what: $(said "$what")" && return 1 ;;
		esac
	done
}
ok "it is our kernel" sh -c 'case $1 in *-stoker) ;; *) exit 1 ;; esac' - "$(said release)"
is "and says how it was made" "$(said config)" '"-stoker"'
ok "control groups" has controllers cpuset cpu io memory pids
ok "pressure" has pressure cpu io memory
ok "namespaces" has namespaces cgroup ipc mnt net pid time user uts
ok "file systems" has filesystems squashfs ext4 overlay tmpfs cgroup2 mqueue devpts
ok "multi-generational LRU" sh -c '[ $(($1 & 1)) -eq 1 ]' - "$(said lru_gen)"
ok "seccomp filters" has seccomp errno user_notif kill_process
ok "networks" has protocols TCP TCPv6 UDP UNIX PACKET AF_VSOCK
ok "devices" has devices vda vdb hwrng ptmx vsock userfaultfd
ok "a balloon's driver" has balloon /sys/bus/virtio/drivers/virtio_balloon
is "no raw memory, no modules, no magic keys" "$(said absent)" 0
is "kernel log and BPF are root's" "$(said restricted)" "1 2 "
ok "a guest that panics ends" wait_for 300 ended
is "and that is why" "$(member kernel/panics reason)" panic
done_testing
