package guesttest

import "testing"

// TestBootsEFIShell has OVMF, which finds nothing else to start, run its shell on the serial port: a script on the disk, and then commands that are typed.
func TestBootsEFIShell(t *testing.T) {
	needMatrix(t)
	f := newFirmwareFile(t, "efi")
	f.bootloaderDisk(t, nil, map[string]string{"/startup.nsh": "@echo -off\r\necho script: by shell %uefishellversion%\r\n"})
	f.addDiskOn("nvme", "disk.img")
	x := f.startTerminal(t)
	x.await(`UEFI Interactive Shell v2\.\d`)
	x.await(`FS0:`)
	x.await(`script: by shell 2\.\d`)
	x.await(`Shell> `)
	x.enter("ver")
	x.await(`UEFI Interactive Shell v2\.\d`)
	x.await(`Shell> `)
	x.enter("fs0:")
	x.await(`FS0:\\> `)
	x.enter("ls")
	x.await(`Directory of: FS0:\\`)
	x.await(`startup\.nsh`)
	x.await(`FS0:\\> `)
	x.enter("reset -s")
	x.end()
}
