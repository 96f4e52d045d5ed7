# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The steps of firecracker.t.

# The program is reached through a symbolic link, which the driver resolves at each start: a faulty
# one is put in its place without a restart of the daemon. use FAULTS: "" is the good one.
use() {
	program=$work/bin/firecracker${1:+-$1}
	[ -e "$program" ] || cp "$STOKER_BUILD/tests/fakes/firecracker" "$program"
	ln -sfn "$program" "$work/bin/current"
}

fc_host() {
	mkdir "$work/bin" "$run"
	cp "$STOKER_BUILD/tests/fakes/jailer" "$work/bin/jailer"
	use ""
	cat >>"$ini" <<-EOF
		restart_delay_min = 10ms
		restart_delay_max = 200ms
		firecracker = $work/bin/current
		jailer = $work/bin/jailer
	EOF
	sed -i 's/^boot_timeout = .*/boot_timeout = 20s\nguest_timeout = 12s/' "$ini"
	# What a probe of this host's KVM would find is of no interest to a fake.
	say_kvm hardware
	busybox_root "$work/root"
	oci_image "$work/image" "$work/root" '{"Entrypoint":["/bin/true"],"Cmd":["serve"]}'
}

say_kvm() { # STATE
	echo "$(cat /proc/sys/kernel/random/boot_id) $1" >"$run/kvm-state"
}

# write_vm NAME EXTRA: one VM of tenant acme in its own file, with further keys.
write_vm() {
	cat >"$fleet/$1.yaml" <<-EOF
		tenants:
		  $1:
		    subnets: [10.$2.0.0/24]
		    vms:
		      vm: {image: "oci:$work/image", memory: 64MiB, vmm: firecracker$3}
	EOF
}

message_has() { # VM TEXT
	member "$1" message | grep -qF -- "$2"
}

reason_is() { # VM REASON
	[ "$(member "$1" reason)" = "$2" ]
}

volume=", volumes: [{name: data, target: /srv, size: 16MiB}]"

fc_first_start() {
	write_vm web 20 "$volume"
	start_daemon
	ok "a VM runs under the fake Firecracker" wait_for 60 phase_is web/vm running
	web=$(member web/vm pid)
	is "status says what it runs on" "$(member web/vm vmm)" "firecracker 1.16.1 (kvm)"
	is "and why" "$(member web/vm vmm_why)" "the manifest or stoker.ini names it"
	log=$(ctl logs -n 100 web/vm)
	like "its output comes over vsock" "$log" "stdout workload runs"
}

fc_jail() {
	status=$(cat "/proc/$web/status")
	like "the VMM runs under the slot's uid" "$status" "Uid:	880002	880002	880002	880002"
	like "without capabilities" "$status" "CapEff:	0000000000000000"
	like "and can gain none" "$status" "NoNewPrivs:	1"
	is "the root of its file system is the jail" "$(ls "/proc/$web/root/")" "$(ls "/proc/$web/cwd/")"
	like "which is a small tmpfs" "$(grep ' / / ' "/proc/$web/mountinfo" || cat "/proc/$web/mountinfo")" "tmpfs"
	is "of which the host sees nothing" "$(ls "$run/vm/0/jail")" ""
	not_ok "the initramfs, which holds the secrets, is gone from it" \
		test -e "/proc/$web/root/initrd"
	like "the image is mounted read-only" "$(grep ' /base ' "/proc/$web/mountinfo")" " ro,"
	like "its volume can be written to" "$(grep ' /volume0 ' "/proc/$web/mountinfo")" " rw,"
	is "by its uid alone" "$(stat -c '%u %a' "/proc/$web/root/volume0")" "880002 600"
	is "and is the file that is kept" "$(stat -c %d:%i "/proc/$web/root/volume0")" \
		"$(stat -c %d:%i "$work/state/volumes/web/data.ext4")"
	is "its network namespace is its own and empty" \
		"$(nsenter --net="/proc/$web/ns/net" ip -o link | grep -vc ': lo:')" 0
	ok "its tap is the host's" in_host ip link show stk0
	like "up" "$(in_host ip -o link show stk0)" "UP"
	like "behind the guard" "$(ctl guard web/vm)" "accept"
	is "the upper layer has no name" "$(find "$work/state/disks" -type f)" ""
	like "its command line holds no secret, only its id" \
		"$(tr '\0' ' ' <"/proc/$web/cmdline")" "--id stk0"
}

