# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Shared by the demo and the system tests: a host of their own (a network namespace, directories),
# OCI images made from nothing, a daemon, and the guarantee that all of it goes away again.
#
# Source it from the top of the tree; STOKER_BUILD is the build directory, STOKER_KERNEL the guests'
# kernel (default: auto). lib_host NAME makes the host; whatever happens afterwards, lib_clean runs at
# exit.

set -u
: "${STOKER_BUILD:=$PWD/build}"
: "${STOKERD:=$STOKER_BUILD/stokerd}"

# --- the host ------------------------------------------------------------------------------------

# lib_host NAME UID_BASE: $work, $netns, $ini, $fleet, $run and their cleaning up.
lib_host() {
	netns=stoker-$1-$$
	work=$(mktemp -d "/tmp/stoker-$1.XXXXXX")
	chmod 755 "$work"
	run=$work/run fleet=$work/fleet.d ini=$work/stoker.ini
	daemon_pid=
	trap lib_clean EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir "$fleet" "$work/bpf"
	mount -t bpf bpf "$work/bpf" # a file system for its pins alone
	ip netns add "$netns"
	in_host ip link set lo up
	# The host's own address: what VMs answer to. Its wire leads nowhere.
	in_host ip link add uplink type veth peer name wire
	in_host ip link set wire up
	in_host ip link set uplink up
	in_host ip addr add 192.0.2.1/24 dev uplink
	in_host ip addr add fd00:ffff::1/64 dev uplink nodad
	mkdir "$work/libexec"
	ln -s "$STOKER_BUILD/stoker-image" "$STOKER_BUILD/stoker-init" "$work/libexec/"
	# VMs have limits where the test's own host could set them.
	cgroup=none
	[ ! -e /sys/fs/cgroup/cgroup.controllers ] || cgroup=/$netns
	cat >"$ini" <<-EOF
		[paths]
		fleet_dir = $fleet
		state_dir = $work/state
		run_dir = $run
		log_dir = $work/log
		bpf_dir = $work/bpf/stoker
		libexec_dir = $work/libexec
		[daemon]
		uid_base = $2
		uid_count = 1000
		[image]
		insecure_registries = localhost:5000
		[cgroup]
		parent = $cgroup
		[vm]
		boot_timeout = ${STOKER_BOOT_TIMEOUT:-90s}
		kernel = ${STOKER_KERNEL:-auto}
	EOF
}

# Runs a command on that host, with all mounts as they are (`ip netns exec` would change them).
in_host() {
	nsenter --net="/run/netns/$netns" "$@"
}

ctl() {
	"$STOKER_BUILD/stokerctl" -c "$ini" "$@"
}

# Every VMM of this host runs under a uid of its range, and nobody else does.
vmm_pids() {
	ctl status --json 2>/dev/null | tr ',{' '\n\n' |
		sed -n '/"instances"/,$s/^ *"pid": *\([1-9][0-9]*\).*/\1/p' # not the daemon's own
}

# kill_vmm SIGNAL PID: that process alone; 0, as a VM without a VMM has it, would be all of ours.
kill_vmm() {
	[ "${2:-0}" -gt 1 ] && kill "-$1" "$2"
}

# --- the daemon ----------------------------------------------------------------------------------

# start_daemon: in the background, its messages in $work/daemon.log.
start_daemon() {
	# Not by in_host: a function in the background is a shell, and $! would be that shell.
	nsenter --net="/run/netns/$netns" "$STOKERD" -c "$ini" >>"$work/daemon.log" 2>&1 &
	daemon_pid=$!
}

# stop_daemon: SIGTERM, and wait for its end.
stop_daemon() {
	[ -n "$daemon_pid" ] || return 0
	kill -TERM "$daemon_pid" 2>/dev/null
	wait "$daemon_pid" 2>/dev/null
	set -- $?
	daemon_pid=
	return "$1"
}

# How many the daemon has open, but for the taps that it keeps on stock: 4 at most, when it has had
# the time.
descriptors() {
	find "/proc/$daemon_pid/fd" -mindepth 1 -printf '%l\n' 2>/dev/null |
		awk '$0 == "/dev/net/tun" && ++taps <= 4 { next } { count++ } END { print count }'
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
	deadline=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$deadline" ] || return 1
		sleep 0.2
	done
}

# member NAME KEY: of the VM's JSON status, as text.
member() {
	ctl status "$1" --json 2>/dev/null | perl -MJSON::PP -0777 -ne '
		print decode_json($_)->{instances}[0]{'"$2"'} // ""'
}

phase_is() {
	[ "$(member "$1" phase)" = "$2" ]
}

