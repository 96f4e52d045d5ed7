#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# One daemon from its first start to its clean end: images from a layout, what the workload sees,
# restarts, reloads that touch nothing else, refusals, adoption after kill -9, floods, and that
# everything is freed. Guests boot under TCG; each wait is bounded by minutes, not by speed.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. tests/lib.sh
. tests/tap.sh
. tests/system/fleet-steps.sh

lib_host fleet 810000
make_images
fleet_first_start
fleet_workload
fleet_exits
fleet_restart
fleet_reload
fleet_refusals
fleet_adoption
fleet_notify
fleet_flood
fleet_end 810000
done_testing
