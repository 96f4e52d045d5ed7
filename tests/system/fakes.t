#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The fake firecracker and jailer: that they do what the real ones do, and fail when they are asked
# to. With FIRECRACKER_DIR, a directory that holds the real ones of release 1.16.1, these are asked
# the same and must answer the same: api-before.txt and api-after.txt, the refusals and the jail.
#
# All of it happens in mount and network namespaces of its own, which end with it.
cd "$(dirname "$0")/../.." || exit 2
: "${STOKER_BUILD:=$PWD/build}"
if [ "$(id -u)" -ne 0 ]; then
	echo "1..0 # SKIP needs root: it makes namespaces and jails"
	exit 0
fi
if [ -z "${FAKES_INSIDE-}" ]; then
	FAKES_INSIDE=1 exec unshare --mount --net --propagation private sh "$0"
fi
. tests/tap.sh
set -u
fakes=$STOKER_BUILD/tests/fakes tools=$PWD/tests/fakes
real=${FIRECRACKER_DIR-}
work=$(mktemp -d /tmp/stoker-fakes.XXXXXX)
children=
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

clean() {
	for child in $children; do kill -KILL "$child" 2>/dev/null; done
	umount "$work/jail/firecracker/vm-1/root/kept" 2>/dev/null
	rmdir "$parent_cgroup" 2>/dev/null
	rm -rf "$work"
}

cgroup2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
parent_cgroup=${cgroup2:-/nonexistent}/stoker-fakes-$$

# wait_for COMMAND...: until it succeeds, for 20 s.
wait_for() {
	tries=200
	until "$@" 2>/dev/null; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}

# request SOCKET METHOD PATH [BODY]: prints the answer's code and body.
request() {
	curl -s --max-time "${patience:-20}" -w ' %{http_code}' --unix-socket "$1" -X "$2" \
		"http://localhost$3" ${4+-d "$4"} 2>/dev/null
}

# A directory with what requests name: kernel, initrd with a script, disk.
furnish() { # DIRECTORY WORD...
	mkdir -p "$1"
	printf x >"$1/kern"
	head -c 4096 /dev/zero >"$1/zeros"
	truncate -s 1M "$1/disk"
	truncate -s 129M "$1/large"
	cp "$work/kernel-spin" "$1/kernel"
	perl "$tools/initrd.pl" $2 >"$1/initrd"
}

# A kernel that is small enough to be told here, for x86; elsewhere a file that looks like one.
make_kernel() { # NAME CODE
	if [ "$(uname -m)" = x86_64 ]; then
		printf '.globl _start\n_start: %s\n' "$2" >"$work/$1.S"
		gcc -nostdlib -static -no-pie -Wl,-Ttext=0x1000000,--build-id=none \
			-o "$work/kernel-$1" "$work/$1.S"
	else
		{ head -c 56 /dev/zero && printf 'ARMd' && head -c 4036 /dev/zero; } >"$work/kernel-$1"
	fi
}
make_kernel spin '1: pause; jmp 1b'
make_kernel halt '1: cli; hlt; jmp 1b'
make_kernel reset 'mov $0xfe, %al; out %al, $0x64; 1: pause; jmp 1b'

# --- the API, against what the real one said -------------------------------------------------------

# converse FIRECRACKER BEFORE-OR-AFTER: the conversation as this one holds it.
converse() {
	dir=$(mktemp -d "$work/converse.XXXXXX")
	furnish "$dir" silent
	(cd "$dir" && exec "$1" --api-sock api.sock --id test-1 >out 2>&1 </dev/null) &
	child=$!
	children="$children $child"
	wait_for test -S "$dir/api.sock"
	(cd "$dir" && perl "$tools/converse.pl" api.sock <"$tools/api-$2.txt") 2>&1
	kill -KILL "$child"
	wait "$child" 2>/dev/null
}