# The rows of the table in stokerd(8), each by a guest's script; `restart: no` keeps the end.
fc_reasons() {
	while read -r vm net script reason number text; do
		write_vm "$vm" "$net" ", restart: \"no\", command: [$script]"
		ok "reload adds $vm" ctl reload
		ok "$vm ends as $reason" wait_for 90 reason_is "$vm/vm" "$reason"
		ok "$vm is at rest" wait_for 30 at_rest "$vm/vm"
		[ "$number" = - ] ||
			is "$vm: with its number" \
				"$(member "$vm/vm" exit_code)$(member "$vm/vm" exit_signal)" "$number"
		[ "$text" = - ] || like "$vm: in words" "$(member "$vm/vm" message)" "$text"
		rm "$fleet/$vm.yaml"
	done <<-'EOF'
		exits 31 exit,"3" exited 3 -
		signalled 32 signal,"11" signalled 11 -
		oom 33 oom guest-oom - out of memory in the guest, its kernel killed tail (pid 7)
		left 45 daemonised daemonised - left 1 process running (httpd): it is to run in the foreground
		pid1 46 init-killed init-killed - kernel panic, as its init was made to end, exit code 0
		init 34 init-error start-error - -
		panic 35 panic panic - kernel panic on the console, exit code 0
		early 36 panic,early panic - kernel panic on the console
		reset 37 reboot guest-ended - the guest was reset, exit code 0
		crash 38 vmm-crash,"11" vmm-crashed 11 signal 11
		filter 39 vmm-exit,"148" vmm-crashed - exit code 148 (a system call that its filter forbids)
		silent 40 silent boot-timeout - no word from the guest within 20 s
		halt 41 power-off lost-channel - the guest has said nothing for 12 s
		lose 42 lose-channel lost-channel - -
	EOF
	write_vm gone 44 ", restart: \"no\""
	ctl reload >/dev/null
	wait_for 60 phase_is gone/vm running
	kill_vmm KILL "$(member gone/vm pid)"
	ok "a VMM killed from outside is told as such" wait_for 30 reason_is gone/vm vmm-killed
	is "with the signal" "$(member gone/vm exit_signal)" 9
	sed -i "s|oci:$work/image|oci:$work/none|" "$fleet/gone.yaml"
	ctl reload >/dev/null
	ok "an image that is not there" wait_for 30 reason_is gone/vm image-error
	rm "$fleet/gone.yaml"
	write_vm sick 47 ", command: [sick], restart: \"no\", healthcheck: {tcp: \":1\", on_unhealthy: stop}"
	ctl reload >/dev/null
	ok "one that is not to be unhealthy is stopped" wait_for 60 reason_is sick/vm unhealthy
	is "and it is said why" "$(member sick/vm message)" "3 checks failed, the last: as the script"
	rm "$fleet/sick.yaml"
	write_vm stops 45 ", command: [slow-stop], stop_grace_period: 1s"
	ctl reload >/dev/null
	wait_for 60 phase_is stops/vm running
	ok "an operator's restart" ctl restart stops/vm
	ok "is told as such" wait_for 60 reason_is stops/vm operator
	rm "$fleet/stops.yaml"
	ok "all of them are removed" ctl reload
	only_web() { [ "$(ctl status --json | grep -c '"name"')" -eq 1 ]; }
	ok "and gone" wait_for 90 only_web
	is "while the first VM was not touched" "$(member web/vm pid)" "$web"
}

at_rest() {
	case $(member "$1" phase) in stopped | failed | backoff) ;; *) return 1 ;; esac
}

# fails_with FAULT TEXT: with this program the VM does not start, and says why; with the good one it
# does, again.
fails_with() {
	use "$1"
	ctl restart web/vm >/dev/null
	ok "$1: the operator reads why" wait_for 90 message_has web/vm "$2"
	use ""
	wait_for 60 phase_is web/vm running || ctl restart web/vm
	ok "and with a good program it runs" wait_for 90 phase_is web/vm running
}

