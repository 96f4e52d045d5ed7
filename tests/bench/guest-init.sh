#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# /init of a busybox guest for bench-guest: what stoker-init does of mounts, overlay and network, as a
# shell would write it, with nothing in it that stoker-init does besides (no log daemon, no names in
# /etc, no neighbour entries, which this busybox cannot make, no control group for the workload).
# Its applets run without an exec where busybox has it so.
PATH=/bin
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev
for module in /modules/*; do
	insmod "$module"
done
for disk in /sys/block/vd*; do
	read -r serial <"$disk/serial"
	case $serial in
	base) base=/dev/${disk##*/} ;;
	upper) upper=/dev/${disk##*/} ;;
	esac
done
mount -t squashfs -o ro,nodev "$base" /base
mount -t ext4 -o nodev,noatime "$upper" /upper
mkdir -p /upper/upper /upper/work
mount -t overlay -o nodev,noatime,lowerdir=/base,upperdir=/upper/upper,workdir=/upper/work overlay /root
umount -l /base
umount -l /upper
mkdir -p /root/proc /root/sys /root/dev /root/run /root/tmp
mount -t proc -o nosuid,nodev,noexec proc /root/proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /root/sys
mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /root/dev
mkdir -p /root/dev/pts /root/dev/shm /root/dev/mqueue
mount -t devpts -o nosuid,noexec,gid=5,mode=0620,ptmxmode=0666 devpts /root/dev/pts
mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 tmpfs /root/dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue /root/dev/mqueue
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /root/sys/fs/cgroup
mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /root/run
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /root/tmp
ln -s /proc/self/fd /root/dev/fd
ln -s /proc/self/fd/0 /root/dev/stdin
ln -s /proc/self/fd/1 /root/dev/stdout
ln -s /proc/self/fd/2 /root/dev/stderr
ip link set lo up
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra
echo 0 >/proc/sys/net/ipv6/conf/eth0/autoconf
echo 1 >/proc/sys/net/ipv6/conf/eth0/addr_gen_mode
ip link set eth0 up
ip addr add 10.20.0.10/32 dev eth0
ip addr add fd00:20::10/128 dev eth0
ip route add 169.254.1.1 dev eth0
ip route add default via 169.254.1.1 dev eth0
ip -6 route add fe80::1 dev eth0
ip -6 route add default via fe80::1 dev eth0
hostname boot
umount -l /dev
umount -l /sys
umount -l /proc
exec switch_root /root /bin/bench ran
