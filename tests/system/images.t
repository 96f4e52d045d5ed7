#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# stokerctl image list, inspect, pull and prune against a daemon without VMs; hostile text in a config
# reaches nobody's terminal. Who uses an image is looked at in registry.t, where one is used.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

lib_host images 865000
sed -i 's/^insecure_registries = .*/& localhost:6000\nstall_timeout = 100s/' "$ini"
blobs=$work/state/images/blobs/sha256

# make_image NAME CONFIG [CREATED]: an OCI layout at $work/NAME; its root has a file of that name.
make_image() {
	mkdir -p "$work/root-$1"
	echo "$1" >"$work/root-$1/$1"
	oci_image "$work/$1" "$work/root-$1" "$2"
	chmod -R a+rX "$work/$1"
}
errors() { "$@" 2>&1 | grep '^stokerctl: '; }

make_image app '{"Entrypoint":["/app"],"Cmd":["a","b c"],"Env":["PATH=/bin"],"User":"1000","WorkingDir":"/srv",
	"StopSignal":"SIGQUIT","ExposedPorts":{"80/tcp":{}},"Volumes":{"/data":{}},"Labels":{"a":"b"}}'
make_image hostile '{"Env":["X=\u001b]0;owned\u0007\u009b2J"],"Labels":{"\u202e":"\\x1b"},"ExposedPorts":["no"]}'
printf 'tenants: {acme: {subnets: [10.20.0.0/24]}}\n' >"$fleet/a.yaml"
start_daemon
ok "the daemon is up" wait_for 60 ctl version

# --- pull, list ----------------------------------------------------------------------------------

is "at first there is none" "$(ctl image list)" "no images (stokerctl image pull IMAGE fetches one)"
digest=$(sed -n 's/.*"digest":"\([^"]*\)".*/\1/p' "$work/app/index.json")
is "pulled" "$(ctl image pull "oci:$work/app" 2>/dev/null | sed 's/  [^ ]*$//')" \
	"oci:$work/app  $digest"
ok "and another" ctl image pull "oci:$work/hostile"
is "again is fine" "$(ctl image pull "oci:$work/app" 2>/dev/null | cut -d' ' -f3)" "$digest"
is "no such image" "$(errors ctl image pull "oci:$work/app:v9")" \
	"stokerctl: no image named 'v9' in the index"
is "no name at all" "$(errors ctl image pull 'UPPER CASE')" \
	"$(errors ctl image inspect 'UPPER CASE')"
like "the daemon's images are this host's" "$(errors ctl image pull --platform linux/arm64 x)" \
	"(name a file with -o)"
is "they are listed" "$(ctl image list | sed 1d | wc -l)" 2
like "by name" "$(ctl image list)" "oci:$work/app "
like "and digest" "$(ctl image list)" "$(echo "$digest" | cut -c8-19)"
is "in JSON too" "$(ctl image list --json | grep -c '"used_by": \[\]')" 2

# --- inspect -------------------------------------------------------------------------------------

ctl image inspect "oci:$work/app" >"$work/app.txt"
app=$(ctl image inspect --json "oci:$work/app" | sed -n 's/^  "id": "\(.*\)",/\1/p')
while read -r title value; do
	like "inspect: $title" "$(grep "^$title " "$work/app.txt")" "$value"
done <<EOF
digest $digest
entrypoint /app
environment PATH=/bin
user 1000
directory /srv
ports 80/tcp
volumes /data
labels a=b
platform linux/$(dpkg --print-architecture)
layers sha256:
EOF
like "a list goes on below" "$(grep -A1 '^command' "$work/app.txt")" "            b c"
is "by digest" "$(ctl image inspect "$digest")" "$(cat "$work/app.txt")"
is "by the beginning of one" "$(ctl image inspect "$(echo "$digest" | cut -c8-19)")" \
	"$(cat "$work/app.txt")"
is "there is no such image" "$(errors ctl image inspect nginx)" "stokerctl: there is no image \
'docker.io/library/nginx:latest' in the store (\`stokerctl image list\` lists them)"
like "what could steer a terminal is spelt out" "$(ctl image inspect "oci:$work/hostile")" \
	'X=\x1b]0;owned\x07\xc2\x9b2J'
like "and unlike what only looks so" "$(ctl image inspect "oci:$work/hostile")" '\xe2\x80\xae=\\x1b'
is "nothing but printable characters" \
	"$(ctl image inspect "oci:$work/hostile" | LC_ALL=C grep -c '[^ -~]')" 0
ok "nor in JSON" test "$(ctl image inspect --json "oci:$work/hostile" | LC_ALL=C grep -c '[^ -~]')" = 0

# --- prune ---------------------------------------------------------------------------------------

is "young images stay" "$(ctl image prune)" "0 images, 0B; 0 files of no image, 0B"
stop_daemon
sed -i 's/^\[image\]/[image]\nkeep = 1\nkeep_for = 0s/' "$ini"
echo stray >"$blobs/part-of-something"
mkdir "$blobs/directory"
start_daemon
ok "the daemon is up with other settings" wait_for 60 ctl version
ok "the hostile one is used last" ctl image pull "oci:$work/hostile"
touch -d "1 hour ago" "$work/state/images/squashfs/$app.record"
touch "$blobs/stray"
ctl image prune -n >"$work/dry"
like "a dry run says what would go" "$(cat "$work/dry")" "would go    oci:$work/app"
is "and removes nothing" "$(ctl image list | sed 1d | wc -l)" 2
is "prune removes it" "$(ctl image prune)" "$(sed 's/would go/removed /' "$work/dry")"
is "the one used last stays" "$(ctl image list | sed 1d | grep -c hostile)" 1
is "the other is gone" "$(ctl image list | grep -c app)" 0
is "so are its files" "$(find "$work/state/images/squashfs" -type f | wc -l)" 4
is "manifest and config of the other stay, and no more" "$(find "$blobs" -type f | wc -l)" 2
is "nothing is left to do" "$(ctl image prune)" "0 images, 0B; 0 files of no image, 0B"

