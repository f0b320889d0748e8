#!/bin/busybox sh
# The guest's first process: modules, network, then one shell per command that the host
# sends. A command comes as "ID BASE64-SCRIPT"; its answer is "ID STATUS OUT ERR" with the
# lengths of what it printed, then the bytes.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t debugfs none /sys/kernel/debug
for module in /modules/*.ko; do
    # Without its modules this machine is of no use: the host reads the log.
    insmod "$module" || reboot -f
done
# A test waits for no duplicate address detection, and link-local chatter tells it nothing.
for scope in all default eth0; do
    echo 0 > /proc/sys/net/ipv6/conf/$scope/accept_dad
    echo 0 > /proc/sys/net/ipv6/conf/$scope/accept_ra
    echo 0 > /proc/sys/net/ipv6/conf/$scope/router_solicitations
done
ip link set lo up
ip link set eth0 up
# WireGuard's own words on each packet that it refuses, on all of them.
echo 0 > /proc/sys/net/core/message_cost
echo 'module wireguard +p' > /sys/kernel/debug/dynamic_debug/control

# Until the kernel knows that the host is connected, reading the channel gives its end. The
# host was there before this machine; where it is gone again, so is this machine.
tries=0
until grep -q 'host_connected: 1' /sys/kernel/debug/virtio-ports/vport*; do
    [ $((tries += 1)) -lt 100 ] || reboot -f
    usleep 10000
done
port=$(ls /sys/kernel/debug/virtio-ports)
exec 3<>"/dev/$port"
cd /run
touch channel.lock
echo "0 0 0 0" >&3
while read -r id script <&3; do
    {
        echo "$script" | base64 -d > "$id.sh"
        sh "$id.sh" > "$id.out" 2> "$id.err" < /dev/null 3>&-
        status=$?
        {
            flock 4
            echo "$id $status $(wc -c < "$id.out") $(wc -c < "$id.err")"
            cat "$id.out" "$id.err"
        } 4< channel.lock >&3
        rm -f "$id.sh" "$id.out" "$id.err"
    } &
done
# The host is gone, however it ended: so is this machine.
reboot -f
