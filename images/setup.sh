#!/bin/sh
# Installs the Debian packages that are missing for a purpose, and nothing else:
#
#	setup.sh run      build vmm and run the demo machine (the default)
#	setup.sh session  also: make and boot machines by their firmware
#	setup.sh test     also: every test
#	setup.sh boots    also: what make firmware-matrix boots beside that (130 MB)
#	setup.sh viewers  instead: what looks at a session from outside, a browser among it (110 MB)
#	setup.sh bench    also: the programs that the benchmarks compare with
#	setup.sh kernel   compile the browser machine's small kernel
#
# Needs root or sudo only where something is missing. Go itself has to be there.
set -eu

fail() {
	echo "setup: $*" >&2
	exit 1
}

# Go: from go.mod, so that there is one place that says which. Since 1.21 an older Go fetches the newer one by itself.
wanted=$(sed -n 's/^go //p' "$(dirname "$0")/../go.mod")
[ -n "$(command -v go)" ] || [ ! -x /usr/local/go/bin/go ] || fail 'Go is not on the PATH: PATH=$PATH:/usr/local/go/bin'
command -v go >/dev/null || fail "Go $wanted is missing: install it from https://go.dev/dl/ and put its bin folder on the PATH"
have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || have=$(go version | cut -d ' ' -f 3)
minor=${have#go1.}
minor=${minor%%[!0-9]*}
[ "${minor:-0}" -ge 21 ] || fail "Go $wanted or newer is needed, and this is $have: install it from https://go.dev/dl/"

# e2fsprogs makes the guests' disks, xz-utils unpacks their kernels, ca-certificates lets go and apt fetch things.
packages='ca-certificates e2fsprogs xz-utils'
# QEMU runs the nested host: for tests everywhere, and for machines where KVM is missing or runs no ordinary guests.
nested='qemu-system-x86'
# Other people's programs for disk images, network block devices, partitions and file systems.
disks='qemu-utils libvmdk-utils libvhdi-utils libnbd-bin fuse3 fdisk gdisk ntfs-3g xfsprogs dosfstools mtools'
# What a PC boots by.
firmware='seabios ovmf'
# An X server without a screen, and somebody who types and clicks there.
windows='xvfb xdotool xclip'
# Who looks at machines from outside.
viewers='tigervnc-viewer vncsnapshot chromium'
# The agent of guests that share a clipboard.
agents='spice-vdagent'
# Other people's boot loaders, to be booted by it.
bootable='grub-common grub-pc-bin grub-efi-amd64-bin xorriso memtest86+ ipxe ipxe-qemu mmdebstrap systemd-boot-efi'
installer=debian-installer-12-netboot-amd64
case ${1-run} in
run | session | viewers)
	[ "${1-run}" = viewers ] && packages="$packages $windows $viewers"
	[ "${1-run}" = run ] || packages="$packages $firmware grub-common grub-pc-bin grub-efi-amd64-bin mtools"
	if [ ! -e /sys/module/kvm_intel ] && [ ! -e /sys/module/kvm_amd ] || [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
		packages="$packages $nested"
	fi
	;;
test | boots)
	[ "$1" = boots ] && packages="$packages $installer"
	# What other programs make of our tables, and of our disks and what guests keep on them.
	packages="$packages $nested acpica-tools dmidecode vncsnapshot swtpm iperf3 $windows $agents $disks $firmware $bootable"
	;;
bench)
	packages="$packages $nested acpica-tools $disks $firmware $bootable gcc libc6-dev"
	;;
kernel)
	packages="$packages gcc libc6-dev binutils make flex bison bc libelf-dev"
	;;
*)
	fail "unknown purpose '$1': run, session, test, boots, viewers, bench or kernel"
	;;
esac

command -v dpkg-query >/dev/null ||
	fail "this is no Debian: install what these packages hold by hand: $packages"
# dpkg-query fails for a name that it never heard of, and tells of the others all the same.
installed=$(dpkg-query -W -f '${Package}:${Status} ' $packages 2>/dev/null) || true
missing=
for p in $packages; do
	case " $installed" in
	*" $p:install ok installed "*) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || fail "missing:$missing. As root: apt-get install$missing"
	sudo=sudo
fi
echo "setup: installing$missing"
apt='apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0'
# Lists may be missing, as in a container, or too old to name files that still exist.
apt-cache show $missing >/dev/null 2>&1 || $sudo apt-get -qq update || fail "apt-get update failed: is there a network?"
$sudo env DEBIAN_FRONTEND=noninteractive $apt install $missing >/dev/null || {
	$sudo apt-get -qq update || fail "apt-get update failed: is there a network?"
	$sudo env DEBIAN_FRONTEND=noninteractive $apt install $missing >/dev/null ||
		fail "could not install$missing; apt's complaint stands above"
}
