#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# stokerctl image pull -o: an image into a file, without a daemon. The file is the old one or the new
# one, whatever happens; what a killed pull leaves is used by the next, and then is gone.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh

work=$(mktemp -d /tmp/stoker-pull.XXXXXX)
chmod 755 "$work"
trap 'chattr -i "$work"/out/* 2>/dev/null; rm -rf "$work"' EXIT
mkdir "$work/out" "$work/libexec"
ln -s "$STOKER_BUILD/stoker-image" "$work/libexec/"
cat >"$work/stoker.ini" <<EOF
[paths]
libexec_dir = $work/libexec
[daemon]
uid_base = 860000
EOF
file=$work/out/app.sqfs part=$work/out/.app.sqfs.part
pull() { "$STOKER_BUILD/stokerctl" -c "$work/stoker.ini" image pull "$@"; }
said() { "$@" 2>&1; }
errors() { "$@" 2>&1 | grep "^stokerctl: "; }
content() { ls -A "$work/out" | tr '\n' ' '; }

busybox_root "$work/root"
head -c 3000000 /dev/urandom >"$work/root/noise"
oci_image "$work/layout" "$work/root" '{"Entrypoint":["/bin/sh"]}'
chmod -R a+rX "$work/layout"
manifest=$(sed -n 's/.*"digest":"\([^"]*\)".*/\1/p' "$work/layout/index.json")

# --- it is made ----------------------------------------------------------------------------------

like "pulled, and said so" "$(pull -o "$file" "oci:$work/layout" 2>/dev/null)" "$file  $manifest  "
is "the file and nothing else" "$(content)" "app.sqfs "
is "it is root's, and all may read it" "$(stat -c '%U %a' "$file")" "root 644"
like "it is the image" "$(unsquashfs -l "$file")" "squashfs-root/bin/busybox"
first=$(sha256sum <"$file")
like "progress is told in lines" "$(said pull -o "$work/out/again" "oci:$work/layout")" "resolve"
is "the same bytes again" "$(sha256sum <"$work/out/again")" "$first"
rm "$work/out/again"
(cd "$work/out" && pull -o here "oci:$work/layout" >/dev/null 2>&1)
is "a name without a directory" "$(content)" "app.sqfs here "
rm "$work/out/here"

# Its content is on the disk before it has its name, and that before anybody is told.
pull_traced() {
	strace -qq -y -e trace=fsync,/^rename -o "$work/order" "$STOKER_BUILD/stokerctl" -c "$work/stoker.ini" \
		image pull -o "$file" "oci:$work/layout"
}
ok "pulled once more" pull_traced
is "synced, named, and its directory synced" "$(sed -n 's|.*<.*/\([0-9]*\.sqfs\)>) *= 0|sync \1|p
	s|^rename.*, "\([^"]*\)".*) *= 0$|name \1|p; s|^fsync([0-9]*<\(.*\)>) *= 0|sync \1|p' "$work/order" |
	grep -e '\.sqfs$' -e "^sync $work/out$" | grep -v squashfs/ | tr '\n' ' ')" \
	"sync 1.sqfs name $file sync $work/out "

# --- in another way ------------------------------------------------------------------------------

# Byte 20 of a squashfs says how it is compressed: Documentation/filesystems/squashfs.rst.
while read -r method number; do
	ok "--compress $method" pull -o "$work/out/other" --compress "$method" "oci:$work/layout"
	is "--compress $method: so it is" "$(od -An -tu2 -j20 -N2 "$work/out/other" | tr -d ' ')" "$number"
	rm -rf "$work/other"
	ok "--compress $method: it unpacks" unsquashfs -quiet -no-progress -dest "$work/other" "$work/out/other"
	ok "--compress $method: to the same tree" diff -r --no-dereference "$work/root" "$work/other"
done <<END
zstd 6
zstd:19 6
gzip:9 1
lz4 5
xz 4
END
ok "--compress zstd:3" pull -o "$work/out/other" --compress zstd:3 "oci:$work/layout"
ok "is what there is without it" cmp "$work/out/other" "$file"
is "in blocks of 128 KiB" "$(od -An -tu4 -j12 -N4 "$file" | tr -d ' ')" 131072
rm "$work/out/other"
is "no such method" "$(errors pull -o "$file" --compress brotli "oci:$work/layout")" \
	"stokerctl: --compress: 'brotli' is not a compression (zstd:LEVEL, gzip:LEVEL, lz4 or xz)"
