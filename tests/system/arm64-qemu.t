#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What vmm-qemu.t shows, with arm64 guests: the driver as it is on an arm64 host without KVM.
exec "$(dirname "$0")/../arm64.sh" tests/system/vmm-qemu.t
