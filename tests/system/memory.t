#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A whole life of the daemon under AddressSanitizer, LeakSanitizer and UBSan: start, workload,
# crash, reload, refusal, adoption by a second daemon, end. Any finding ends the daemon with a
# report and a status that is not 0. Its images are fetched and built by a stoker-image that is
# sanitized too: a finding there ends the pull.
cd "$(dirname "$0")/../.." || exit 1
[ "$(id -u)" -eq 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
asan=${STOKER_ASAN_BUILD:-$PWD/build-asan} # see "make check-system"
STOKERD=$asan/stokerd
. tests/lib.sh
. tests/tap.sh
. tests/system/fleet-steps.sh

export ASAN_OPTIONS=detect_leaks=1:exitcode=99 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

lib_host memory 830000
ln -sf "$asan/stoker-image" "$work/libexec/"
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