is "no such level" "$(errors pull -o "$file" --compress zstd:99 "oci:$work/layout")" \
	"stokerctl: --compress: '99' is not a level of zstd (1 to 22)"

# --- it is not -----------------------------------------------------------------------------------

is "no such image" "$(errors pull -o "$file" "oci:$work/layout:v9")" \
	"stokerctl: no image named 'v9' in the index"
is "the old file is as it was" "$(sha256sum <"$file")" "$first"
is "and alone" "$(content)" "app.sqfs "
is "another platform" "$(errors pull -o "$file" --platform linux/s390x "oci:$work/layout")" \
	"stokerctl: config: the image is for linux/$(dpkg --print-architecture), not for linux/s390x"
is "no platform at all" "$(errors pull -o "$file" --platform linux "oci:$work/layout")" \
	"stokerctl: 'linux' is not a platform (write linux/amd64)"
is "a directory in the way" "$(errors pull -o "$work/out" "oci:$work/layout")" \
	"stokerctl: $work/out: is there, and not a plain file (name another)"
ln -s /nowhere "$work/out/link"
is "a symbolic link in the way" "$(errors pull -o "$work/out/link" "oci:$work/layout")" \
	"stokerctl: $work/out/link: is there, and not a plain file (name another)"
rm "$work/out/link"
is "no directory for it" "$(errors pull -o "$work/none/x" "oci:$work/layout")" \
	"stokerctl: $work/none/.x.part: cannot create: No such file or directory"
mkdir -m 700 "$part"
chown 12345 "$part"
is "a stranger's directory in the way" "$(errors pull -o "$file" "oci:$work/layout")" \
	"stokerctl: $part: belongs to somebody else (remove it)"
is "it is left alone" "$(stat -c %u "$part")" 12345
rmdir "$part"
ln -s /tmp "$part"
like "a symbolic link there is not followed" "$(errors pull -o "$file" "oci:$work/layout")" \
	"stokerctl: $part: cannot open: "
rm "$part"
like "only root" "$(errors setpriv --reuid=12345 --clear-groups "$STOKER_BUILD/stokerctl" \
	-c "$work/stoker.ini" image pull -o /tmp/x "oci:$work/layout")" "only root can: "
is "nothing is left of all that" "$(content)" "app.sqfs "

# --- it is killed --------------------------------------------------------------------------------

head -c 60000000 /dev/urandom >"$work/root/noise"
rm -r "$work/layout"
oci_image "$work/layout" "$work/root" '{"Entrypoint":["/bin/sh"]}'
chmod -R a+rX "$work/layout"
layer=$(find "$work/layout/blobs" -size +10000k -printf '%f')

# start_pull: in the background, as the process $pull.
start_pull() {
	"$STOKER_BUILD/stokerctl" -c "$work/stoker.ini" image pull -o "$file" "oci:$work/layout" \
		>"$work/log" 2>&1 &
	pull=$!
}
builds() { [ -e "$part/images/blobs/sha256/$layer" ]; }

start_pull
ok "its layer is there" wait_for 60 builds
is "a second pull waits for nobody" "$(errors pull -o "$file" "oci:$work/layout")" \
	"stokerctl: $part: another pull is at work on this file"
kill -KILL "$pull"
wait "$pull" 2>/dev/null
is "the old file is as it was" "$(sha256sum <"$file")" "$first"
no_workers() { ! ps -o pid= -u 860000,860001 | grep -q .; }
ok "its workers went with it" wait_for 60 no_workers
# Nowhere else to be had: the next one must build from the layer that is there.
mv "$work/layout/blobs/sha256/$layer" "$work/layer"
start_pull
wait "$pull"
is "the next one ends well with the layer that was there" "$?" 0
mv "$work/layer" "$work/layout/blobs/sha256/$layer"
not_ok "with another file" test "$(sha256sum <"$file")" = "$first"
is "nothing is left" "$(content)" "app.sqfs "

start_pull
ok "once more" wait_for 60 builds
kill -TERM "$pull"
wait "$pull"
is "interrupted: exit code" "$?" 1
like "it says so" "$(cat "$work/log")" "stokerctl: interrupted: nothing was written"
is "nothing is left" "$(content)" "app.sqfs "

done_testing