compare() { # WHAT FIRECRACKER BEFORE-OR-AFTER
	converse "$2" "$3" >"$work/said"
	ok "$1" diff "$tools/api-$3.txt" "$work/said"
}

compare 'the fake answers as 1.16.1 does before its start' "$fakes/firecracker" before
if [ "$(uname -m)" = x86_64 ]; then
	compare 'and after it' "$fakes/firecracker" after
else
	tap_result 0 'and after it # SKIP the conversation is of x86'
fi
if [ -z "$real" ]; then
	tap_result 0 'the real one answers so # SKIP FIRECRACKER_DIR is not set'
elif [ ! -w /dev/kvm ]; then
	tap_result 0 'the real one answers so # SKIP no /dev/kvm'
else
	compare 'the real one answers so before its start' "$real/firecracker" before
	compare 'and the real one after it' "$real/firecracker" after
fi

# --- how a process ends ---------------------------------------------------------------------------

# end_of FIRECRACKER KERNEL SCRIPT [SIGNAL]: its exit code, or "alive" after 2 s.
end_of() {
	dir=$(mktemp -d "$work/end.XXXXXX")
	furnish "$dir" "$3"
	cp "$work/kernel-$2" "$dir/kernel"
	(cd "$dir" && exec "$1" --api-sock api.sock >out 2>&1 </dev/null) &
	child=$!
	children="$children $child"
	wait_for test -S "$dir/api.sock"
	(
		cd "$dir" || exit
		request api.sock PUT /boot-source '{"kernel_image_path":"kernel","initrd_path":"initrd"}'
		request api.sock PUT /actions '{"action_type":"InstanceStart"}'
	) >"$dir/answers"
	[ -z "${4-}" ] || kill -s "$4" "$child"
	(sleep 2 && kill -KILL "$child") >/dev/null 2>&1 &
	killer=$!
	wait "$child" 2>/dev/null
	end=$?
	kill "$killer" 2>/dev/null
	[ $end -eq 137 ] && end=alive
	echo $end
}

ends() { # WHAT FIRECRACKER
	is "$1: a reset ends it with 0" "$(end_of "$2" reset 'reboot early')" 0
	is "$1: a halt does not end it" "$(end_of "$2" halt 'power-off early')" alive
	is "$1: SIGSEGV is exit code 150" "$(end_of "$2" spin silent SEGV)" 150
	is "$1: SIGHUP is exit code 156" "$(end_of "$2" spin silent HUP)" 156
	is "$1: SIGTERM is no exit code" "$(end_of "$2" spin silent TERM)" 143
}
if [ "$(uname -m)" = x86_64 ]; then
	ends fake "$fakes/firecracker"
	if [ -n "$real" ] && [ -w /dev/kvm ]; then
		ends real "$real/firecracker"
	fi
fi

# --- scripted guests ------------------------------------------------------------------------------

# live NAME PEER-WORDS SCRIPT: a whole life, told in $work/life.NAME.
live() {
	dir=$work/live.$1
	furnish "$dir" "$3"
	perl "$tools/peer.pl" "$dir/v.sock_1024" $2 >"$dir/peer" 2>&1 &
	peer=$!
	(cd "$dir" && exec "$fakes/firecracker" --api-sock api.sock >out 2>err </dev/null) &
	vmm=$!
	wait_for test -S "$dir/api.sock" -a -S "$dir/v.sock_1024"
	(
		cd "$dir" || exit
		request api.sock PUT /serial '{"serial_out_path":"console"}'
		request api.sock PUT /boot-source '{"kernel_image_path":"kernel","initrd_path":"initrd",
			"boot_args":"console=ttyS0 reboot=k panic=1"}'
		request api.sock PUT /vsock '{"guest_cid":3,"uds_path":"v.sock"}'
		request api.sock PUT /actions '{"action_type":"InstanceStart"}'
	) >"$dir/answers"
	wait "$peer"
	if kill -0 "$vmm" 2>/dev/null; then
		echo alive >>"$dir/peer"
		kill -KILL "$vmm"
		wait "$vmm" 2>/dev/null
	else
		wait "$vmm" 2>/dev/null
		echo "ended with $?" >>"$dir/peer"
	fi
	mv "$dir/peer" "$work/life.$1"
}

