#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The Firecracker driver under the whole daemon, with a fake firecracker and a fake jailer on real
# sockets, namespaces, taps and mounts: every way in which a VM ends, every call that fails, death
# between any two of them, adoption, live changes, and that nothing is left. tests/host runs the real
# ones.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
[ -c /dev/kvm ] || { echo "1..0 # SKIP no /dev/kvm, which the driver wants to see"; exit 0; }
. tests/lib.sh
. tests/tap.sh
. tests/system/firecracker-steps.sh

lib_host fc 880000
fc_host
fc_first_start
fc_jail
fc_reasons
fc_failures
fc_deaths
fc_adoption
fc_live
fc_pause
fc_choice
fc_end 880000
done_testing
