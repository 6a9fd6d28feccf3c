// Command bench measures vmm against its peers, side by side in one run: `make bench`.
//
//   - exits: nanoseconds from a guest's port access to its next instruction, through vcpu and bus, against the same guest under a bare
//     loop in C; on the /dev/kvm of this host, paravirtual or not.
//   - boot: wall time from the start of the monitor's process to the first line of the guest's init on the serial console.
//   - memory: what the monitor's process holds beside the guest's RAM, once the guest has driven disk and network card.
//
// Boot and memory run in one nested host, one boot after the other, taking turns: vmm, QEMU microvm, QEMU pc and gokvm, with
// the same kernel, initrd, command line and RAM, and a disk, a network card, an entropy source and a paravirtual console each.
//
// The outer process builds everything and starts itself again in the nested host (`bench inner`), where nothing is compiled. Each
// figure also comes as a line RESULT name ours=X peer=Y peername=P ratio=Z unit=U, ratio being peer/ours: above 1 is ahead of the peer.
package main
