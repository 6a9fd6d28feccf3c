// Package vmx reads and writes VMware's .vmx machine files without losing a byte, and translates them to
// [config.Machine].
//
// There is no published specification. What is known, and relied on here:
//
//   - A file is lines of key = "value". Keys fold case. Blank lines and lines that begin with # or // carry nothing.
//     Values without quotes occur in files written by hand.
//   - Inside a value |XX is the byte with that hexadecimal code; VMware writes the quote, the bar, # and control
//     characters so (|22, |7C, |23, |0A).
//   - .encoding names the character set of the values; without it the file is read as UTF-8 if it is valid UTF-8, and as
//     windows-1252 otherwise.
//   - X.present = "FALSE" switches off everything below X.
//   - VMware refuses a file that defines a key twice, in whatever case ("Variable is already defined"). Here [File.Get]
//     gives the last definition; [Load] warns when the definitions agree and refuses the file when they differ.
//
// Keys beginning with vmm. are this project's; VMware ignores them. Before a device key they override it
// for vmm alone: a file can give VMware scsi0.virtualDev = "lsilogic" and vmm vmm.scsi0.virtualDev = "virtio", or
// have a disk that only vmm sees (vmm.scsi0:1.fileName = "data.vhd").
//
// A .vmx may come from a stranger. Reading is bounded ([MaxFileSize], [MaxLines]), only regular files are opened,
// every file that a key names must lie in the folder of the .vmx (symbolic links followed) and be a regular file, and
// whatever gives the guest a part of the host needs an [Options] field set by the user.
package vmx
