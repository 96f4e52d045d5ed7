#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check-config.sh .config FRAGMENT...: is every line of the fragments what Kconfig made of it? Names
# each option that is not: one without its dependencies, or of another version of Linux, is dropped
# without a word.
set -eu
config=${1:?usage: check-config.sh .config FRAGMENT...}
shift
exec awk -v config="$config" '
function name_of(line) {
	if (line ~ /^CONFIG_[A-Za-z0-9_]+=/)
		return substr(line, 1, index(line, "=") - 1)
	if (line ~ /^# CONFIG_[A-Za-z0-9_]+ is not set$/)
		return substr(line, 3, length(line) - 13)
	return ""
}
BEGIN {
	while ((status = (getline line < config)) > 0)
		if (name_of(line) != "")
			got[name_of(line)] = line
	if (status < 0) {
		printf "%s: cannot be read\n", config > "/dev/stderr"
		exit 1
	}
}
{ name = name_of($0) }
name == "" && !/^($|#)/ { complain("neither an option nor a comment: " $0) }
name == "" { next }
name in wanted { complain(name " is there twice") }
{ wanted[name] = 1 }
/^#/ && (name in got) && got[name] != $0 {
	complain(name " should be off, Kconfig made it " made(name))
}
/^C/ && made(name) != $0 {
	complain(name " should be " substr($0, length(name) + 2) ", Kconfig made it " made(name))
}
function made(name) {
	return (name in got) ? got[name] : "absent (are its dependencies on?)"
}
function complain(what) {
	printf "%s:%d: %s\n", FILENAME, FNR, what > "/dev/stderr"
	failed = 1
}
END { exit failed }
' "$@"
