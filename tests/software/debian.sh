#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# debian.sh DIRECTORY: DIRECTORY/debian.tar, a Debian of the suite that runs here with servers as
# Debian ships them, installed by its own tools from the archives that this machine itself uses. It
# is kept, under a key of everything it is made from. Needs root, mmdebstrap, and a network.
set -eu
directory=${1:?usage: debian.sh DIRECTORY}
packages=nginx-light,redis-server,python3-flask,python3-redis,gunicorn,cron,bsdutils
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
	'Created-By: Packages' 'Origin: Debian' | sort -u)
key=$(printf '%s\n' "$sources" | cat "$0" - | sha256sum)
[ "$(cat "$directory/key" 2>/dev/null)" != "$key" ] || exit 0

rm -rf "$directory"
mkdir -p "$directory"
printf '%s\n' "$sources" | mmdebstrap --quiet --mode=root --variant=essential \
	--include="$packages" --dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	"$suite" "$directory/debian.tar" - >&2
echo "$key" >"$directory/key"
