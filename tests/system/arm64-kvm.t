#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the daemon makes of KVM on an arm64 host: on a processor whose KVM works (QEMU's, with its
# virtualization extensions emulated), and on one that has none.
[ -n "${GUEST_ROOT-}" ] || exec "$(dirname "$0")/../arm64.sh" "$0"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM INT

mkdir "$work/root"
cp "$STOKER_BUILD/aarch64/kvm_init" "$work/root/init"
(cd "$work/root" && echo init | busybox cpio -o -H newc 2>/dev/null) >"$work/initrd" || { echo "Bail out! cannot make an initrd"; exit 1; }

number=0
says() { # MACHINE TIMES TEXT DESCRIPTION
	number=$((number + 1))
	timeout 200 qemu-system-aarch64 -M "$1" -cpu max,pauth-impdef=on -m 256 -nodefaults -display none \
		-serial stdio -no-reboot -kernel "$GUEST_ROOT"/boot/vmlinuz-* -initrd "$work/initrd" \
		-append "console=ttyAMA0 quiet panic=-1" </dev/null 2>&1 | tr -d '\r' >"$work/console"
	if [ "$(grep -c "^$3\$" "$work/console")" -eq "$2" ]; then
		echo "ok $number - $4"
	else
		echo "not ok $number - $4"
		tail -n 20 "$work/console" | sed 's/^/# /'
	fi
}

says virt,gic-version=3,virtualization=on 2 "KVM is hardware" "where a guest of a few bytes runs, KVM is used"
says virt,gic-version=3 2 "KVM is absent" "where the processor has none, it is said so"
echo "1..$number"