runs='hello: version 7, running, boot told
init: script: '
live serve 'stop=15:1000' 'serve' &
live image-stop 'stop=0:1000' 'serve' &
live exit '' 'exit 3' &
live signal '' 'signal 9' &
live oom '' 'oom' &
live init-error '' 'init-error' &
live typo '' 'sreve' &
live panic '' 'panic' &
live panic-early 'wait=2' 'panic early' &
live power-off 'last=3' 'power-off' &
live reboot '' 'reboot' &
wait
live crash '' 'vmm-crash' &
live vmm-exit '' 'vmm-exit 148' &
live silent 'wait=2' 'silent' &
live lose '' 'lose-channel' &
live garbage '' 'garbage' &
live ignore 'stop=15:100 last=4' 'ignore-stop' &
live slow 'stop=15:300' 'slow-stop' &
live leave 'leave' 'exit 7 after 300' &
live unseen 'unseen last=4' 'exit 0' &
wait

told() { cat "$work/life.$1"; }
is 'serve obeys a stop' "$(told serve)" "${runs}serve
stdout: workload runs
exit: signal 15 
closed
ended with 0"
like 'a stop without a signal is SIGTERM' "$(told image-stop)" 'exit: signal 15'
is 'exit' "$(told exit)" "${runs}exit
stdout: workload runs
stderr: workload exits
exit: code 3 
closed
ended with 0"
like 'signal' "$(told signal)" 'exit: signal 9 '
like 'oom' "$(told oom)" 'exit: oom 9 '
is 'init-error' "$(told init-error)" 'hello: version 7, not running, boot not told
exit: init-error 0 mount /dev/vda: scripted failure
closed
ended with 0'
like 'a script that is none is an error of init' "$(told typo)" 'exit: init-error 0'
is 'panic ends with 0 and no report' "$(told panic)" "${runs}panic
stdout: workload runs
closed
ended with 0"
like 'and says so on the console' "$(cat "$work/live.panic/console")" \
	'Kernel panic - not syncing: '
is 'panic early' "$(told panic-early)" 'ended with 0'
is 'power-off leaves the process alive' "$(told power-off | tail -n 1)" \
	"$(if [ "$(uname -m)" = x86_64 ]; then echo alive; else echo 'ended with 0'; fi)"
is 'reboot ends with 0 and no report' "$(told reboot | grep -v '^init\|^stdout')" \
	'hello: version 7, running, boot told
closed
ended with 0'
is 'vmm-crash' "$(told crash | tail -n 1)" 'ended with 134'
is 'vmm-exit' "$(told vmm-exit | tail -n 1)" 'ended with 148'
is 'silent never connects' "$(told silent)" 'alive'
is 'lose-channel' "$(told lose | tail -n 2)" 'closed
alive'
like 'garbage' "$(told garbage)" 'nonsense
hello: version 7, running, boot told'
is 'ignore-stop' "$(told ignore | grep -c exit)" 0
like 'slow-stop' "$(told slow)" 'exit: signal 9 '
like 'a host that comes back is greeted and told' "$(told leave)" 'hello: version 7, running, boot told
hello: version 7, running, boot told'
like 'to the end' "$(told leave)" 'exit: code 7 
closed
ended with 0'
is 'an exit that nobody saw is waited for' "$(told unseen | tail -n 2)" 'exit: code 0 
alive'

