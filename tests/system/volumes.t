#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Named volumes with real guests: filled from the image at the first use, kept by a guest that panics,
# a VMM that dies while no daemon is there, a replace and a change of name, made larger, and pruned
# when nobody has them any more.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

lib_host volumes 899000
busybox_root "$work/root"
mkdir -p "$work/root/srv/below" "$work/root/data" "$work/root/run"
echo seed >"$work/root/srv/below/seed"
ln -s below/seed "$work/root/srv/link"
chmod 640 "$work/root/srv/below/seed"
chmod 2750 "$work/root/srv"
cat >"$work/root/bin/work" <<'END'
#!/bin/sh
echo "$ROUND: $(stat -c '%a %n' /srv /srv/below/seed | tr '\n' ' ')$(cat /srv/link 2>&1)"
echo "$ROUND: content $(ls -A /srv | tr '\n' ' ')"
rm -rf /srv/link /srv/below
echo line >>/srv/lines
echo line >>/srv/inner/lines
touch "/run/$ROUND" && sync
echo "$ROUND: lines $(wc -l </srv/lines), inner $(wc -l </srv/inner/lines)"
touch /data/x || echo "$ROUND: sealed"
echo "$ROUND: run $(stat -f -c %T /run) $(ls -A /run | tr '\n' ' ')"
echo "$ROUND: blocks $(($(df -k /srv | awk 'NR == 2 { print $2 }') / 1024))"
echo "$ROUND: ready"
nc -l -p 7 >/dev/null
echo c >/proc/sysrq-trigger
END
chmod 755 "$work/root/bin/work"
oci_image "$work/image" "$work/root" '{"Entrypoint":["/bin/work"],"Env":["PATH=/bin"]}'

# fleet VM ROUND SIZE: the one VM there is.
fleet() {
	cat >"$fleet/a.yaml" <<-END
		tenants:
		  acme:
		    subnets: [10.20.0.0/24]
		    vms:
		      $1:
		        image: "oci:$work/image"
		        memory: 96MiB
		        vmm: qemu
		        addresses: [10.20.0.7]
		        stop_grace_period: 0s
		        environment: {ROUND: $2}
		        volumes:
		          - {name: inner, target: /srv/inner, size: 16MiB}
		          - {name: lines, target: /srv, size: $3}
		          - {name: run, target: /run, size: 16MiB}
		          - {name: sealed, target: /data, size: 16MiB, read_only: true}
	END
}
said() { # VM TEXT
	ctl logs -n 1000 "acme/$1" 2>/dev/null | grep -qF "$2"
}
says() { # VM TEXT
	ok "$1 says: $2" wait_for 200 said "$1" "$2"
}
has_pid() { [ "$(member acme/db pid)" = "$1" ] && phase_is acme/db running; }
# The guest may not listen yet; once it has panicked it does not answer.
panics() { # PID
	in_host busybox nc -w 1 10.20.0.7 7 </dev/null
	! has_pid "$1"
}

fleet db one 64MiB
start_daemon
says db "one: ready"
says db "one: 2750 /srv 640 /srv/below/seed seed"
says db "one: content below inner link "
says db "one: lines 1, inner 1"
says db "one: sealed"
says db "one: run ext2/ext3 one "
ctl volume list >"$work/list"
like "all are listed" "$(cat "$work/list")" "acme/sealed"
like "with their sizes and users" "$(tr -s ' ' <"$work/list")" "acme/lines 64MiB"
is "nobody prunes them" "$(ctl volume prune)" "0 volumes, 0B"
ok "a copy of the image's takes no more room than it needs" \
	test "$(du -k "$work/state/volumes/acme/lines.ext4" | cut -f1)" -lt 4096

# What was synced is there, and the image's content is not copied again.
pid=$(member acme/db pid)
ok "the guest panics" wait_for 100 panics "$pid"
says db "one: lines 2, inner 2"
says db "one: content inner lines "

# A VM that goes on while no daemon is there keeps its volumes.
pid=$(member acme/db pid)
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
start_daemon
ok "another daemon adopts it" wait_for 60 has_pid "$pid"
like "with its volumes" "$(ctl volume list | tr -s ' ')" "acme/db"
is "which nobody prunes" "$(ctl volume prune)" "0 volumes, 0B"
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
kill_vmm KILL "$pid"
start_daemon
says db "one: lines 3, inner 3"

fleet db two 128MiB
ok "replaced, with a larger volume" ctl reload --timeout 0
says db "two: lines 4, inner 4"
says db "two: run ext2/ext3 one two "
says db "two: ready"
grown=$(ctl logs -n 1000 acme/db | sed -n 's/.*two: blocks \([0-9]*\)$/\1/p' | tail -n 1)
ok "it grew: $grown MiB" test "${grown:-0}" -gt 100

# Another VM takes it over, when the one before has let go.
fleet other three 128MiB
ok "the VM has another name" ctl reload --timeout 0
says other "three: lines 5, inner 5"
like "it is the new one's" "$(ctl volume list | tr -s ' ')" "acme/other"

fleet other four 64MiB
ok "a smaller volume" ctl reload --timeout 0
reason_is() { [ "$(member acme/other reason)" = "$1" ]; }
ok "is refused" wait_for 60 reason_is start-error
like "in words" "$(member acme/other message)" "volumes do not shrink"

rm "$fleet/a.yaml"
ok "all is removed" ctl reload
like "what is unused would go" "$(ctl volume prune -n)" "would go    acme/lines"
is "a dry run removes nothing" "$(find "$work/state/volumes" -name '*.ext4' | wc -l)" 4
for volume in inner lines run sealed; do
	state=$(dumpe2fs -h "$work/state/volumes/acme/$volume.ext4" 2>/dev/null)
	like "$volume is clean" "$(echo "$state" | grep '^Filesystem state')" " clean"
	is "$volume has an empty journal" "$(echo "$state" | grep -c needs_recovery)" 0
	ok "$volume is sound" e2fsck -fn "$work/state/volumes/acme/$volume.ext4"
done
like "prune removes them" "$(ctl volume prune)" "4 volumes, "
is "nothing is left of them" "$(find "$work/state/volumes" -type f)" ""
is "and none is listed" "$(ctl volume list)" \
	"no volumes (a VM's key 'volumes' makes them, see stoker-fleet(5))"
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 899000)" ""
done_testing
