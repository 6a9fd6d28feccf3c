// Package browser makes the browser machine: a folder with a .vmx, a read-only root disk, a kernel and an initrd, whose guest does nothing
// but show Chromium on the whole screen.
//
//	browser.vmx      the machine; start page, allowed hosts, keyboard and so on are its vmm.kiosk.* keys
//	root.vmdk        root-flat.vmdk: an EROFS with the files of Debian's packages that Chromium and its compositor, cage, need
//	vmlinux, initrd  Debian's generic kernel, unpacked, and its modules with our init (images/browser/init); or the small kernel of images/browser/kernel
//	manifest.json    what everything was made of: packages, versions, checksums, licences
//
// The packages are pinned in packages.lock, down to their checksums: equal pins and an equal init give equal bytes, whenever and wherever. Of the packages
// only what runs is taken: the names in contents.go, and the libraries that those need. Nothing is installed, no package's script runs,
// and no root is needed. What the guest writes stays in its memory and is gone when it is switched off.
package browser
