# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# The steps of fleet.t and of memory.t, which runs some of them with a daemon under AddressSanitizer.

make_images() {
	busybox_root "$work/root"
	mkdir "$work/root/data"
	echo page >"$work/root/www/index.html"
	cat >"$work/root/bin/report" <<-'EOF'
		#!/bin/sh
		echo "user=$(id -u):$(id -g) groups=$(id -G) cwd=$(pwd) args=$*"
		echo "env=$FROM_IMAGE,$FROM_MANIFEST,$BOTH path=$PATH home=$HOME"
		echo "host=$(hostname) hosts=$(tr '\n' ';' </etc/hosts)"
		echo "addresses=$(ip -o addr show dev eth0 | awk '{print $4}' | tr '\n' ' ')"
		echo "to stderr" >&2
		logger -t tagged -p daemon.notice "to syslog"
		touch /data/written && echo "writable=yes"
		echo "root=$(awk '$2 == "/" { t = $3 } END { print t }' /proc/mounts)"
		exec httpd -f -p 8080 -h /www
	EOF
	chmod 755 "$work/root/bin/report"
	chmod 1777 "$work/root/data"
	oci_image "$work/report" "$work/root" \
		'{"Entrypoint":["report"],"Cmd":["one","two words"],"Env":["PATH=/bin","FROM_IMAGE=image","BOTH=image"],"User":"app","WorkingDir":"/data","StopSignal":"SIGINT"}'
	oci_image "$work/shell" "$work/root" \
		'{"Entrypoint":["/bin/sh","-c"],"Cmd":["sleep 100000"],"Env":["PATH=/bin"]}'
}

logs_have() { # VM TEXT
	ctl logs -n 400 "$1" | grep -qF -- "$2"
}

wait_phase() { # VM PHASE
	wait_for 300 phase_is "$1" "$2"
}

wait_answer() { # URL
	wait_for 120 in_host curl -gsfm 5 "$1"
}

write_fleet() {
	cat >"$fleet/a.yaml" <<-EOF
		tenants:
		  acme:
		    subnets: [10.20.0.0/24, "fd00:20::/64"]
		    limits: {vms: 10, memory: 4GiB}
		    vms:
		      web:
		        image: oci:$work/report
		        addresses: [10.20.0.10, "fd00:20::10"]
		        environment: {FROM_MANIFEST: manifest, BOTH: manifest}
		        extra_hosts: ["upstream:192.0.2.7"]
		        labels: {stage: one}
		      peer:
		        image: oci:$work/shell
		        command: ["trap 'exit 0' TERM; while :; do sleep 1; done"]
	EOF
}

# A server of RFC 5424 that keeps all it hears in $work/forwarded; it ends with this shell.
start_log_server() {
	nsenter --net="/run/netns/$netns" setpriv --pdeathsig KILL perl -MIO::Socket::INET -e '
		my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:5514", Listen => 4,
			ReuseAddr => 1) or die "$@\n";
		$| = 1;
		print "it listens\n";
		while (my $client = $server->accept) {
			while (sysread $client, my $bytes, 65536) {
				print $bytes;
			}
		}' >"$work/forwarded" 2>&1 &
}

fleet_first_start() {
	write_fleet
	start_log_server # not by ok, which is a shell of its own
	ok "a server of logs runs" wait_for 60 grep -q "it listens" "$work/forwarded"
	printf '[log]\nforward = tcp://127.0.0.1:5514\n' >>"$ini"
	# A stokerd that has never run plans from nothing, and changes nothing.
	plan=$(in_host "$STOKERD" -n -c "$ini" 2>&1)
	like "stokerd -n plans without effects" "$plan" "2 to create"
	is "stokerd -n leaves no state" "$(ls "$work/state" 2>/dev/null)" ""
	start_daemon
	ok "the first VM runs" wait_phase acme/web running
	ok "the second VM runs" wait_phase acme/peer running
	is "each image is one file" \
		"$(find "$work/state/images/squashfs" -name '*.sqfs' | wc -l)" 2
}

