#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What guest-boot.t shows, with arm64 guests and a stoker-init for aarch64. GUEST_KERNEL=PATH boots a
# kernel of one's own instead of Debian's.
exec "$(dirname "$0")/../arm64.sh" tests/system/guest-boot.t "$@"
