#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# arm64.sh TEST: runs it with arm64 guests on QEMU's virt machine, with the Image and modules that
# kernel_resolve finds in Debian's kernel package for arm64. Needs the package mirror once.
cd "$(dirname "$0")/.." || exit 1
: "${STOKER_BUILD:=$PWD/build}"
[ "$(uname -m)" = x86_64 ] || { echo "1..0 # SKIP the other test boots this machine's guests"; exit 0; }
tests/fetch-arm64.sh "$STOKER_BUILD/arm64" || { echo "Bail out! cannot fetch packages for arm64"; exit 1; }
export STOKER_BUILD GUEST_MACHINE=aarch64 GUEST_ROOT="$STOKER_BUILD/arm64/root"
exec "$@"