# boot_times VM: "kernel init workload" in milliseconds, as the guest tells them.
boot_times() {
	ctl status "$1" --json | perl -MJSON::PP -0777 -ne '
		my $b = decode_json($_)->{instances}[0]{boot};
		print "$b->{kernel_ms} $b->{init_ms} $b->{workload_ms}" if $b'
}

fleet_workload() {
	ok "the workload answers over IPv4" wait_answer http://10.20.0.10:8080/
	ok "the workload answers over IPv6" wait_answer 'http://[fd00:20::10]:8080/'
	ok "its syslog is heard" wait_for 60 logs_have acme/web "to syslog"
	log=$(ctl logs -n 100 acme/web)
	like "user and group by name, cwd and arguments as the image says" "$log" \
		"user=1000:1000 groups=1000 cwd=/data args=one two words"
	like "the environment of both, the manifest's first" "$log" \
		"env=image,manifest,manifest path=/bin"
	like "its host name" "$log" "host=web "
	like "its own and extra names in /etc/hosts" "$log" "192.0.2.7"
	like "the tenant's other VMs in /etc/hosts" "$log" "peer"
	like "its addresses, both families" "$log" "10.20.0.10/32"
	like "its addresses, IPv6" "$log" "fd00:20::10/128"
	like "stderr is told apart" "$log" " stderr to stderr"
	like "its syslog is told by stream, severity and tag" "$(ctl logs --stream syslog --severity notice --json acme/web)" \
		'"severity":"notice","facility":"daemon","tag":"tagged","message":"to syslog"'
	is "which picks nothing else" \
		"$(ctl logs -n 0 --stream syslog,stderr acme/web | grep -cvE '^[^ ]* (syslog|stderr) ')" 0
	like "and by time" "$(ctl logs --since '1 day ago' --stream stderr acme/web)" "to stderr"
	is "of which there is none in the future" "$(ctl logs --since 2999-01-01 acme/web)" ""
	ok "a server of RFC 5424 gets it" wait_for 60 grep -aqF \
		' [stoker@32473 tenant="acme" vm="web" stream="syslog" facility="daemon" tag="tagged"] to syslog' \
		"$work/forwarded"
	like "which the daemon knows" "$(curl -s --unix-socket "$run/metrics.sock" http://localhost/metrics)" \
		"stoker_log_forward_up 1"
	like "the root is an overlay" "$log" "root=overlay"
	like "which is writable" "$log" "writable=yes"
	is "the writable layer has no name on disk that a crash could leave" \
		"$(find "$work/state/disks" -type f | wc -l)" 0
	like "the VMM runs under a uid of its own" \
		"$(grep Uid "/proc/$(member acme/web pid)/status")" "81000"
	like "without capabilities" "$(grep CapEff "/proc/$(member acme/web pid)/status")" \
		"0000000000000000"
	like "under a system call filter" "$(grep 'Seccomp:' "/proc/$(member acme/web pid)/status")" 2
	# Each is cut to milliseconds.
	like "and how long kernel and init took" "$(boot_times acme/web | awk '
		NF == 3 && $1 > 0 && $3 - $1 - $2 >= 0 && $3 - $1 - $2 <= 1 { print "one after the other" }')" \
		"one after the other"
	like "status tells the accelerator" "$(ctl status acme/web --json)" '"qemu (tcg)"'
}

fleet_exits() {
	cat >"$fleet/exits.yaml" <<-EOF
		tenants:
		  exits:
		    subnets: [10.21.0.0/24]
		    vms:
		      seven: {image: "oci:$work/shell", command: [exit 7], restart: "no"}
		      failing: {image: "oci:$work/shell", command: [exit 3], restart: "on-failure:1"}
		      nosuch: {image: "oci:$work/shell", entrypoint: [/no/such/binary], command: [], restart: "no"}
		      refused: {image: "oci:$work/absent"}
	EOF
	ok "a reload adds them" ctl reload
	ok "restart: no leaves a VM that exited" wait_phase exits/seven stopped
	is "with its exit code" "$(member exits/seven reason) $(member exits/seven exit_code)" "exited 7"
	ok "on-failure:1 gives up after one more try" wait_phase exits/failing failed
	is "after so many restarts" "$(member exits/failing restarts)" 1
	ok "a missing binary is told, not a panic" wait_phase exits/nosuch stopped
	like "with its name" "$(member exits/nosuch message)" "/no/such/binary"
	ok "an image that is not there fails its own VM" wait_phase exits/refused failed
	like "with the path" "$(member exits/refused message)" "$work/absent"
	ok "and no other" phase_is acme/web running
	rm "$fleet/exits.yaml"
	ok "removing the manifest removes them" ctl reload
	gone() { [ -z "$(member exits/seven phase)$(member exits/refused phase)" ]; }
	ok "they are gone" wait_for 60 gone
}

