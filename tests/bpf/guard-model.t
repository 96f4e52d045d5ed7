#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A million frames through the guard and its model; `make check-guard` runs ten.
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
cd "$(dirname "$0")/../.." || exit 1
. tests/tap.sh
ok "the guard and its model judge a million frames alike" \
	env FRAMES=1000000 "${STOKER_BUILD:-build}/tests/guard_fuzz"
diag "$tap_output"
done_testing