# A flood is bounded by who reads it, and by the console's limiter.
flood() {
	dir=$work/flood
	furnish "$dir" flood
	(cd "$dir" && exec "$fakes/firecracker" --api-sock api.sock >out 2>&1 </dev/null) &
	child=$!
	children="$children $child"
	wait_for test -S "$dir/api.sock"
	cd "$dir" || return
	request api.sock PUT /serial '{"serial_out_path":"console","rate_limiter":{"size":1000,
		"refill_time":10000,"one_time_burst":5000}}'
	request api.sock PUT /boot-source '{"kernel_image_path":"kernel","initrd_path":"initrd",
		"boot_args":"console=ttyS0"}'
	request api.sock PUT /actions '{"action_type":"InstanceStart"}'
	cd - >/dev/null || return
	sleep 1
	kill -KILL "$child"
	wait "$child" 2>/dev/null
}
flood >/dev/null 2>&1
size=$(stat -c %s "$work/flood/console")
ok "the limiter bounds the console ($size bytes)" test "$size" -ge 6000 -a "$size" -le 10000

# --- host-initiated vsock, pause ------------------------------------------------------------------

dir=$work/live.talk
furnish "$dir" serve
(cd "$dir" && exec "$fakes/firecracker" --api-sock api.sock >out 2>&1 </dev/null) &
child=$!
children="$children $child"
wait_for test -S "$dir/api.sock"
sock=$dir/api.sock
(
	cd "$dir" || exit
	request api.sock PUT /boot-source '{"kernel_image_path":"kernel","initrd_path":"initrd"}'
	request api.sock PUT /vsock '{"guest_cid":3,"uds_path":"v.sock"}'
	request api.sock PUT /balloon '{"amount_mib":0,"deflate_on_oom":true}'
	request api.sock PUT /actions '{"action_type":"InstanceStart"}'
) >/dev/null
vsock() {
	perl -MIO::Socket::UNIX -e 'alarm 10; my $s = IO::Socket::UNIX->new($ARGV[0]) or die;
		syswrite $s, "$ARGV[1]\n"; my $line = <$s> // "the end\n"; print $line;
		exit if $line !~ /^OK/; syswrite $s, "echo\n"; print scalar <$s>' "$dir/v.sock" "$1"
}
is 'CONNECT to a port with a listener' "$(vsock 'CONNECT 7')" 'OK 1073741824
echo'
is 'CONNECT to a port without' "$(vsock 'CONNECT 52')" 'the end'
is 'no CONNECT at all' "$(vsock 'GET / HTTP/1.1')" 'the end'
sleep 0.2
is 'the balloon is there when the guest is' \
	"$(request "$sock" PATCH /balloon '{"amount_mib":64}')" ' 204'
request "$sock" PATCH /vm '{"state":"Paused"}' >/dev/null
perl "$tools/peer.pl" "$dir/v.sock_1024" wait=2 >"$work/peer" 2>&1
is 'a paused guest does not connect' "$(cat "$work/peer")" ''
perl "$tools/peer.pl" "$dir/v.sock_1024" stop=15:100 >"$work/peer" 2>&1 &
peer=$!
request "$sock" PATCH /vm '{"state":"Resumed"}' >/dev/null
wait "$peer"
like 'a resumed one does' "$(cat "$work/peer")" 'exit: signal 15'

# --- failures by name -----------------------------------------------------------------------------

# faulty NAME: starts firecracker-NAME in $dir; $child.
faulty() {
	dir=$(mktemp -d "$work/faulty.XXXXXX")
	furnish "$dir" serve
	ln "$fakes/firecracker" "$work/firecracker-$1" 2>/dev/null ||
		cp "$fakes/firecracker" "$work/firecracker-$1"
	(cd "$dir" && exec "$work/firecracker-$1" --api-sock api.sock >out 2>err </dev/null) &
	child=$!
	children="$children $child"
}

# ask METHOD PATH [BODY]: of that one.
ask() {
	wait_for test -S "$dir/api.sock"
	(cd "$dir" && request api.sock "$@")
}

fate() { # of $child: $end
	wait "$child" 2>/dev/null
	end=$?
}

