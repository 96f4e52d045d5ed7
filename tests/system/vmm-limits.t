#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Changes limits of running guests of the QEMU driver, and pauses them.
build=${STOKER_BUILD:-$(dirname "$0")/../../build}
if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP needs root"
	exit 0
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
# A network namespace of its own: the taps appear in it and end with it.
unshare --net "$build/tests/limits_driver" "$dir" "$build/tests/vmm_guest"
