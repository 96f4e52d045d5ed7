#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A whole life of the daemon under AddressSanitizer, LeakSanitizer and UBSan: start, workload,
# crash, reload, refusal, adoption by a second daemon, end. Any finding ends the daemon with a
# report and a status that is not 0.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
STOKERD=${STOKER_ASAN_BUILD:-$PWD/build-asan}/stokerd # see "make check-system"
. tests/lib.sh
. tests/tap.sh
. tests/system/fleet-steps.sh

export ASAN_OPTIONS=detect_leaks=1:exitcode=99 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

lib_host memory 830000
make_images
fleet_first_start
fleet_restart
fleet_reload
fleet_refusals
fleet_adoption
fleet_end 830000
ok "the sanitizers have nothing to say" \
	sh -c '! grep -nE "Sanitizer|runtime error" "$1"' - "$work/daemon.log"
done_testing