entropy='{"rate_limiter":{}}'
faulty fail-PUT-entropy
is 'fail-CALL' "$(ask PUT /entropy "$entropy")" \
	'{"fault_message":"the fake was told to refuse PUT /entropy"} 400'
is 'and no other call' "$(ask GET /version)" '{"firecracker_version":"1.16.1"} 200'
kill "$child"

faulty fail-PUT-drives-upper-die-after-GET-version
drive='"is_root_device":false,"path_on_host":"disk"}'
is 'the id of a call counts' "$(ask PUT /drives/base "{\"drive_id\":\"base\",$drive")" ' 204'
like 'this one' "$(ask PUT /drives/upper "{\"drive_id\":\"upper\",$drive")" 'told to refuse'
is 'die-after-CALL answers first' "$(ask GET /version)" '{"firecracker_version":"1.16.1"} 200'
fate
is 'and dies' $end 137

faulty die-before-PUT-vsock
is 'die-before-CALL' "$(ask PUT /vsock '{"guest_cid":3,"uds_path":"v.sock"}')" ' 000'
fate
is 'does nothing' "$end $(ls "$dir/v.sock" 2>/dev/null)" '137 '

faulty die-between-PUT-vsock
is 'die-between-CALL' "$(ask PUT /vsock '{"guest_cid":3,"uds_path":"v.sock"}')" ' 000'
fate
is 'has done it' "$end $(ls "$dir/v.sock" 2>/dev/null)" "137 $dir/v.sock"

faulty hang-start
ask PUT /boot-source '{"kernel_image_path":"kernel"}' >/dev/null
is 'hang-start' "$(patience=1 ask PUT /actions '{"action_type":"InstanceStart"}')" ' 000'
is 'only that connection hangs' "$(ask GET /version)" '{"firecracker_version":"1.16.1"} 200'
kill "$child"

faulty garbage-http
is 'garbage-http' "$(ask GET /version | tail -c 4)" ' 000'
kill "$child"

faulty slow-api
begin=$(date +%s)
is 'slow-api answers' "$(ask GET /version)" '{"firecracker_version":"1.16.1"} 200'
ok 'late' test $(($(date +%s) - begin)) -ge 1
kill "$child"

faulty no-socket
sleep 0.5
ok 'no-socket runs' kill -0 "$child"
not_ok 'and does not listen' test -e "$dir/api.sock"
kill "$child"

faulty exit-153
fate
is 'exit-N' $end 153

faulty full-disk
like 'full-disk: the log' "$(ask PUT /logger '{"log_path":"log"}')" 'No space left on device'
like 'full-disk: vsock' "$(ask PUT /vsock '{"guest_cid":3,"uds_path":"v.sock"}')" \
	'No space left on device (os error 28)'
kill "$child"

faulty no-kvm
ask PUT /boot-source '{"kernel_image_path":"kernel"}' >/dev/null
like 'no-kvm' "$(ask PUT /actions '{"action_type":"InstanceStart"}')" 'Error creating KVM object'
kill "$child"

faulty old-1.13.0
is 'old: its version' "$("$work/firecracker-old-1.13.0" --version | head -n 1)" \
	'Firecracker v1.13.0'
is 'old: its endpoints' "$(ask PUT /serial '{}')" \
	'{"fault_message":"Invalid request method and/or path: PUT serial."} 400'
like 'old: makes no log file' "$(ask PUT /logger '{"log_path":"log"}')" 'No such file'
kill "$child"
is 'the version of today' "$("$fakes/firecracker" --version | head -n 1)" 'Firecracker v1.16.1'

faulty nonsense
fate
is 'a fault that is none' "$end $(cat "$dir/err")" \
	"2 firecracker (fake): 'firecracker-nonsense': no fault at 'nonsense'"

faulty garbage-version
is 'garbage-version' "$("$work/firecracker-garbage-version" --version)" Waterdragon
like 'a stale socket' "$(cd "$dir" && wait_for test -S api.sock &&
	"$fakes/firecracker" --api-sock api.sock 2>&1 >/dev/null)" \
	'Failed to open the API socket at: api.sock. Check that it is not already used.'