fc_failures() {
	fails_with fail-PUT-vsock "Firecracker refused PUT /vsock: "
	fails_with fail-PUT-network-interfaces "Firecracker refused PUT /network-interfaces/net0: "
	fails_with fail-PUT-actions "Firecracker refused PUT /actions: "
	fails_with full-disk "No space left on device"
	fails_with garbage-http "Firecracker's API: PUT /logger: "
	fails_with exit-1 "exit code 1 before the guest was started"
	fails_with old-1.5.0 "Firecracker 1.5.0 is too old (1.8 or later is needed)"
	fails_with garbage-version "does not say its version as Firecracker does"
	before=$(descriptors)
	use slow-api
	ctl restart web/vm >/dev/null
	ok "a slow API is waited for" wait_for 120 phase_is web/vm running
	use old-1.8.0
	ctl restart web/vm >/dev/null
	runs_old() { [ "$(member web/vm vmm)" = "firecracker 1.8.0 (kvm)" ] && phase_is web/vm running; }
	ok "the oldest release that is supported runs" wait_for 90 runs_old
	use ""
	ctl restart web/vm >/dev/null
	ok "and the newest again" wait_for 90 runs_new
	is "none of it cost a descriptor" \
		"$(descriptors)" "$before"
}

runs_new() {
	[ "$(member web/vm vmm)" = "firecracker 1.16.1 (kvm)" ] && phase_is web/vm running
}

# Death before, in and after each call: the VM is started again until a program lets it.
fc_deaths() {
	for call in PUT-logger PUT-metrics PUT-serial PUT-machine-config PUT-boot-source \
		PUT-drives-base PUT-drives-upper PUT-drives-volume0 PUT-network-interfaces-net0 \
		PUT-balloon PUT-vsock PUT-entropy PUT-actions; do
		for when in before between after; do
			use "die-$when-$call"
			restarts=$(member web/vm restarts)
			ctl restart web/vm >/dev/null
			died() { [ "$(member web/vm restarts)" -gt "$restarts" ]; }
			wait_for 60 died || diag "no death $when $call"
			died || deathless="$deathless $when-$call"
		done
	done
	is "a VMM died before, in and after each call, and was started again" "${deathless:-}" ""
	use ""
	ok "in the end it runs" wait_for 60 phase_is web/vm running
	is "on one tap" "$(in_host ip -o link show | grep -c 'stk[0-9]')" 1
	ok "as one process" wait_for 10 runs_once
	is "and no zombie is left" "$(ps --ppid "$daemon_pid" -o stat= | grep -c Z)" 0
}
deathless=

runs_once() {
	[ "$(find /proc -maxdepth 1 -name '[0-9]*' -uid 880002 | wc -l)" -eq 1 ]
}

next_daemon() {
	start_daemon
	wait_for 30 ctl status
}

kill_daemon() {
	kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
}

fc_adoption() {
	web=$(member web/vm pid)
	kill_daemon
	next_daemon
	ok "the next daemon takes the VM over" wait_for 60 phase_is web/vm running
	is "as the process that it is" "$(member web/vm pid)" "$web"
	is "and knows what it runs on" "$(member web/vm vmm)" "firecracker 1.16.1 (kvm)"
	is "and why" "$(member web/vm vmm_why)" "the manifest or stoker.ini names it"

	use hang-start
	ctl restart web/vm >/dev/null
	hangs() { phase_is web/vm booting && [ -e "/proc/$(member web/vm pid)/root/v.sock" ]; }
	ok "a VM whose start hangs" wait_for 60 hangs
	half=$(member web/vm pid)
	kill_daemon
	use ""
	next_daemon
	ok "is not taken over but started anew" wait_for 90 runs_anew web/vm "$half"
	like "and the log says so" "$(cat "$work/daemon.log")" "its guest was not started yet"
	not_ok "its process is gone" test -e "/proc/$half/root/v.sock"

	# At any instant of a start: slow calls leave time for it.
	use slow-api
	for delay in 0.3 2.4 6.3 10.2; do
		ctl restart web/vm >/dev/null
		sleep "$delay"
		kill_daemon
		next_daemon
	done
	use ""
	kill_daemon
	next_daemon
	ok "after daemons that were killed within a start, it runs" \
		wait_for 120 phase_is web/vm running
	ok "once" wait_for 10 runs_once
	is "on one tap" "$(in_host ip -o link show | grep -c 'stk[0-9]')" 1
}

