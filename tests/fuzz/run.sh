#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzzer of a directory for some seconds, as many at once as there are processors, each
# from its seeds in tests/fuzz/corpus/NAME. What it finds beyond them is not kept, but an input that
# broke something is: DIRECTORY/broke-NAME-*.
#   tests/fuzz/run.sh DIRECTORY SECONDS
set -u
cd "$(dirname "$0")/../.." || exit 1
directory=$1 seconds=$2

# run.sh --one DIRECTORY SECONDS PROGRAM: one fuzzer; says one line, and its log when it failed.
if [ "$1" = --one ]; then
	directory=$2 seconds=$3 name=${4##*/fuzz_}
	[ -d "tests/fuzz/corpus/$name" ] ||
		{ echo "$name: no seeds in tests/fuzz/corpus/$name" >&2; exit 1; }
	found=$(mktemp -d)
	trap 'rm -rf "$found"' EXIT
	# A run may take its time on a busy machine; memory may not.
	if "$4" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$directory/broke-$name-" "$found" "tests/fuzz/corpus/$name" \
		>"$found.log" 2>&1; then
		sed -n "s/^stat::number_of_executed_units: */$name: runs: /p" "$found.log"
		rm -f "$found.log"
		exit 0
	fi
	echo "$name: broken; the input is $directory/broke-$name-*:" >&2
	tail -n 60 "$found.log" >&2
	rm -f "$found.log"
	exit 1
fi

ls "$directory"/fuzz_* | xargs -P "$(nproc)" -n 1 "$0" --one "$directory" "$seconds" ||
	{ echo "a fuzzer found something" >&2; exit 1; }
