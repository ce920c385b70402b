#!/bin/sh
# The guest's first process (see guest-v2.sh): mounts as systemd makes them, the cgroup tree of a systemd host, then the
# program whose words lie in /boxship/command.
export PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=000 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -o remount,rw /
mount --make-rshared /
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
hostname guest
ulimit -n 1048576

# systemd keeps itself in init.scope and each service in system.slice, and enables these controllers at the root.
cd /sys/fs/cgroup
mkdir -p init.scope system.slice/boxship.service
echo $$ >init.scope/cgroup.procs
for controller in ${CONTROLLERS:-cpuset cpu io memory pids}; do
    echo "+$controller" >cgroup.subtree_control
done
echo "+memory +pids" >system.slice/cgroup.subtree_control
cd /boxship

ip link set lo up
modprobe virtio_net 2>/dev/null
ip addr add 10.0.2.15/24 dev eth0 2>/dev/null && ip link set eth0 up && ip route add default via 10.0.2.2
echo "nameserver 10.0.2.3" >/etc/resolv.conf
printf '127.0.0.1 localhost guest\n' >/etc/hosts

set --
while IFS= read -r word; do set -- "$@" "$word"; done </boxship/command
echo "guest: $(uname -sr), $(stat -f -c %T /sys/fs/cgroup): $(cat /sys/fs/cgroup/cgroup.subtree_control)"
sh -c 'echo $$ >/sys/fs/cgroup/system.slice/boxship.service/cgroup.procs; exec "$@"' sh python "$@" </dev/null 2>&1
echo "guest: program ended with $?"
sync
echo o >/proc/sysrq-trigger
while :; do sleep 1; done
