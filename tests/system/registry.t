#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# From a real registry to a running guest: an image of two layers is pushed to Debian's
# docker-registry with skopeo, pulled by the daemon, and booted. The published squashfs equals what
# `umoci raw unpack` makes of the same image; a second start asks nobody; a registry that is down is
# retried; a tenant is held to its registries.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

start_registry() {
	nsenter --net="/run/netns/$netns" docker-registry serve "$work/registry.yml" \
		>>"$work/registry.log" 2>&1 &
	registry=$!
	wait_for 60 in_host curl -sf -o /dev/null http://localhost:5000/v2/
}

# Everything that one can see of a tree, sorted by path; hard links by the names that they join.
tree_facts() {
	(
		cd "$1" || exit 1
		find . -printf '%p %y %m %U:%G %n %T@ %l\n' | LC_ALL=C sort
		find . -type f -exec sha256sum {} + | LC_ALL=C sort -k2
		find . -type f -links +1 -printf '%i %p\n' | LC_ALL=C sort -k2 |
			awk '!($1 in first) { first[$1] = $2 } { print $2, "is", first[$1] }'
		find . -print0 | LC_ALL=C sort -z | xargs -0 getfattr -h -d -m - -e hex 2>/dev/null
	)
}

lib_host registry 850000
trap 'kill ${registry:-} 2>/dev/null; lib_clean' EXIT

# --- the image -----------------------------------------------------------------------------------

busybox_root "$work/root"
mkdir "$work/root/app" "$work/root/app/gone" "$work/root/app/opaque"
echo lower >"$work/root/app/gone/file"
echo lower >"$work/root/app/opaque/lower"
echo one >"$work/root/app/one"
ln "$work/root/app/one" "$work/root/app/link"
cat >"$work/root/bin/serve" <<'EOF'
#!/bin/sh
echo "user=$(id -un) cwd=$(pwd) env=$GREETING upper=$(cat upper 2>&1) gone=$(ls -d gone 2>/dev/null)"
sleep "${LASTS:-1}"
exit 42
EOF
chmod 755 "$work/root/bin/serve"
oci_image "$work/layout" "$work/root" \
	'{"Entrypoint":["serve"],"Env":["PATH=/bin","GREETING=from the image"],"User":"app","WorkingDir":"/app"}'
{
	umoci unpack --image "$work/layout:latest" "$work/bundle" &&
		rm -r "$work/bundle/rootfs/app/gone" "$work/bundle/rootfs/app/opaque" &&
		mkdir "$work/bundle/rootfs/app/opaque" &&
		echo upper >"$work/bundle/rootfs/app/upper" &&
		setfattr -n user.note -v text "$work/bundle/rootfs/app/upper" &&
		cp "$work/root/bin/busybox" "$work/bundle/rootfs/bin/capable" &&
		setcap cap_net_raw+ep "$work/bundle/rootfs/bin/capable" &&
		umoci repack --image "$work/layout:latest" "$work/bundle"
} >"$work/umoci.log" 2>&1 || { cat "$work/umoci.log"; exit 1; }
cat >"$work/registry.yml" <<EOF
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "localhost:5000"}
EOF
ok "a registry runs" start_registry
registry=$(pgrep -f "docker-registry serve $work/registry.yml")
ok "the image is pushed" in_host skopeo copy --dest-tls-verify=false "oci:$work/layout:latest" \
	docker://localhost:5000/team/app:v1

# --- pulled and booted ---------------------------------------------------------------------------

cat >"$fleet/a.yaml" <<EOF
tenants:
  acme:
    subnets: [10.20.0.0/24]
    registries: [localhost:5000]
    vms:
      app: {image: "localhost:5000/team/app:v1", restart: "no"}
EOF
start_daemon
ok "the VM ran to its end" wait_for 300 phase_is acme/app stopped
is "its exit code is the image's" "$(member acme/app reason) $(member acme/app exit_code)" "exited 42"
like "user, cwd, environment and both layers are as the image says" "$(ctl logs -n 50 acme/app)" \
	"user=app cwd=/app env=from the image upper=upper gone="
is "what the second layer removed is gone" "$(ctl logs -n 50 acme/app | grep -c gone=gone)" 0

like "the store knows who uses the image" "$(ctl image list)" "acme/app"
like "and does not prune it" "$(ctl image prune)" "0 images, "

squashfs=$(find "$work/state/images/squashfs" -name '*.sqfs')
umoci raw unpack --image "$work/layout:latest" "$work/expected" >/dev/null 2>&1
unsquashfs -quiet -no-progress -dest "$work/actual" "$squashfs" >/dev/null
tree_facts "$work/expected" >"$work/expected.facts"
tree_facts "$work/actual" >"$work/actual.facts"
ok "there is something to compare" test "$(wc -l <"$work/expected.facts")" -gt 270
ok "the flattened tree equals umoci's" diff "$work/expected.facts" "$work/actual.facts"
like "capabilities among it" "$(cat "$work/actual.facts")" "security.capability="
like "and user attributes" "$(cat "$work/actual.facts")" "user.note="

# --- without the registry ------------------------------------------------------------------------

kill "$registry"
before=$(stat -c '%i %Y' "$squashfs")
ok "a restart needs no registry" ctl restart acme/app
ran_again() { [ "$(ctl logs -n 50 acme/app | grep -c 'user=app')" -eq 2 ]; }
ok "it ran again" wait_for 300 ran_again
cat >"$fleet/b.yaml" <<EOF
tenants:
  beta:
    subnets: [10.30.0.0/24]
    vms:
      same: {image: "localhost:5000/team/app:v1", environment: {LASTS: "100000"}}
      other: {image: "localhost:5000/team/other:v1"}
EOF
ok "two more VMs" ctl reload
ok "one image serves two tenants, with no registry" wait_for 300 phase_is beta/same running
is "from the very same file" "$(stat -c '%i %Y' "$squashfs")" "$before"
ok "an image that cannot be fetched now is retried" wait_for 120 phase_is beta/other backoff
like "and why is said" "$(member beta/other message)" "localhost:5000"
ok "the registry is back" start_registry
registry=$(pgrep -f "docker-registry serve $work/registry.yml")
ok "now it says that there is no such image" wait_for 300 phase_is beta/other failed
ok "the others run on" phase_is beta/same running

sed -i 's/localhost:5000\/team\/app:v1/docker.io\/library\/app:v1/' "$fleet/a.yaml"
like "a registry that the tenant may not use is refused" "$(ctl plan 2>&1)" "registries"

# --- the end -------------------------------------------------------------------------------------

rm "$fleet"/*.yaml
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 850000)" ""
kill "$registry"
done_testing