kill "$child"

# --- what the jailer refuses ----------------------------------------------------------------------

mkdir "$work/bin" "$work/jail"
cp "$fakes/firecracker" "$fakes/jailer" "$work/bin"

all='--exec-file bin/firecracker --uid 1 --gid 1'

# refused BIN-DIRECTORY < COMMAND-LINES: the first line of each complaint.
refused() {
	bin=$1
	while read -r line; do
		(cd "$work" && eval "set -- $line" && "$bin/jailer" "$@") 2>&1 >/dev/null |
			head -n 1 | sed "s#$work#WORK#g; s#WORK/real#WORK/bin#"
	done
}

refusals() { # BIN-DIRECTORY
	refused "$1" <<-EOF
		--id a
		--id a_b $all
		--id '' $all
		--id $(printf '%065d' 0) $all
		--id a --id a $all
		--id a --what $all
		--id a --exec-file --uid 1 --gid 1
		--id a $all --chroot-base-dir /nonexistent
		--id a $all --chroot-base-dir bin/jailer
		--id a --exec-file /nonexistent --uid 1 --gid 1
		--id a --exec-file jail --uid 1 --gid 1
		--id a --exec-file bin/firecracker --uid x --gid 1 --chroot-base-dir jail
		--id a --exec-file bin/firecracker --uid 1 --gid -1 --chroot-base-dir jail
		--id a --exec-file bin/firecracker --uid 1 --gid 4294967296 --chroot-base-dir jail
		--id a $all --chroot-base-dir jail --parent-cgroup /x
		--id a $all --chroot-base-dir jail --parent-cgroup x/../y
		--id a $all --chroot-base-dir jail --cgroup-version x
		--id a $all --chroot-base-dir jail --cgroup-version 3 --cgroup memory.max=1
		--id a $all --chroot-base-dir jail --resource-limit nofile=1
		--id a $all --chroot-base-dir jail --resource-limit no-file
		--id a $all --chroot-base-dir jail --resource-limit no-file=x
		--id a $all --chroot-base-dir jail --netns /nonexistent
	EOF
}

cgroup_refusals() { # BIN-DIRECTORY
	refused "$1" <<-EOF
		--id a $all --chroot-base-dir jail --cgroup-version 2 --cgroup nosuch.max=1
		--id a $all --chroot-base-dir jail --cgroup-version 2 --cgroup io.max=8:0=1
		--id a $all --chroot-base-dir jail --cgroup-version 2 --cgroup io.max=
		--id a $all --chroot-base-dir jail --cgroup-version 2 --cgroup ../x.max=1
		--id a $all --chroot-base-dir jail --cgroup-version 2 --cgroup memory=1
	EOF
}

cat >"$work/refusals" <<'EOF'
Failed to parse arguments: Argument 'exec-file' required, but not found.
Invalid instance ID: Invalid char (_) at position 1
Invalid instance ID: Invalid len (0);  the length must be between 1 and 64
Invalid instance ID: Invalid len (65);  the length must be between 1 and 64
Failed to parse arguments: The argument 'id' was provided more than once.
Failed to parse arguments: Found argument 'what' which wasn't expected, or isn't valid in this context.
Failed to parse arguments: The argument 'exec-file' requires a value, but none was supplied.
Failed to canonicalize path /nonexistent: No such file or directory (os error 2)
WORK/bin/jailer is not a directory
Failed to canonicalize path /nonexistent: No such file or directory (os error 2)
WORK/jail is not a file
Invalid uid: x
Invalid gid: -1
Invalid gid: 4294967296
Parent cgroup path is invalid. Path should not be absolute or contain '..' or '.'
Parent cgroup path is invalid. Path should not be absolute or contain '..' or '.'
x is an invalid cgroup version specifier
Hierarchy not found: No hierarchy found for this cgroup version.
Invalid resource argument: nofile
Invalid format for resources limits: no-file
Invalid limit value for resource: x: invalid digit found in string
Failed to open file /nonexistent: No such file or directory (os error 2)
EOF
cat >"$work/cgroup-refusals" <<'EOF'
Controller nosuch is unavailable
Invalid format for cgroups: io.max=8:0=1
Invalid format for cgroups: io.max=
Cgroup invalid file: ../x.max=1
Cgroup invalid file: memory
EOF

