#!/bin/bash
# Prints what the system sees of its machine, one fact a line.
. /usr/local/lib/machine.sh

if [ -d /sys/firmware/efi ]; then echo "check: firmware efi"; else echo "check: firmware bios"; fi

disk=$(root_disk)
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
	for n in $(cards); do
		[ -n "$(address "$n")" ] || missing=yes
	done
	[ -n "$missing" ] || break
	sleep 0.5
done
for n in $(cards); do
	echo "check: card $(driver "/sys/class/net/$n/device") $(address "$n")"
done

systemctl list-units --failed --plain --no-legend | sed 's/^/check: failed /'
complaints | sed 's/^/check: complaint /'
echo "check: done"
