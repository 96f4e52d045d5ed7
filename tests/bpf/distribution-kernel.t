#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The guard's packet table and the network's system test again, under the newest installed
# distribution kernel in a VM. Debian 12's 6.1 has neither TCX nor bpf_cast_to_kern_ctx nor
# forwarding per interface, so that the older way of each is what runs there. First without the
# modules of connection tracking and address translation, which must be refused by name.
cd "$(dirname "$0")/../.." || exit 1
build=${STOKER_BUILD:-build}
skip() {
	echo "1..0 # SKIP $1"
	exit 0
}
kernel=$(ls -v /boot/vmlinuz-* 2>/dev/null | tail -n 1)
release=${kernel#/boot/vmlinuz-}
[ -d "/lib/modules/$release" ] && [ -n "$release" ] || skip "no distribution kernel in /boot"
[ "$(uname -m)" = x86_64 ] || skip "boots x86_64 only"

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
root=$dir/root
mkdir -p "$root/bin" "$root/sbin" "$root/tmp" "$root/proc" "$root/sys" "$root/dev" "$root/modules"
cp -L "$(command -v busybox)" /bin/dash "$build/tests/test_guard" "$build/tests/test_guard_live" \
	"$build/tests/net_driver" "$root/bin/"
PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$root/usr/sbin"
for tool in ip tc nft; do
	cp -L "$(command -v $tool)" "$root/usr/sbin/"
done
for file in "$root"/bin/* "$root"/usr/sbin/*; do
	ldd "$file" 2>/dev/null | grep -o '/[^ ]*'
done | sort -u | while read -r library; do
	mkdir -p "$root$(dirname "$library")"
	cp -L "$library" "$root$library"
done

# The modules of a list, each after those it needs; one that is built in has no file.
modules_of() {
	for module in "$@"; do
		modprobe -S "$release" --show-depends "$module" 2>/dev/null
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}
pack_modules() { # LIST MODULE...
	list=$1
	shift
	modules_of "$@" | while read -r file; do
		cp "$file" "$root/modules/"
		echo "/modules/${file##*/}"
	done >"$root/$list"
}
pack_modules first tun veth sch_ingress cls_bpf nf_tables
pack_modules second nft_ct nft_chain_nat nft_nat nft_masq nft_fib_inet

cat >"$root/init" <<'EOF'
#!/bin/dash
/bin/busybox --install -s /sbin
export PATH=/usr/sbin:/bin:/sbin
ln -s dash /bin/sh
rm -f /sbin/ip /sbin/tc
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
load() {
	while read -r file; do
		insmod "$file" 2>/dev/null
	done <"$1"
}
load /first
echo "kernel: $(uname -r)"
echo "refused: $(net_driver | grep Bail)"
load /second
test_guard >/tmp/unit 2>&1
echo "unit: $?"
grep -E 'ERROR|error:|PASSED|FAILED' /tmp/unit | sed 's/^/# /'
test_guard_live >/tmp/live 2>&1
echo "live: $?"
grep -E 'ERROR|error:|PASSED|FAILED|changes' /tmp/live | sed 's/^/# /'
net_driver >/tmp/system 2>&1
echo "system: $?"
grep -E '^not ok|^Bail|^1\.\.' /tmp/system | sed 's/^/# /'
poweroff -f
EOF
chmod 755 "$root/init"
(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$dir/initrd"

timeout 400 qemu-system-x86_64 -M q35,accel=tcg -cpu max -m 768 -nodefaults -display none \
	-serial stdio -no-reboot -kernel "$kernel" -initrd "$dir/initrd" \
	-append "console=ttyS0 quiet panic=-1" </dev/null 2>&1 | tr -d '\r' >"$dir/console"

grep '^# ' "$dir/console"
number=0
saw() { # DESCRIPTION LINE
	number=$((number + 1))
	if grep -qF "$2" "$dir/console"; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		tail -n 20 "$dir/console" | sed 's/^/# /'
	fi
}
echo "1..5"
saw "boots $release" "kernel: $release"
saw "a kernel without connection tracking is refused by name" \
	"the kernel has no connection tracking (CONFIG_NF_CONNTRACK and CONFIG_NFT_CT"
saw "every verdict of the guard is the same" "unit: 0"
saw "rates and changes as well" "live: 0"
saw "so is what arrives, and what does not" "system: 0"