# --- room ----------------------------------------------------------------------------------------

# As much is to be free as no disk has: whatever is not used or wanted goes before a pull.
stop_daemon
sed -i 's/^\[image\]/[image]\nmin_free = 1000TiB/' "$ini"
start_daemon
ok "the daemon wants room" wait_for 60 ctl version
ok "a pull makes it" ctl image pull "oci:$work/app"
is "of what was there" "$(ctl image list | grep -c hostile)" 0
is "what it brought stays" "$(ctl image list | sed 1d | grep -c app)" 1
like "and says so" "$(cat "$work/daemon.log")" "image oci:$work/hostile removed: less than min_free was left"
ok "the other way round" ctl image pull "oci:$work/hostile"
is "the same" "$(ctl image list | sed 1d | sed 's/ .*//')" "oci:$work/hostile"

# --- what VMs wait for ---------------------------------------------------------------------------

# A registry whose layers stop half-way, once each. Its processes are a group of their own.
mkdir "$work/root-big" "$work/lies"
head -c 1500000 /dev/urandom >"$work/root-big/noise"
oci_image "$work/big" "$work/root-big" '{}'
setsid nsenter --net="/run/netns/$netns" perl tests/fakes/lying-registry.pl "$work/big" 6000 "$work/lies" \
	>"$work/lies.log" 2>&1 &
lies=$!
trap 'kill -KILL "-$lies"; lib_clean' EXIT
ok "it listens" wait_for 60 in_host curl -s -o /dev/null http://localhost:6000/
cat >"$fleet/a.yaml" <<EOF
tenants:
  acme: {subnets: [10.20.0.0/24], vms: {slow: {image: "localhost:6000/pauses:1"}}}
EOF
ctl reload --timeout 0 >/dev/null
is_half_here() { ctl status acme/slow | grep -Eq '^reason +download [1-9][0-9]?%$'; }
ok "status says how far the download is" wait_for 60 is_half_here
ctl status acme/slow >"$work/slow"
amount='[1-9][0-9.]*[KM]iB of 1.4MiB \([1-9][0-9]?%\)'
ok "in bytes" grep -Eq "^progress +$amount" "$work/slow"
ok "and of each layer" grep -Eq "^layers +sha256:[0-9a-f]{12}  $amount" "$work/slow"
ok "in the table, too" sh -c "'$STOKER_BUILD/stokerctl' -c '$ini' status | grep -Eq '^acme/slow +fetching +download [1-9]'"

# --- policies ------------------------------------------------------------------------------------

# None of these VMs gets as far as a start: their kernel is not there, so that each asks for its image
# again and again.
cat >"$fleet/a.yaml" <<EOF
tenants:
  acme:
    subnets: [10.20.0.0/24]
    vms:
      missing: &vm {image: "localhost:6000/missing:1", kernel: $work/none}
      always: {<<: *vm, image: "localhost:6000/always:1", pull_policy: always}
      never: {<<: *vm, image: "localhost:6000/absent:1", pull_policy: never}
EOF
ctl reload --timeout 0 >/dev/null
asked() { grep -c "^home /v2/$1/manifests" "$work/lies/log"; }
has_restarted() { [ "$(member "acme/$1" restarts)" -ge 2 ]; }
ok "pull_policy: never starts nothing without an image" wait_for 60 phase_is acme/never failed
is "and says why" "$(member acme/never message)" \
	"'localhost:6000/absent:1' is not on this host, and pull_policy is never"
is "without asking for it" "$(asked absent)" 0
ok "pull_policy: missing, some tries later" wait_for 60 has_restarted missing
is "has asked once" "$(asked missing)" 1
ok "pull_policy: always, some tries later" wait_for 60 has_restarted always
ok "has asked each time" test "$(asked always)" -ge 2

# A VM that waits for its image keeps what was fetched so far.
cat >"$fleet/a.yaml" <<EOF
tenants:
  acme:
    subnets: [10.20.0.0/24]
    vms: {web: {image: "localhost:1/none:1"}, old: {image: "oci:$work/hostile", restart: "no"}}
EOF
ctl reload --timeout 0 >/dev/null
ok "room for another" ctl image pull "oci:$work/app"
like "is not made of what is wanted" "$(ctl image list)" "oci:$work/hostile "
sed -i 's/^keep = 1/keep = 0/; /^min_free/d' "$ini"
stop_daemon
start_daemon
ok "once more" wait_for 60 ctl version
touch "$blobs/stray"
like "what is wanted stays" "$(ctl image prune)" "; what was fetched stays"
is "and nothing else" "$(ctl image list | sed 1d | sed 's/ .*//')" "oci:$work/hostile"
ok "all of it" test -e "$blobs/stray"
like "and is said to be wanted" "$(ctl image list)" "acme/old"

# --- the end -------------------------------------------------------------------------------------

rm "$fleet"/*.yaml
ok "all is removed" ctl reload
like "and now it goes" "$(ctl image prune)" "1 image, "
is "nothing is in the store" "$(find "$work/state/images" -type f)" ""
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 865000)" ""
done_testing
