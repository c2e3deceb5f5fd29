#!/bin/busybox sh
# Pid 1 of a test kernel, on its disk: what a booted host has, then the job, then the verdict.
set -e
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root
busybox mount -t proc -o nosuid,nodev,noexec proc /proc
busybox mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
busybox mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
busybox mount -t securityfs securityfs /sys/kernel/security
busybox mount -t tracefs tracefs /sys/kernel/tracing
busybox mount -t bpf -o mode=700 bpf /sys/fs/bpf
busybox mkdir -p /dev/pts /dev/shm /dev/mqueue
busybox mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
busybox mount -t tmpfs -o mode=1777 shm /dev/shm
busybox mount -t mqueue mqueue /dev/mqueue
busybox mount -t tmpfs -o mode=1777 tmp /tmp
busybox ln -sf /proc/self/fd /dev/fd
busybox ln -sf fd/0 /dev/stdin
busybox ln -sf fd/1 /dev/stdout
busybox ln -sf fd/2 /dev/stderr
busybox ip link set lo up
busybox hostname guest
# Debian's own setting lets nobody but root try; attacks are tried by an ordinary user.
echo 2 > /proc/sys/kernel/perf_event_paranoid
# A disk made by an ordinary user belongs to that user.
[ "$(busybox stat -c %u /etc)" = 0 ] || busybox find / -xdev -exec busybox chown -h 0:0 {} +
busybox mkdir -p /root /home/jo /var/tmp
busybox chmod 1777 /var/tmp
busybox chown 1000:1000 /home/jo
busybox stty -F /dev/ttyS1 raw -echo
# A session of its own: the job shall not be able to signal its way to pid 1's terminal.
verdict=failed
if busybox setsid busybox sh /run/job </dev/null >/dev/ttyS1 2>&1; then verdict=passed; fi
# What stands on the second disk is the verdict. A panic or a hang writes nothing there.
echo "$verdict" | busybox dd of=/dev/vdb conv=fsync 2>/dev/null
busybox poweroff -f
