#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# kill -9 at twenty random moments of a pull from a real registry: the daemon and its workers, or a
# worker alone. The next start completes the pull, asks for no blob that was finished, and leaves
# neither a process nor a file that belongs to nobody. SEED=N repeats a run.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

: "${SEED:=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}" "${ROUNDS:=20}"
uids=867000
lib_host crash "$uids"
trap 'kill ${registry:-} 2>/dev/null; lib_clean' EXIT
images=$work/state/images blobs=$work/state/images/blobs/sha256
reference=localhost:5000/team/app:v1
printf 'tenants: {acme: {subnets: [10.20.0.0/24]}}\n' >"$fleet/a.yaml"

# --- an image of five layers in a registry -------------------------------------------------------

{
	umoci init --layout "$work/layout" && umoci new --image "$work/layout:v1"
	for layer in 1 2 3 4 5; do
		umoci unpack --image "$work/layout:v1" "$work/bundle" &&
			head -c 6000000 /dev/urandom >"$work/bundle/rootfs/file$layer" &&
			umoci repack --image "$work/layout:v1" "$work/bundle" && rm -rf "$work/bundle"
	done
} >"$work/umoci.log" 2>&1 || { cat "$work/umoci.log"; exit 1; }
cat >"$work/registry.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "localhost:5000"}
END
nsenter --net="/run/netns/$netns" docker-registry serve "$work/registry.yml" \
	>>"$work/registry.log" 2>&1 &
registry=$!
ok "a registry runs" wait_for 60 in_host curl -sf -o /dev/null http://localhost:5000/v2/
ok "the image is pushed" in_host skopeo copy --dest-tls-verify=false "oci:$work/layout:v1" \
	"docker://$reference"

# --- one round -----------------------------------------------------------------------------------

workers() {
	find /proc -maxdepth 1 -name '[0-9]*' -printf '%U %f\n' 2>/dev/null |
		awk -v low="$uids" '$1 >= low && $1 < low + 1000 { print $2 }'
}
no_workers() {
	for process in $(workers); do
		has_ended "/proc/$process" || return 1
	done
}
start_and_pull() {
	start_daemon
	wait_for 60 ctl version || return 1
	ctl image pull "$reference" >"$work/pull.log" 2>&1 &
	pull=$!
}
now_ms() { date +%s%3N; }
# What lies in the store beside one whole image: its four files, manifest and config, a reference.
strays() {
	find "$images" -type f | sed "s|^$images/||" | sort | awk '
		/^squashfs\/[0-9a-f]*\.(sqfs|record|notes|json)$/ { squashfs++; next }
		/^blobs\/sha256\/[0-9a-f]*$/ && length($0) == 77 { blobs++; next }
		/^refs\/[0-9a-f]*$/ { refs++; next }
		{ print "stray " $0 }
		END { if (squashfs != 4 || blobs != 2 || refs != 1) print squashfs, blobs, refs }'
}

before=$(now_ms)
start_and_pull && wait "$pull"
is "pulled without a kill" $? 0
took=$(($(now_ms) - before))
is "nothing is there beside the image" "$(strays)" ""
whole=$(sha256sum "$images"/squashfs/*.sqfs | cut -d' ' -f1)
stop_daemon
diag "SEED=$SEED; a pull takes $took ms, start included"

# "MILLISECONDS WHO" for each round. Every fourth kills a worker only; the daemon sees to the rest.
perl -e 'srand shift; printf "%d %s\n", rand $ARGV[1], $_ % 4 == 0 ? "worker" : $_ % 2 ? "all" : "daemon"
	for 1 .. $ARGV[0]' "$SEED" "$ROUNDS" "$took" >"$work/plan"

round=0 interrupted=0 reused=0
while read -r delay who <&9; do
	round=$((round + 1)) wrong=
	rm -rf "$images"
	start_and_pull || wrong="no start; "
	sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
	case $who in
	worker) kill -KILL $(workers) 2>/dev/null ;;
	daemon) kill -KILL "$daemon_pid" ;;
	all) kill -KILL "$daemon_pid" $(workers) 2>/dev/null ;;
	esac
	wait "$pull" || interrupted=$((interrupted + 1))
	[ "$who" != worker ] || kill -KILL "$daemon_pid"
	wait "$daemon_pid" 2>/dev/null
	daemon_pid=
	wait_for 60 no_workers || wrong="$wrong workers live on; "
	finished=$(find "$blobs" -name '[0-9a-f]*' -size +1000k -printf '%f ' 2>/dev/null)
	half=$(find "$images/squashfs" -name '*.sqfs' -exec sha256sum {} + 2>/dev/null | cut -d' ' -f1)
	[ -z "$half" ] || [ "$half" = "$whole" ] || wrong="$wrong half an image; "
	: >"$work/registry.log"
	start_and_pull && wait "$pull" || wrong="$wrong $(cat "$work/pull.log"); "
	stop_daemon || wrong="$wrong the daemon ended with $?; "
	for blob in $finished; do
		reused=$((reused + 1))
		! grep -q "GET /v2/team/app/blobs/sha256:$blob" "$work/registry.log" ||
			wrong="$wrong $blob was fetched again; "
	done
	[ -z "$half" ] || ! grep -q 'GET .*/blobs/' "$work/registry.log" ||
		wrong="$wrong blobs were fetched of a published image; "
	[ "$(sha256sum "$images"/squashfs/*.sqfs | cut -d' ' -f1)" = "$whole" ] ||
		wrong="$wrong another image; "
	wrong="$wrong$(strays)"
	no_workers || wrong="$wrong a process is left; "
	is "round $round: $who after $delay ms" "$wrong" ""
done 9<"$work/plan"
diag "$interrupted of $ROUNDS pulls were cut off; $reused finished layers were there again"
ok "some of the kills came in time" test "$interrupted" -gt 0

rm "$fleet"/*.yaml
is "nothing is left behind" "$(left_behind "$uids")" ""
done_testing
