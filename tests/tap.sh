# shellcheck shell=sh
# SPDX-License-Identifier: Apache-2.0
# TAP for shell tests: `ok DESCRIPTION COMMAND...` runs the command; `is DESCRIPTION GOT WANTED`
# compares; `like` searches a fixed string. `done_testing` prints the plan.
tap_count=0
tap_failed=0

tap_result() { # STATUS DESCRIPTION
	tap_count=$((tap_count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_count - $2"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_count - $2"
	fi
	return "$1"
}

ok() {
	tap_what=$1
	shift
	tap_output=$("$@" 2>&1)
	tap_result $? "$tap_what" || printf '%s\n' "$tap_output" | head -n 60 | sed 's/^/# /'
}

not_ok() {
	tap_what=$1
	shift
	if "$@" >/dev/null 2>&1; then tap_result 1 "$tap_what"; else tap_result 0 "$tap_what"; fi
}

is() {
	if [ "$2" = "$3" ]; then
		tap_result 0 "$1"
	else
		tap_result 1 "$1"
		printf 'got:    %s\nwanted: %s\n' "$2" "$3" | sed 's/^/# /'
		return 1
	fi
}

like() {
	case $2 in
	*"$3"*) tap_result 0 "$1" ;;
	*)
		tap_result 1 "$1"
		printf 'not found: %s\nin: %s\n' "$3" "$2" | head -n 60 | sed 's/^/# /'
		;;
	esac
}

diag() {
	printf '%s\n' "$*" | sed 's/^/# /'
}

done_testing() {
	echo "1..$tap_count"
	[ "$tap_failed" -eq 0 ]
}
