#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every frame of the guard's tables through real taps: none of the hostile ones arrives at another's
# tap, each of the lawful ones does. `make bench-guard` installs the rivals of the comparison.
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
cd "$(dirname "$0")/../.." || exit 1
. tests/tap.sh
ok "no hostile frame arrives, and no lawful one is lost" \
	"${STOKER_BUILD:-build}/tests/bench_guard_leaks" -v
diag "$tap_output"
done_testing
