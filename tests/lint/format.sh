#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every C file is as clang-format would write it. `tests/lint/format.sh --fix` rewrites them.
cd "$(dirname "$0")/../.." || exit 2
files=$(git ls-files '*.c' '*.h' 2>/dev/null) || files=
[ -n "$files" ] || files=$(find supervisor bpf guest-init tests -name '*.[ch]')
if [ "${1-}" = --fix ]; then
	echo "$files" | xargs clang-format -i --style=file
else
	echo "$files" | xargs clang-format --style=file --dry-run -Werror
fi