fleet_restart() {
	old=$(member acme/web pid)
	kill_vmm KILL "$old"
	ok "a VMM that was killed is started again" wait_for 300 runs_anew acme/web "$old"
	is "and why is remembered" "$(member acme/web reason) $(member acme/web exit_signal)" \
		"vmm-killed 9"
	ok "it answers again" wait_answer http://10.20.0.10:8080/
	old=$(member acme/web pid)
	ok "stokerctl restart stops it gracefully and starts it" ctl restart acme/web
	ok "which gives a new VMM" wait_for 300 runs_anew acme/web "$old"
}

fleet_reload() {
	web=$(member acme/web pid)
	peer=$(member acme/peer pid)
	ok "a reload without a change is accepted" ctl reload
	is "and touches nothing" "$(member acme/web pid) $(member acme/peer pid)" "$web $peer"

	sed -i 's/stage: one/stage: two/' "$fleet/a.yaml"
	like "a live change is planned as such" "$(ctl plan)" "update"
	ok "applied" ctl reload
	like "seen in status" "$(ctl status acme/web --json)" "stage=two"
	is "without touching the VM" "$(member acme/web pid)" "$web"

	sed -i '/^      peer:/,$d' "$fleet/a.yaml"
	cat >>"$fleet/a.yaml" <<-EOF
		      other:
		        image: oci:$work/shell
	EOF
	sed -i 's/stage: two}/&\n        memory: 160MiB/' "$fleet/a.yaml"
	plan=$(ctl plan)
	like "the plan removes" "$plan" "remove"
	like "creates" "$plan" "create"
	like "and says what forces a replacement" "$plan" "memory: 128MiB -> 160MiB"
	ok "SIGHUP applies it" kill -HUP "$daemon_pid"
	settled() {
		phase_is acme/other running && runs_anew acme/web "$web" &&
			[ -z "$(member acme/peer phase)" ]
	}
	ok "the result is as planned" wait_for 300 settled
	is "with the new memory" "$(member acme/web memory_bytes)" 167772160
	not_ok "the removed VM's process is gone" test -e "/proc/$peer"
}

fleet_refusals() {
	before=$(vmm_pids)
	echo "tenants: {bad: {subnets: [10.20.0.0/16], memroy: 1}}" >"$fleet/bad.yaml"
	not_ok "an invalid set is refused" ctl reload
	refusal=$(ctl reload 2>&1)
	like "with file, line and column" "$refusal" "bad.yaml:1:"
	like "with a suggestion or the overlap" "$refusal" "overlap"
	is "and changes nothing" "$(vmm_pids)" "$before"
	like "status says why" "$(ctl status 2>&1)" "bad.yaml"
	rm "$fleet/bad.yaml"
	ok "a valid set is taken again" ctl reload
	chmod 666 "$fleet/a.yaml"
	not_ok "a file that anybody may write is refused" ctl reload
	chmod 644 "$fleet/a.yaml"
}

