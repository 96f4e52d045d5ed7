# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# Sourced by inside.sh: the control groups of VMs under one driver, and guests that want more than
# they may have, beside acme/web, which must not notice.

# leaf VM: its group's directory; of one that has ended, a place where nothing is.
leaf() {
	leaf_group=$(sed -n 's/^0:://p' "/proc/$(member "$1" pid)/cgroup" 2>/dev/null)
	case $leaf_group in
	*/stoker-vms.service/*) echo "/sys/fs/cgroup$leaf_group" ;;
	*) echo "/no-group-of-$1" ;;
	esac
}

limit() { # VM FILE
	cat "$(leaf "$1")/$2"
}

at_most() { # NUMBER MAXIMUM
	[ -n "$1" ] && [ "$1" -le "$2" ] && return
	echo "${1:-nothing} is more than $2"
	return 1
}

# counted VM FILE KEY: a number of a file of "KEY NUMBER" lines.
counted() {
	limit "$1" "$2" | sed -n "s/^$3 //p"
}

# cpu_share VM: percent of one CPU, over ten seconds; nothing, if it ends meanwhile.
cpu_share() {
	share_from=$(counted "$1" cpu.stat usage_usec)
	share_begin=$(date +%s%N)
	sleep 10
	share_to=$(counted "$1" cpu.stat usage_usec)
	share_end=$(date +%s%N)
	[ -z "$share_from" ] || [ -z "$share_to" ] ||
		echo $(((share_to - share_from) * 100000 / (share_end - share_begin)))
}

# measure_hog CPU.MAX: sets `share`. What is emulated twice may break a guest's kernel: that is told,
# and the hog begins anew.
measure_hog() {
	for hog_try in 1 2 3; do
		echo "$1" >"$(leaf greedy/hog)/cpu.max"
		share=$(cpu_share greedy/hog)
		[ -z "$share" ] || return
		diag "greedy/hog ended:
$(ctl status greedy/hog)
$(journalctl -u stokerd -n 200 --no-pager | grep greedy/hog:)
$(ctl logs -n 30 greedy/hog)"
		case $(member greedy/hog reason) in
		panic | guest-ended) ;;
		*) return ;;
		esac
		ctl restart greedy/hog >/dev/null
		past_boot greedy/hog
	done
}

# add_greedy DRIVER VM...: each a line of YAML; they take the place of those that were there. Few at a
# time: on an emulated processor that guests share, they would see no end of their boots.
add_greedy() {
	cat >"$fleet/greedy.yaml" <<-END
		x-greedy: &greedy {image: "oci:/srv/images/busybox", vmm: $1, restart: "no"}
		tenants:
		  greedy:
		    subnets: [10.40.0.0/24]
		    vms:
	END
	add_driver=$1
	shift
	printf '      %s\n' "$@" >>"$fleet/greedy.yaml"
	ok "$add_driver: greedy guests are added" systemctl reload stokerd
}

limits_set() { # DRIVER
	like "$1: a VM runs in a group of its own" "$(leaf acme/web)" "/stoker-vms.service/acme/stk"
	ok "$1: memory: the guest's" test "$(limit acme/web memory.max)" -gt 134217728
	ok "$1: and not as much again" test "$(limit acme/web memory.max)" -lt 268435456
	is "$1: none of it is swapped" "$(limit acme/web memory.swap.max)" 0
	is "$1: CPU: the guest's, and a quarter" "$(limit acme/web cpu.max)" "125000 100000"
	ok "$1: threads: those it needs" at_most "$(limit acme/web pids.max)" 80
}

# past_boot VM: its workload began.
past_boot() {
	for past_try in 1 2 3 4 5; do
		wait_for 300 has_begun "$1"
		timerless "$1" || return 0
		ctl restart "$1" >/dev/null
	done
}

limits_memory() { # DRIVER
	add_greedy "$1" \
		'eater: {<<: *greedy, command: ["dd if=/dev/zero of=/dev/shm/fill bs=1M count=40; sleep 100000"]}' \
		'starved: {<<: *greedy, command: [exec tail /dev/zero]}'
	past_boot greedy/eater
	past_boot greedy/starved
	ok "$1: a guest fills its memory" wait_for 300 logs_have greedy/eater "stderr 40+0 records out"
	ok "$1: its group stays within its limit" \
		at_most "$(limit greedy/eater memory.peak)" "$(limit greedy/eater memory.max)"
	ok "$1: one that wants more than there is ends" wait_phase greedy/starved stopped
	is "$1: and says why" "$(member greedy/starved reason)" guest-oom ||
		diag "$(ctl logs -n 40 greedy/starved)"
	is "$1: the host had no reason to kill either" \
		"$(sed -n 's/^oom_kill //p' "$(dirname "$(leaf greedy/eater)")/memory.events")" 0

	# A VMM that grows beyond what it may have, shown from the other side.
	echo 33554432 >"$(leaf greedy/eater)/memory.max"
	ok "$1: a VMM beyond its limit is killed" wait_phase greedy/eater stopped
	is "$1: by the host" "$(member greedy/eater reason)" vmm-killed
	like "$1: which says why" "$(member greedy/eater message)" "out of memory in its cgroup"
}

limits_forks() { # DRIVER
	add_greedy "$1" 'bomb: {<<: *greedy, command: ["b() { b | b & }; b; sleep 100000"]}'
	past_boot greedy/bomb
	ok "$1: a guest forks without end" has_begun greedy/bomb
	pid=$(member greedy/bomb pid)
	ok "$1: the host sees no more threads than it allows" \
		at_most "$(limit greedy/bomb pids.current)" "$(limit greedy/bomb pids.max)"
	is "$1: and no processes" "$(pgrep -c -u "$(stat -c %u "/proc/$pid" 2>/dev/null || echo 1)")" 1
}

has_begun() { # VM: it is past its boot
	[ "$(member "$1" running_ms)" -gt 0 ] || phase_is "$1" stopped || phase_is "$1" failed
}

limits_cpu() { # DRIVER
	add_greedy "$1" 'hog: {<<: *greedy, replicas: 3, command: ["while :; do :; done"]}'
	for hog in hog hog.2 hog.3; do
		past_boot greedy/$hog
		ok "$1: $hog runs" wait_phase greedy/$hog running
	done
	ok "$1: three guests that only compute, on fewer CPUs: another one answers" \
		curl -sfm 30 http://10.20.0.10/
	# Its part of one CPU would be a third.
	measure_hog "$(limit greedy/hog cpu.max)"
	ok "$1: one of them takes what it gets" at_most 16 "$share"
	measure_hog "10000 100000"
	ok "$1: all of a VMM obeys its limit" at_most "$share" 15
	ok "$1: by being throttled" test "$(counted greedy/hog cpu.stat nr_throttled)" -gt 0
}

vm_limits() { # DRIVER
	web=$(member acme/web pid)
	limits_set "$1"
	limits_memory "$1"
	limits_forks "$1"
	limits_cpu "$1"
	rm "$fleet/greedy.yaml"
	ok "$1: they are removed" systemctl reload stokerd
	greedy_gone() { ! ctl status | grep -q greedy/; }
	ok "$1: all of them" wait_for 120 greedy_gone
	is "$1: with their groups" "$(ls -d /sys/fs/cgroup/system.slice/stoker-vms.service/greedy 2>&1 | grep -v 'No such')" ""
	is "$1: the neighbour is the process that it was" "$(member acme/web pid)" "$web"
}
