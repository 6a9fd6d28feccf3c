#!/bin/bash
# exercise DRIVER PORT: works the second disk, which it formats, and the network card of that driver hard, with their devices reset and the cable pulled
# meanwhile. PORT is where iperf3 listens at the gateway. At last it writes files until the machine is killed. It prints one fact a line.
. /usr/local/lib/machine.sh
readonly card_driver=$1 port=$2
readonly memory=/dev/shm unit=65536 units=32 # a worker's file is of so many units

# The kernel's complaints are asked for, and do not cut through the lines here.
dmesg --console-level 1
dmesg --clear

fail() {
	echo "exercise: failed: $*"
	exit 1
}

root=$(root_disk)
controller=$(driver "/sys/class/block/$root/device")

# find_data: sets data to the disk that is not the root's
find_data() {
	local d try
	for try in $(seq 100); do
		for d in /sys/block/*; do
			data=$(basename "$d")
			[ -b "/dev/$data" ] && [ -e "$d/device" ] && [ "$data" != "$root" ] && [ "$(driver "$d/device")" = "$controller" ] && return
		done
		sleep 0.1
	done
	fail "there is no second disk on $controller"
}

# verify FILE: writes what is in memory to it, past the cache, and reads it back
verify() {
	dd if=$memory/source of="$1" bs=128K oflag=direct conv=fsync status=none && dd if="$1" bs=128K iflag=direct status=none | cmp - $memory/source
}

# work FILE: writes to it and verifies what it reads, other data each time, until there is the file stop
work() {
	local rounds=0 at
	while [ ! -e $memory/stop ]; do
		at=$((rounds % 15 * units))
		dd if=$memory/source of="$1" bs=$unit skip=$at count=$units oflag=direct conv=notrunc,fsync status=none || fail "writing $1"
		dd if="$1" bs=$unit iflag=direct status=none | cmp --bytes=$((units * unit)) --ignore-initial=0:$((at * unit)) - $memory/source || fail "$1 was not what was written"
		rounds=$((rounds + 1))
	done
	echo $rounds >"$memory/rounds.$(basename "$1")"
}

# begin_load, end_load: workers on both disks; the end prints how much they wrote and read
begin_load() {
	rm -f $memory/stop $memory/rounds.*
	for f in /data/a /data/b /data/c /root/d; do
		work $f &
	done
}
end_load() {
	touch $memory/stop
	wait
	[ "$(cat $memory/rounds.* | wc -l)" = 4 ] || fail "a worker ended"
	echo "exercise: load $(awk -v "each=$((units * unit >> 20))" '{ n += $1 * each } END { print n }' $memory/rounds.*) MiB during $resets resets"
}

# reset COMMAND...: one that resets a device
resets=0
reset() {
	"$@" >$memory/reset 2>&1 || fail "$*: $(cat $memory/reset)"
	resets=$((resets + 1))
	sleep 0.3 # the load goes on in between
}

# into FILE TEXT: for files of /sys
into() {
	echo "$2" >"$1"
}

# host DISK: its SCSI host
host() {
	readlink -f "/sys/block/$1/device" | sed 's,.*/\(host[0-9]*\)/.*,\1,'
}

# reset_controller: whatever Linux has for it
reset_controller() {
	local i h
	case $controller in
	mptsas | mptspi | vmw_pvscsi)
		reset sg_reset --no-esc --device "/dev/$data"
		reset sg_reset --no-esc --device "/dev/$root"
		# The driver for SAS, where a bus is a pair, has none.
		[ "$controller" = mptsas ] || reset sg_reset --no-esc --bus "/dev/$data"
		reset sg_reset --no-esc --host "/dev/$root"
		;;
	ata_piix | ahci)
		# A scan for drives by hand resets the port.
		for i in 1 2 3; do
			for h in $(host "$data") $(host "$root"); do
				reset into "/sys/class/scsi_host/$h/scan" '- - -'
			done
		done
		;;
	nvme)
		for i in 1 2 3; do
			reset nvme reset "/dev/${root%n*}"
			reset into "/sys/class/nvme/${root%n*}/device/reset" 1 # the PCI function
		done
		;;
	virtio-pci)
		# Going to sleep resets every device. What is written behind the load's back is on its way then.
		into /sys/power/sync_on_suspend 0
		into /sys/module/suspend/parameters/pm_test_delay 1
		into /sys/power/pm_test devices
		for i in 1 2; do
			dd if=$memory/source of=/data/behind bs=1M conv=notrunc status=none
			sync /data/behind &
			reset into /sys/power/state freeze
		done
		into /sys/power/pm_test none
		;;
	*)
		fail "no reset is known for $controller"
		;;
	esac
}