fleet_adoption() {
	cat >"$fleet/job.yaml" <<-EOF
		tenants:
		  jobs:
		    subnets: [10.23.0.0/24]
		    vms:
		      once: {image: "oci:$work/shell", command: [echo ran; exit 5], restart: "no"}
	EOF
	ok "a job is added" ctl reload
	ok "and ends" wait_phase jobs/once stopped
	before=$(vmm_pids)
	web=$(member acme/web pid)
	times=$(boot_times acme/web)
	kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	ok "VMs outlive the daemon" wait_answer http://10.20.0.10:8080/
	start_daemon
	ok "the next daemon adopts them" wait_phase acme/web running
	ok "all of them" wait_phase acme/other running
	is "with the same processes" "$(vmm_pids)" "$before"
	is "and the same word on how they booted" "$(boot_times acme/web)" "$times"
	is "a job that is done stays done" \
		"$(member jobs/once phase) $(member jobs/once exit_code)" "stopped 5"
	is "and ran once" "$(ctl logs -n 100 jobs/once | grep -c 'stdout ran')" 1
	rm "$fleet/job.yaml"
	ok "it is removed" ctl reload
	kill_vmm KILL "$web"
	ok "and restarts an adopted VM that is killed" wait_for 300 runs_anew acme/web "$web"

	# A daemon that leaves properly does not touch its VMs either.
	before=$(vmm_pids)
	stop_daemon # not in a subshell, which could not wait for it
	is "SIGTERM ends the daemon with 0" $? 0
	sed -i 's/stage: two/stage: three/' "$fleet/a.yaml"
	start_daemon
	ok "and the next one goes on" wait_phase acme/web running
	is "with what runs" "$(vmm_pids)" "$before"
	like "as the manifests say by now" "$(ctl status acme/web --json)" "stage=three"
}

# The service manager's side of sd_notify(3), in the background: prints each datagram that arrives.
notify_listen() { # SOCKET
	exec perl -MSocket -e '
		socket my $s, PF_UNIX, SOCK_DGRAM, 0 or die; bind $s, sockaddr_un($ARGV[0]) or die;
		$| = 1; while (defined recv $s, my $m, 4096, 0) { print "$m\n" }' "$1"
}

fleet_notify() {
	notify_listen "$work/notify" >"$work/notified" 2>&1 &
	listener=$!
	wait_for 30 test -S "$work/notify"
	NOTIFY_SOCKET=$work/notify
	export NOTIFY_SOCKET
	stop_daemon
	start_daemon
	unset NOTIFY_SOCKET
	told() { grep -q "$1" "$work/notified"; }
	ok "the service manager is told when it is ready" wait_for 60 told '^READY=1'
	ok "in words too" told '^STATUS=the fleet is as the manifests say'
	kill -HUP "$daemon_pid"
	ok "and of reloads" wait_for 60 told '^RELOADING=1'
	ok "with their time" told '^MONOTONIC_USEC=[0-9]'
	stop_daemon
	ok "and of the end" wait_for 60 told '^STOPPING=1'
	kill "$listener"
	start_daemon
	ok "the VMs have seen nothing of all that" wait_phase acme/web running
}

fleet_flood() {
	cat >"$fleet/flood.yaml" <<-EOF
		tenants:
		  flood:
		    subnets: [10.22.0.0/24]
		    vms:
		      noisy: {image: "oci:$work/shell", command: [exec yes floods-the-log]}
	EOF
	ok "a guest that floods its log is started" ctl reload
	flooded() { [ "$(member flood/noisy log_dropped_bytes)" -gt 100000 ]; }
	ok "the surplus is dropped and counted" wait_for 300 flooded
	ok "its log stays within the cap" \
		test "$(du -sk "$work/log/flood" | cut -f1)" -le $((3 * 10240 + 64))
	ok "others are served" in_host curl -sfm 20 http://10.20.0.10:8080/
	ok "and so is the operator" ctl status
	rm "$fleet/flood.yaml"
	ok "it is removed" ctl reload
}

fleet_end() { # UID_BASE
	rm -f "$fleet"/*.yaml
	ok "an empty fleet stops everything" ctl reload
	empty() { [ -z "$(vmm_pids)" ]; }
	ok "no VMM is left" wait_for 120 empty
	stop_daemon
	is "the daemon ends with 0" $? 0
	is "nothing is left behind" "$(left_behind "$1")" ""
	# What the steps provoked is expected; anything else would be here. A boot that comes to a
	# stop under emulation is ended and tried again: see CAVEATS in stokerd(8).
	grep -E ' error: | warning: ' "$work/daemon.log" |
		grep -vE 'exits/|\[log\] forward|manifests refused|a.yaml: writable|bad.yaml|: vmm-|: boot-timeout: |error: +(\^|tenants:)' \
			>"$work/complaints"
	is "and the daemon had nothing else to complain about" "$(cat "$work/complaints")" ""
}