refuses() { # WHAT BIN-DIRECTORY
	refusals "$2" >"$work/said"
	ok "$1 jailer refuses in these words" diff "$work/refusals" "$work/said"
	if [ -n "$cgroup2" ]; then
		cgroup_refusals "$2" >"$work/said"
		ok "$1 jailer refuses these cgroups" diff "$work/cgroup-refusals" "$work/said"
	else
		tap_result 0 "$1 jailer refuses these cgroups # SKIP no cgroup2 is mounted"
	fi
	rm -rf "$work/jail/firecracker"
}
refuses 'the fake' "$work/bin"
if [ -n "$real" ]; then
	refuses 'the real' "$real"
else
	tap_result 0 'the real jailer refuses so # SKIP FIRECRACKER_DIR is not set'
fi

# --- a jail ---------------------------------------------------------------------------------------

unshare --net sleep 600 &
children="$children $!"
netns=/proc/$!/ns/net
is_apart() {
	[ "$(readlink "$netns")" != "$(readlink /proc/self/ns/net)" ]
}
wait_for is_apart
uid=64123 gid=64124
jail=$work/jail/firecracker/vm-1
sock=$jail/root/run/firecracker.socket

# What must be seen in a jail whoever made it; devices that not every host has are left out.
describe_jail() { # PID
	sed -n '/^\(Uid\|Gid\|Groups\):/s/[[:space:]]*$//p' "/proc/$1/status"
	echo "environment: $(wc -c <"/proc/$1/environ") bytes"
	tr '\0' ' ' <"/proc/$1/cmdline" | sed 's/-us [0-9][0-9]*/-us N/g'
	echo
	echo "inherited: $(readlink /proc/"$1"/fd/* | grep -c "$work/inherited")"
	awk '/^Max (open files|file size)/ { print $1, $2, $3, $4, $5 }' "/proc/$1/limits"
	echo "network: $([ "$(readlink "/proc/$1/ns/net")" = "$(readlink "$netns")" ] && echo given)"
	echo "kept: $(cat "/proc/$1/root/kept/file" 2>/dev/null)"
	echo "pid file: $(grep -cx "$1" "$jail/root/firecracker.pid")"
	[ ! -d "$parent_cgroup" ] || echo "cgroup: $(grep -cx "$1" "$parent_cgroup/cgroup.procs")"
	find "$jail" -printf '%y %m %U:%G %P\n' | grep -v '/kvm$\|/userfaultfd$' | LC_ALL=C sort -k 4
}

jailed() { # BIN-DIRECTORY OPTION...
	bin=$1
	shift
	mkdir -p "$jail/root/kept"
	mountpoint -q "$jail/root/kept" || mount -t tmpfs tmpfs "$jail/root/kept"
	echo here >"$jail/root/kept/file"
	[ -z "$cgroup2" ] || mkdir "$parent_cgroup" 2>/dev/null
	SECRET=x "$bin/jailer" --id vm-1 --exec-file "$bin/firecracker" --uid $uid --gid $gid \
		--chroot-base-dir "$work/jail" --netns "$netns" --resource-limit no-file=1000 \
		--resource-limit fsize=1000000 ${cgroup2:+--cgroup-version 2} \
		--parent-cgroup "${parent_cgroup##*/}" "$@" \
		-- --api-sock /run/firecracker.socket \
		>"$work/jail.out" 2>&1 </dev/null 9>"$work/inherited" &
	child=$!
	children="$children $child"
}