# timerless VM: it ended as its kernel found no timer, which happens on a host this busy, and which
# stoker-init says and ends it for, by a panic. With restart: "no" it takes an operator.
timerless() {
	[ "$(member "$1" reason)" = panic ] &&
		ctl logs -n 400 "$1" | grep 'Kernel panic' | tail -n 1 | grep -q 'exitcode=0x00000100'
}

# runs_anew VM PID: it runs, and no longer as that process. The pid first: it is 0 between two runs.
runs_anew() {
	anew=$(member "$1" pid)
	[ "${anew:-0}" -ne 0 ] && [ "$anew" -ne "$2" ] && phase_is "$1" running
}

# --- images --------------------------------------------------------------------------------------

# oci_blob LAYOUT FILE: moves the file into the layout; prints "digest size".
oci_blob() {
	oci_hash=$(sha256sum <"$2" | cut -d' ' -f1)
	oci_size=$(stat -c %s "$2")
	mv "$2" "$1/blobs/sha256/$oci_hash"
	echo "$oci_hash $oci_size"
}

# oci_image LAYOUT ROOT CONFIG: an OCI layout with one gzip layer made of the directory ROOT; CONFIG
# is the JSON of the image's "config" member.
oci_image() {
	mkdir -p "$1/blobs/sha256"
	tar -C "$2" --numeric-owner --owner=0 --group=0 --sort=name --mtime=@1700000000 -cf "$1/layer" .
	oci_diff=$(sha256sum <"$1/layer" | cut -d' ' -f1)
	gzip -n "$1/layer"
	oci_layer=$(oci_blob "$1" "$1/layer.gz")
	printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$(dpkg --print-architecture)" "$3" "$oci_diff" >"$1/config"
	oci_config=$(oci_blob "$1" "$1/config")
	printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%s}]}' \
		${oci_config% *} ${oci_config#* } ${oci_layer% *} ${oci_layer#* } >"$1/manifest"
	oci_manifest=$(oci_blob "$1" "$1/manifest")
	printf '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
	printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}' \
		${oci_manifest% *} ${oci_manifest#* } >"$1/index.json"
}

# busybox_root DIR: a root file system of Debian's static busybox and its applets.
busybox_root() {
	mkdir -p "$1/bin" "$1/etc" "$1/tmp" "$1/www" "$1/root"
	cp "$(command -v busybox)" "$1/bin/busybox"
	for applet in $("$1/bin/busybox" --list); do
		[ "$applet" = busybox ] || ln -s busybox "$1/bin/$applet"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\napp:x:1000:\n' >"$1/etc/group"
	chmod 1777 "$1/tmp"
}

# --- the end -------------------------------------------------------------------------------------

lib_clean() {
	status=$?
	trap - EXIT
	[ -z "${daemon_pid:-}" ] || { rm -f "$fleet"/*; kill -KILL "$daemon_pid" 2>/dev/null; }
	# What a daemon that was killed left running: exactly the processes of this host's uids.
	for record in "$run"/vm/*/record.json; do
		[ -e "$record" ] || continue
		pid=$(sed -n 's/.*"pid":\([1-9][0-9]*\).*/\1/p' "$record")
		[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
	done
	[ "$cgroup" = none ] ||
		find "/sys/fs/cgroup$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
	umount "$work/bpf" "$run" 2>/dev/null
	ip netns del "$netns" 2>/dev/null
	rm -rf "$work"
	exit "$status"
}

# left_behind UID_BASE: prints what of this host is still there; nothing, when all went well. The end
# of a killed process may take a moment, so it looks more than once.
left_behind() {
	for left_try in 1 2 3 4 5 6 7 8 9 10; do
		left=$(look_behind "$1")
		[ -n "$left" ] || return 0
		sleep 0.5
	done
	echo "$left"
}

# has_ended /proc/PID: it is gone, or waits for a parent to reap it: an orphan's may take its time.
has_ended() {
	! grep -q '^State:[[:space:]]*[^ZX]' "$1/status" 2>/dev/null
}

look_behind() {
	in_host ip -o link show | grep -o 'stk[0-9]*' | sed 's/^/tap /'
	find "$work/bpf" -type f ! -name '*.debug' | sed 's/^/pin /'
	in_host nft list tables 2>/dev/null | grep stoker
	find "$run/vm" -mindepth 1 2>/dev/null
	find "/sys/fs/cgroup$cgroup" -mindepth 1 -type d 2>/dev/null
	find "$work/state/disks" -type f 2>/dev/null
	find /proc -maxdepth 1 -name '[0-9]*' -printf '%U %p\n' 2>/dev/null |
		awk -v low="$1" '$1 >= low && $1 < low + 1000 { print $2 }' |
		while read -r left_process; do
			has_ended "$left_process" || echo "process $left_process"
		done
	grep -F "$work" /proc/self/mountinfo | grep -v " $work/bpf "
}