fc_live() {
	ctl restart web/vm >/dev/null
	wait_for 60 runs_new
	web=$(member web/vm pid)
	write_vm web 20 "$volume, rate: {disk: {bandwidth: 10MiB, iops: 100}}, balloon: 0MiB"
	like "a change of limits is live" "$(ctl plan)" "update"
	ok "applied" ctl reload
	is "without touching the VM" "$(member web/vm pid)" "$web"
	use fail-PATCH-drives-upper
	ctl restart web/vm >/dev/null
	wait_for 60 runs_anew web/vm "$web"
	web=$(member web/vm pid)
	write_vm web 20 "$volume, rate: {disk: {bandwidth: 20MiB}}"
	ok "a change that Firecracker refuses" ctl reload
	ok "is told" wait_for 30 message_has web/vm "Firecracker refused PATCH /drives/upper: "
	is "and the VM goes on" "$(member web/vm phase) $(member web/vm pid)" "running $web"
	use ""
}

# The scripted guest answers pings as long as it runs: paused for longer than guest_timeout, it must
# not be taken for one that hangs. It is the one of fc_live, which refuses other limits.
fc_pause() {
	ok "stokerctl pause" ctl pause web/vm
	ok "it is paused" wait_for 30 phase_is web/vm paused
	is "which stops the whole process" "$(awk '/^State/ { print $2 }' "/proc/$web/status")" T
	write_vm web 20 "$volume, rate: {disk: {bandwidth: 30MiB}}"
	ok "a live change is taken" ctl reload
	sleep 15
	is "and stays so" "$(member web/vm phase) $(member web/vm pid)" "paused $web"
	kill_daemon
	next_daemon
	is "the next daemon finds it paused" "$(member web/vm phase) $(member web/vm pid)" \
		"paused $web"
	ok "stokerctl resume" ctl resume web/vm
	ok "it runs" wait_for 30 phase_is web/vm running
	is "as the same process" "$(member web/vm pid)" "$web"
	ok "and hears of the change now" \
		wait_for 30 message_has web/vm "Firecracker refused PATCH /drives/upper: "
}

fc_choice() {
	sed -i 's/vmm: firecracker/vmm: auto/' "$fleet/web.yaml"
	ok "with vmm: auto, and a KVM that is usable" ctl reload
	wait_for 60 runs_anew web/vm "$web"
	is "Firecracker is taken" "$(member web/vm vmm_why)" \
		"auto: Firecracker is installed and KVM is usable"
	stop_daemon
	say_kvm unusable
	sed -i 's/vmm: auto/vmm: firecracker/' "$fleet/web.yaml"
	next_daemon
	ctl restart web/vm >/dev/null
	ok "without a usable KVM it is refused, with the way out" wait_for 60 message_has web/vm \
		"Firecracker needs KVM, which is unusable here (vmm: qemu does without; see stokerctl doctor)"
	stop_daemon
	say_kvm hardware
	sed -i '/^jailer = /a jail = no' "$ini"
	next_daemon
	unjailed() { [ "$(member web/vm vmm)" = "firecracker 1.16.1 (kvm, unjailed)" ] && phase_is web/vm running; }
	ctl restart web/vm >/dev/null
	ok "jail = no runs it without the jailer, and status says so" wait_for 60 unjailed
	web=$(member web/vm pid)
	like "still under the slot's uid" "$(cat "/proc/$web/status")" "Uid:	880002	880002"
	like "and without capabilities" "$(cat "/proc/$web/status")" "CapEff:	0000000000000000"
	is "in an empty network namespace" \
		"$(nsenter --net="/proc/$web/ns/net" ip -o link | grep -vc ': lo:')" 0
	stop_daemon
	sed -i '/^jail = no/d' "$ini"
	next_daemon
	ok "it is taken over when jail is yes again" wait_for 60 unjailed
}

fc_end() { # UID_BASE
	rm -f "$fleet"/*.yaml
	ok "all is removed" ctl reload
	stop_daemon
	is "the daemon ends with 0" $? 0
	is "nothing is left behind" "$(left_behind "$1")" ""
}