# unplug_data: takes the second disk from its driver while it is read, and gives it back
unplug_data() {
	local device i readers
	device=$(basename "$(readlink -f "/sys/block/$data/device")")
	umount /data
	for i in 1 2 3 4; do
		(while dd if="/dev/$data" of=/dev/null bs=64K iflag=direct status=none; do :; done) 2>/dev/null &
		readers="$readers $!"
	done
	sleep 0.5
	reset into /sys/bus/virtio/drivers/virtio_blk/unbind "$device"
	wait $readers
	into /sys/bus/virtio/drivers/virtio_blk/bind "$device" || fail "binding $device"
	find_data
	mount "/dev/$data" /data
}

head -c 32M /dev/urandom >$memory/source
find_data
mkfs.ext4 -q -F "/dev/$data" || fail "mkfs"
mkdir -p /data
mount "/dev/$data" /data || fail "mount"
verify /data/load || fail "the data disk does not keep its data"
echo "exercise: verified 32 MiB"
begin_load
sleep 1
reset_controller
sleep 1
end_load
[ "$controller" != virtio-pci ] || unplug_data
echo 1 >/proc/sys/vm/drop_caches
cmp /data/load $memory/source || fail "the data disk has lost data"
echo "exercise: resets $resets"
complaints | sed 's/^/exercise: complaint storage: /'
dmesg --clear

# The network.
for card in $(cards); do
	[ "$(driver "/sys/class/net/$card/device")" != "$card_driver" ] || break
done

# perf OPTION...: runs iperf3 through the card
perf() {
	timeout 300 iperf3 --client 10.0.2.2 --port "$port" --bind-dev "$card" --format m "$@" >$memory/perf 2>&1 || fail "iperf3 $*: $(cat $memory/perf)"
}
# rate: what its last run says that arrived
rate() {
	awk '/receiver/ { print $5, $6, $7, $8 }' $memory/perf
}
# bad_sums WHEN: what the card's driver and the kernel count of bad frames
bad_sums() {
	ethtool --statistics "$card" | awk 'tolower($0) ~ /err|csum|crc|bad|timeout|hang/ && !/csum_offload_good|csum.*good/ && $NF != 0' | sed "s/^ */exercise: counted $1: /"
	nstat --zeros --ignore --noupdate | awk 'tolower($1) ~ /csum/ && $2 != 0' | sed "s/^/exercise: counted $1: /"
}

perf --bytes 8M
echo "exercise: iperf out $(rate)"
perf --bytes 8M --reverse
echo "exercise: iperf in $(rate)"
bad_sums load

perf --time 10 &
sleep 1
ip link set dev "$card" down
sleep 0.3
ip link set dev "$card" up
sleep 4
echo "exercise: cable"
wait $! || fail "the connection did not outlive its link"
for try in $(seq 240); do
	[ -z "$(address "$card")" ] || break
	sleep 0.5
done
echo "exercise: link $(address "$card")"
perf --bytes 1M
bad_sums link
complaints | sed 's/^/exercise: complaint network: /'
systemctl list-units --failed --plain --no-legend | sed 's/^/exercise: complaint systemd: /'
echo "exercise: done"

# Here the machine is killed.
begin_load
for n in $(seq 100); do
	head -c 256K /dev/urandom >$memory/kept
	dd if=$memory/kept of=/data/kept.$n bs=64K conv=fsync status=none || fail "kept.$n"
	sync /data
	echo "exercise: flushed kept.$n $(sha256sum <$memory/kept)"
done
