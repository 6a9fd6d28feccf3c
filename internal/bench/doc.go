// Command bench measures vmm against its peers, side by side in one run: `make bench`.
//
//   - exits: nanoseconds from a guest's port access to its next instruction, through vcpu and bus, against the same guest under a bare
//     loop in C; on the /dev/kvm of this host, paravirtual or not.
//   - start: wall time from the start of the monitor's process to the first byte that a kernel of some bytes prints, and where vmm's goes by its own
//     timeline up to the first guest instruction; on the /dev/kvm of this host, paravirtual or not (vmm alone), and in the nested host.
//   - boot: wall time from the start of the monitor's process to the first line of the guest's init on the serial console.
//   - firmware: wall time from the start of the monitor's process until GRUB speaks, from a disk that SeaBIOS and OVMF start, against QEMU q35
//     with the same firmware, the same disk and a card without a boot ROM; in the same nested host, taking turns.
//   - memory: what the monitor's process holds beside the guest's RAM, once the guest has driven disk and network card; with
//     -only memory also ten seconds later.
//   - network: TCP from a guest and to it in MiB/s, and requests of 64 bytes answered per second, over the user network and over TAP;
//     the other end is a process of the host, which takes the time.
//   - block: what a guest reads from its disk and writes to it past its own page cache, one after the other in MiB/s, at random in
//     accesses of 4 KiB per second at depths of 1 and 32; from a raw file and from a VMDK, both in the host's page cache.
//   - snapshot (only when asked for): wall time from the start of the monitor's process until a VNC viewer has the guest's picture, right in every pixel, and
//     until it has the guest's answer to a key, with guests of two sizes of RAM that go on from where they were saved; and what that took: page
//     faults, bytes read from the disk, milliseconds for the devices' state. With -vmx it is the machine of that file, once its picture has settled.
//   - density (only when asked for): how much memory (PSS) each further machine from one snapshot adds, once it has answered a key.
//   - instant (only when asked for): wall time from the command vmm session until a VNC viewer has the page of a browser machine, right in every pixel; when it
//     boots, and when it starts from the snapshot for instant starts that was made meanwhile (second), and there until it has the page's answer to a key, too; the same where no
//     rehearsal has found out which pages are needed first (unrehearsed); and until that snapshot is there (saved), and rehearsed; with Debian's kernel and with the small one. It
//     runs where a user would, in the nested host, whose own boot is told (host), and, where this host's KVM can, without.
//   - switch (only when asked for): milliseconds from the hotkey's arrival at a session of two machines until the other one's picture is on the surface that all
//     frontends show, and until a VNC viewer has it; while the second machine boots by its firmware, again and again, and while it rests.
//   - background (only when asked for): what a guest gets done in front of a session while another machine boots behind it and both want the only processor, against
//     the same while that one is stopped.
//   - screen (only when asked for): what a guest that redraws 1920 by 1080 pixels 60 times a second costs the host beside its own work, in percent of a processor:
//     threads of the monitor that run no guest, and exits of those that do.
//
// Boot and memory run in one nested host, one boot after the other, taking turns: vmm, QEMU microvm, QEMU pc and gokvm, with
// the same kernel, initrd, command line and RAM, and a disk, a network card, an entropy source and a paravirtual console each.
//
// So does network, with vmm and QEMU pc taking turns: the same kernel, initrd, card and sizes of queues. QEMU's TAP is without vhost: the
// kernel would carry the frames, which is another design than the one to compare, and one that vmm does not have.
//
// And so does block: vmm, and QEMU pc with each of its ways to a file that the file system allows.
//
// And so do snapshot and density: vmm, and QEMU pc with RAM in a file that it maps privately, and its devices' state from a descriptor. What is saved lies in an
// ext4 on a loop device in the nested host's memory. Warm, its files are in the page cache; cold, they are not, but the programs are.
//
// The outer process builds everything and starts itself again in the nested host (`bench inner`), where nothing is compiled. Each
// figure also comes as a line RESULT name ours=X peer=Y peername=P ratio=Z unit=U, ratio being above 1 where vmm is ahead of the peer.
package main
