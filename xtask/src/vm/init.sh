#!/bin/busybox sh
# Process 1 of the virtual machine: runs every test program with the arguments it is given, and says how that went.
busybox=/bin/busybox
export PATH=/bin TMPDIR=/tmp FLOWTALLY_BIN=/bin/flowtally RUST_BACKTRACE=0
# Emulated, to load the programs takes many seconds while the host is busy.
export FLOWTALLY_PATIENCE=240

$busybox mkdir -p /proc /sys /dev /tmp
$busybox mount -t proc none /proc
$busybox mount -t sysfs none /sys
$busybox mount -t devtmpfs none /dev
$busybox mkdir -p /dev/pts
$busybox mount -t devpts none /dev/pts
$busybox mount -t cgroup2 none /sys/fs/cgroup

# What the tests of walks take from their host: a process that waits, and itself to talk to.
$busybox ln -s busybox /bin/sleep
ip link set lo up

echo "flowtally-vm: begin"
status=0
for module in /modules/*; do
    $busybox insmod "$module" || status=$?
done
for test in /tests/*; do
    echo "flowtally-vm: program ${test##*/}"
    "$test" "$@" </dev/null || status=$?
done
echo "flowtally-vm: end $status"
$busybox poweroff -f
