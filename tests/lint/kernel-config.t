#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# config-examples/kernel: the checker names each option that Kconfig dropped or changed, and the
# fragments themselves are ones that it can pass.
cd "$(dirname "$0")/../.." || exit 1
. tests/tap.sh
kernel=config-examples/kernel
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

printf '%s\n' CONFIG_A=y CONFIG_NAME='"a=b"' '# CONFIG_OFF is not set' CONFIG_C=y CONFIG_D=m \
	CONFIG_AB=y >"$work/config"
check() { # LINE...: of a fragment
	printf '%s\n' "$@" >"$work/fragment"
	"$kernel/check-config.sh" "$work/config" "$work/fragment"
}
complaint() {
	check "$@" 2>&1 >/dev/null | sed "s|$work/||"
}

ok "what is there passes" check '# a comment' '' CONFIG_A=y 'CONFIG_NAME="a=b"' \
	'# CONFIG_OFF is not set' '# CONFIG_ABSENT is not set'
is "dropped" "$(complaint CONFIG_A=y CONFIG_B=y)" \
	'fragment:2: CONFIG_B should be y, Kconfig made it absent (are its dependencies on?)'
is "turned off" "$(complaint CONFIG_OFF=y)" \
	'fragment:1: CONFIG_OFF should be y, Kconfig made it # CONFIG_OFF is not set'
is "turned on" "$(complaint '# CONFIG_C is not set')" \
	'fragment:1: CONFIG_C should be off, Kconfig made it CONFIG_C=y'
is "another value" "$(complaint CONFIG_D=y)" \
	'fragment:1: CONFIG_D should be y, Kconfig made it CONFIG_D=m'
is "twice" "$(complaint CONFIG_A=y CONFIG_A=y)" 'fragment:2: CONFIG_A is there twice'
is "a misspelt line" "$(complaint 'CONFIG_A = y')" \
	'fragment:1: neither an option nor a comment: CONFIG_A = y'
is "all of them" "$(complaint CONFIG_B=y CONFIG_D=y | wc -l)" 2
not_ok "a complaint is a failure" check CONFIG_B=y
is "no configuration" "$("$kernel/check-config.sh" "$work/none" "$work/fragment" 2>&1)" \
	"$work/none: cannot be read"

for arch in x86_64 aarch64; do
	cat "$kernel/common.config" "$kernel/$arch.config" >"$work/all"
	ok "$arch: well-formed, nothing twice" "$kernel/check-config.sh" "$work/all" \
		"$kernel/common.config" "$kernel/$arch.config"
done
done_testing
