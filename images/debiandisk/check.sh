#!/bin/bash
# Prints what the system sees of its machine, one fact a line.

# driver FOLDER: the PCI driver of the device that a folder of /sys belongs to
driver() {
	local d
	d=$(readlink -f "$1")
	while [ "$d" != /sys ] && [ "$d" != / ]; do
		if [ -e "$d/vendor" ] && [ -e "$d/driver" ] && [ "$(basename "$(readlink -f "$d/subsystem")")" = pci ]; then
			basename "$(readlink -f "$d/driver")"
			return
		fi
		d=$(dirname "$d")
	done
}

if [ -d /sys/firmware/efi ]; then echo "check: firmware efi"; else echo "check: firmware bios"; fi

part=$(basename "$(readlink -f "$(findmnt -n -o SOURCE /)")")
disk=$(basename "$(dirname "$(readlink -f "/sys/class/block/$part")")")
echo "check: root $(driver "/sys/class/block/$disk/device") $disk $(cat "/sys/class/block/$disk/size")"

# What is written is what is read, from the disk.
dd if=/dev/urandom of=/root/data bs=64K count=64 conv=fsync status=none
wrote=$(sha256sum </root/data)
echo 1 >/proc/sys/vm/drop_caches
[ "$(dd if=/root/data bs=64K iflag=direct status=none | sha256sum)" = "$wrote" ] && echo "check: disk keeps"
rm /root/data
sync

# All cards have some time to get their addresses.
for try in $(seq 120); do
	missing=
	for n in /sys/class/net/*; do
		[ -e "$n/device" ] || continue
		ip -4 -o address show dev "$(basename "$n")" | grep -q inet || missing=yes
	done
	[ -n "$missing" ] || break
	sleep 0.5
done
for n in /sys/class/net/*; do
	[ -e "$n/device" ] || continue
	name=$(basename "$n")
	echo "check: card $(driver "$n/device") $(ip -4 -o address show dev "$name" | sed 's/.*inet \([0-9.]*\).*/\1/')"
done

systemctl list-units --failed --plain --no-legend | sed 's/^/check: failed /'
dmesg --level=emerg,alert,crit,err,warn | sed 's/^/check: complaint /'
echo "check: done"
