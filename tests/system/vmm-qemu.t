#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Boots real guests through the QEMU driver: confinement, every way to end, adoption.
# GUEST_MACHINE=aarch64 boots guests of that machine, with GUEST_ROOT as the place of their kernel
# (arm64-qemu.t).
build=${STOKER_BUILD:-$(dirname "$0")/../../build}
if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP needs root"
	exit 0
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
# A network namespace of its own: the taps appear in it and end with it.
if [ "${GUEST_MACHINE:-x86_64}" = aarch64 ]; then
	set -- "$build/aarch64/vmm_guest" aarch64 "$GUEST_ROOT"
else
	set -- "$build/tests/vmm_guest"
fi
unshare --net "$build/tests/vmm_driver" "$dir" "$@"
