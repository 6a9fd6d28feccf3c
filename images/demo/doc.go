// Command demo makes and runs the demo machine: a folder as a user would have one, with a .vmx, a VMDK and a VHD, and a small Debian in it.
//
//	demo build [--fresh] [--init FILE] FOLDER    make what is missing or out of date
//	demo build-session [--fresh] [--init FILE] FOLDER    the same for the two machines of a session
//	demo run --vmm FILE FOLDER                   boot it: to its console on a terminal, to a self-check without one
//
// The guest is Debian's cloud kernel, package guest's init, and Debian's busybox-static. A build changes only what its inputs demand
// (manifest.json in the folder remembers them): the disks keep what the guest wrote.
package main
