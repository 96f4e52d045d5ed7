#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# [image] verity = yes: images get a hash tree that veritysetup reads as its own. A guest whose kernel
# has dm-verity reads its image through that; for another, here the same kernel without its modules,
# the image is checked before the start. A single changed byte ends either way in words.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
PATH=$PATH:/usr/sbin:/sbin
. tests/lib.sh
. tests/tap.sh

lib_host verity 873000
sed -i 's/^\[image\]/[image]\nverity = yes/' "$ini"

# --- an image whose bytes can be found in the squashfs -------------------------------------------

busybox_root "$work/root"
{
	head -c 1500000 /dev/urandom
	printf 'here is the byte to change: x'
	head -c 1500000 /dev/urandom
} >"$work/root/data"
cat >"$work/root/bin/work" <<'EOF'
#!/bin/sh
echo "disk: $(cat /sys/block/dm-0/dm/name)"
sha256sum /data
EOF
chmod 755 "$work/root/bin/work"
oci_image "$work/layout" "$work/root" '{"Entrypoint":["work"],"Env":["PATH=/bin"]}'
chmod -R a+rX "$work/layout"
cat >"$fleet/a.yaml" <<EOF
tenants:
  acme:
    subnets: [10.20.0.0/24]
    vms:
      app: {image: "oci:$work/layout", restart: "no"}
EOF
sum=$(sha256sum <"$work/root/data")
start_daemon
ok "the VM ran to its end" wait_for 300 phase_is acme/app stopped
is "and well" "$(member acme/app reason) $(member acme/app exit_code)" "exited 0"
like "its image was read through dm-verity" "$(ctl logs -n 50 acme/app)" "disk: base"
like "and whole" "$(ctl logs -n 50 acme/app)" "${sum%% *}"

# --- the format ----------------------------------------------------------------------------------

squashfs=$(find "$work/state/images/squashfs" -name '*.sqfs')
tree=$(ctl image inspect "oci:$work/layout" | sed -n 's/^hash tree *//p')
verify() {
	set -- $tree
	veritysetup verify "$squashfs" "$squashfs" "$4" --hash-offset=$(($1 * 4096))
}
# shellcheck disable=SC2086 # a line of words
set -- $tree
is "what is known of the tree" "$#" 5
is "it begins behind the squashfs" "$2" $(($1 + 1))
ok "veritysetup verifies it" verify
like "and reads its parameters" "$(veritysetup dump "$squashfs" --hash-offset=$(($1 * 4096)))" \
	"Hash algorithm:  	sha256"
root=$4
"$STOKER_BUILD/stokerctl" -c "$ini" image pull -o "$work/again.sqfs" "oci:$work/layout" >/dev/null 2>&1
is "the same image has the same tree" "$(sha256sum <"$work/again.sqfs")" "$(sha256sum <"$squashfs")"
veritysetup format "$work/again.sqfs" "$work/tree" --salt="$5" --data-blocks="$1" >"$work/format"
like "veritysetup computes the same root" "$(cat "$work/format")" "$root"

# --- a byte --------------------------------------------------------------------------------------

at=$(perl -e 'local $/; $_ = <>; print index($_, "the byte to change: x") + 20' "$squashfs")
put() { printf '%s' "$1" | dd of="$squashfs" bs=1 seek="$at" conv=notrunc status=none; }
put y
not_ok "veritysetup does not verify that" verify
ok "restarted" ctl restart acme/app
says() { case $(member "$1" message) in *"$2"*) ;; *) return 1 ;; esac }
ok "the guest does not go on" wait_for 300 says acme/app damaged
is "and says why" "$(member acme/app message)" \
	"the image is damaged: data block $((at / 4096)) is not what its hash says"

# Its modules are packed for `auto` alone, so as a file it is a kernel without dm-verity.
kernel=$(find "$work/state/boot" -name 'vmlinux-*' -o -name 'Image-*')
sed -i "\$a\\      other: {image: \"oci:$work/layout\", kernel: \"$kernel\", restart: \"no\"}" "$fleet/a.yaml"
ok "another VM" ctl reload --timeout 0
ok "the image is refused before the start" wait_for 120 phase_is acme/other failed
is "with the file, the reason and the remedy" "$(member acme/other message)" \
	"$squashfs: the image is damaged: block $((at / 4096)) is not what its hash says (remove this \
file, and the next start makes the image anew)"

# --- the remedy ----------------------------------------------------------------------------------

rm "$squashfs"
ok "restarted without the file" ctl restart acme/other
ok "the image is right again, and the VM may start" wait_for 120 phase_is acme/other booting
ok "veritysetup verifies it" verify
is "it is the same" "$(sha256sum <"$squashfs")" "$(sha256sum <"$work/again.sqfs")"

# What was made without a tree is made anew.
stop_daemon
sed -i 's/^verity = yes/verity = no/' "$ini"
rm -r "$work/state/images"
sed -i '/other:/d' "$fleet/a.yaml"
start_daemon
ok "one without a tree" wait_for 120 ctl image pull "oci:$work/layout"
is "it has none" "$(ctl image inspect "oci:$work/layout" | grep -c '^hash tree')" 0
stop_daemon
sed -i 's/^verity = no/verity = yes/' "$ini"
start_daemon
ok "restarted with another setting" wait_for 120 ctl restart acme/app
has_tree() { ctl image inspect "oci:$work/layout" | grep -q '^hash tree'; }
ok "it gets a tree" wait_for 120 has_tree
ok "the VM runs" wait_for 300 phase_is acme/app stopped
is "and well" "$(member acme/app reason) $(member acme/app exit_code)" "exited 0"

rm "$fleet"/*.yaml
ok "all is removed" ctl reload
stop_daemon
is "the daemon ends with 0" $? 0
is "nothing is left behind" "$(left_behind 873000)" ""
done_testing
