#!/bin/busybox sh
# The first program of a test kernel, in the initramfs: finds the disk and hands over to the programs on it.
# When anything here fails this script ends, the kernel panics, and there is no verdict.
set -e
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in $($b cat /modules/early); do $b insmod /modules/$module.ko; done
$b mount -t ext4 /dev/vda /root
$b mount -t tmpfs -o mode=755 run /root/run
$b cp -r /modules /job /root/run/
$b mount --move /dev /root/dev
exec $b switch_root /root /sbin/guest
