#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch-arm64.sh DIRECTORY: Debian's kernel for arm64 guests and a static busybox, unpacked below the
# directory as they would be installed. For tests/arm64.sh.
#
# apt gets settings, lists and a package state of its own: the machine's stay as they are, and no
# foreign architecture is added to it. Its sources and keys are the machine's, so what comes is as
# trustworthy as any package. What was fetched is kept.
set -eu
directory=${1:?usage: fetch-arm64.sh DIRECTORY}
[ ! -e "$directory/fetched" ] || exit 0
rm -rf "$directory"
mkdir -p "$directory/apt/state/lists/partial" "$directory/apt/cache/archives/partial" "$directory/root"
cd "$directory"
: >apt/status
cat >apt/conf <<-EOT
	APT::Architecture "arm64";
	APT::Architectures "arm64";
	APT::Sandbox::User "root";
	Acquire::Languages "none";
	Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
	Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
	Dir::State "$PWD/apt/state";
	Dir::State::status "$PWD/apt/status";
	Dir::Cache "$PWD/apt/cache";
EOT
export APT_CONFIG="$PWD/apt/conf"
apt-get update -q >apt/log 2>&1 || { cat apt/log >&2 && exit 1; }
image=$(apt-cache depends linux-image-cloud-arm64 | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p')
[ -n "$image" ] || { echo "fetch-arm64.sh: no linux-image-cloud-arm64 in apt's sources" >&2 && exit 1; }
apt-get download -q "$image" busybox-static >>apt/log 2>&1 || { cat apt/log >&2 && exit 1; }
for package in *.deb; do
	dpkg-deb -x "$package" root
done
rm -- *.deb
rm -r apt/state apt/cache
# As the package's own script would at its installation.
for tree in root/lib/modules/*; do
	PATH=$PATH:/usr/sbin:/sbin depmod -b root "${tree##*/}"
done
: >fetched