unjail() {
	umount "$jail/root/kept" 2>/dev/null
	rm -rf "$work/jail/firecracker"
}

cat >"$work/description" <<EOF
Uid:	$uid	$uid	$uid	$uid
Gid:	$gid	$gid	$gid	$gid
Groups:
environment: 0 bytes
/firecracker --id vm-1 --start-time-us N --start-time-cpu-us N --parent-cpu-time-us N --api-sock /run/firecracker.socket 
inherited: 0
Max file size 1000000 1000000
Max open files 1000 1000
network: given
kept: here
pid file: 1
${cgroup2:+cgroup: 1
}d 755 0:0 
d 700 $uid:$gid root
d 700 $uid:$gid root/dev
d 700 $uid:$gid root/dev/net
c 600 $uid:$gid root/dev/net/tun
c 600 $uid:$gid root/dev/urandom
f 755 $uid:$gid root/firecracker
f 644 0:0 root/firecracker.pid
d 1777 0:0 root/kept
f 644 0:0 root/kept/file
d 700 $uid:$gid root/run
s 755 $uid:$gid root/run/firecracker.socket
EOF

jails() { # WHAT BIN-DIRECTORY
	jailed "$2"
	wait_for test -S "$sock"
	describe_jail "$child" >"$work/said" 2>&1
	ok "$1 jail is as described" diff "$work/description" "$work/said"
	like "$1 firecracker answers from inside" "$(request "$sock" GET /version)" ' 200'
	kill -KILL "$child"
	fate
	is "$1 jailer has become it" $end 137

	jailed "$2"
	fate
	is "$1 jailer refuses a stale jail" "$end $(head -n 1 "$work/jail.out")" \
		'1 Failed to create /dev/net/tun via mknod inside the jail: File exists (os error 17)'
	rm -rf "$jail/root/dev"
	jailed "$2"
	fate
	is "$1 jailer refuses a stale pid file" "$end $(head -n 1 "$work/jail.out")" \
		'1 Failed to open file /firecracker.pid: File exists (os error 17)'
	unjail

	jailed "$2" --new-pid-ns
	wait_for test -S "$sock"
	pid=$(cat "$jail/root/firecracker.pid")
	children="$children $pid"
	fate
	is "$1 jailer leaves a new pid namespace" "$end $(awk '/^NSpid/ { print $NF }' \
		"/proc/$pid/status")" '0 1'
	kill -KILL "$pid"
	unjail

	jailed "$2" --daemonize
	wait_for test -S "$sock"
	pid=$(cat "$jail/root/firecracker.pid")
	children="$children $pid"
	fate
	is "$1 jailer leaves a daemon" "$end $(readlink "/proc/$pid/fd/1")" '0 /dev/null'
	kill -KILL "$pid"
	unjail
}
jails 'the fake' "$work/bin"
if [ -n "$real" ]; then
	mkdir "$work/real"
	cp "$real/firecracker" "$real/jailer" "$work/real"
	jails 'the real' "$work/real"
else
	tap_result 0 'the real jail is as described # SKIP FIRECRACKER_DIR is not set'
fi

# The steps that fail when they are asked to, and what they leave.
for fail in copy netns chroot mknod exec; do
	cp "$fakes/jailer" "$work/jailer-fail-$fail"
	case $fail in
	copy) left= ;;
	netns | chroot) left='firecracker ' ;;
	mknod | exec) left='dev firecracker run ' ;;
	esac
	"$work/jailer-fail-$fail" --id vm-1 --exec-file "$work/bin/firecracker" --uid $uid \
		--gid $gid --chroot-base-dir "$work/jail" 2>"$work/said"
	is "jailer-fail-$fail" "$? $(head -n 1 "$work/said") $(ls "$jail/root" | tr '\n' ' ')" \
		"1 the fake was told to fail at $fail $left"
	rm -rf "$work/jail/firecracker"
done

done_testing
