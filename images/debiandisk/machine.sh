# What scripts ask of the machine; sourced by them.

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

# root_disk: the disk that the root file system is on
root_disk() {
	local part
	part=$(basename "$(readlink -f "$(findmnt -n -o SOURCE /)")")
	basename "$(dirname "$(readlink -f "/sys/class/block/$part")")"
}

# cards: the network cards
cards() {
	local n
	for n in /sys/class/net/*; do
		[ -e "$n/device" ] && basename "$n"
	done
}

# address CARD: its IPv4 address, if it has one
address() {
	ip -4 -o address show dev "$1" | sed 's/.*inet \([0-9.]*\).*/\1/'
}

# complaints: what the kernel has warned of
complaints() {
	dmesg --level=emerg,alert,crit,err,warn
}
