#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Called by host.t: makes the outer host's root file system, a Debian of the suite that runs here,
# and prints the directory that holds it: disk.img (ext4), vmlinuz and initrd.img. It is kept, under
# a key of everything it is made from, until one with another key is made.
set -eu

# What stoker needs to run, as README says; nothing to build it with.
libraries="libarchive13 libbpf1 libcurl4 libev4 libext2fs2 libinih1 libisal2 libjansson4 liblz4-1
liblzma5 libmicrohttpd12 libmnl0 libseccomp2 libsquashfs1 libssl3 libyaml-0-2 libzstd1 zlib1g"
run="qemu-system-x86 nftables iproute2 ca-certificates linux-image-cloud-amd64"
# The host's own kernel has KVM, which the guests' one has not; perl and curl are the tests',
# rsyslog is sent VMs' logs.
host="systemd-sysv udev kmod procps curl perl rsyslog linux-image-amd64"

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
# The archives that this machine itself uses.
sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
	'Created-By: Packages' 'Origin: Debian' | sort -u)

cache=${XDG_CACHE_HOME:-/var/cache}/stoker-check-host
key=$(printf '%s\n' "$sources" | cat "$0" - | sha256sum | cut -c1-16)
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -e "$cache/$key/disk.img" ]; then
	echo "$cache/$key"
	exit 0
fi

find "$cache" -mindepth 1 -maxdepth 1 ! -name lock -exec rm -rf {} +
work=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM INT

# MODULES=list: an initramfs of this machine's few drivers is read in a moment, also by TCG.
cat >"$work/setup" <<'END'
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/etc/initramfs-tools/hooks"
echo MODULES=list >"$1/etc/initramfs-tools/conf.d/outer-host"
cat >"$1/etc/initramfs-tools/hooks/outer-host" <<'HOOK'
#!/bin/sh
[ "$1" = prereqs ] && exit
. /usr/share/initramfs-tools/hook-functions
manual_add_modules virtio_pci virtio_blk ext4
HOOK
chmod 755 "$1/etc/initramfs-tools/hooks/outer-host"
END
cat >"$work/finish" <<'END'
set -eu
echo outer-host >"$1/etc/hostname"
printf '127.0.0.1 localhost outer-host\n::1 localhost\n' >"$1/etc/hosts"
printf 'kvm-amd\ntun\nvirtio_console\n' >"$1/etc/modules-load.d/outer-host.conf"
# Nothing runs at a time of its own choosing, and only the test writes to the console.
chroot "$1" systemctl --quiet mask serial-getty@ttyS0.service getty@tty1.service \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
cat >"$1/etc/systemd/system/inside.service" <<'UNIT'
[Unit]
Description=The scenarios of tests/host
After=local-fs.target systemd-modules-load.service
[Service]
# The second disk is a tar archive: what is tested, and the tests.
ExecStart=/bin/sh -c 'until [ -c /dev/virtio-ports/stoker.tap ]; do sleep 0.1; done; \
	tar -xf /dev/vdb -C / --no-overwrite-dir && \
	exec /opt/check-host/tests/host/inside.sh >/dev/virtio-ports/stoker.tap'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
UNIT
mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
ln -s ../inside.service "$1/etc/systemd/system/multi-user.target.wants/"
END

printf '%s\n' "$sources" | mmdebstrap --quiet --variant=minbase \
	--include="$(echo $libraries $run $host | tr ' ' ',')" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	--essential-hook="sh '$work/setup' \"\$1\"" --customize-hook="sh '$work/finish' \"\$1\"" \
	"$suite" "$work/root.tar" - >&2

mkdir "$work/root" "$work/made"
tar -C "$work/root" -xf "$work/root.tar"
cp "$work"/root/boot/vmlinuz-*[0-9]-amd64 "$work/made/vmlinuz"
cp "$work"/root/boot/initrd.img-*[0-9]-amd64 "$work/made/initrd.img"
truncate -s 4G "$work/made/disk.img"
mke2fs -q -t ext4 -L outer-host -d "$work/root" "$work/made/disk.img" >&2
mv "$work/made" "$cache/$key"
echo "$cache/$key"
