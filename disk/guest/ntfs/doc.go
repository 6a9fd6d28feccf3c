// Package ntfs tells which clusters an NTFS volume does not use.
//
// Microsoft publishes no specification. What is here follows the Linux-NTFS project's documentation (files $MFT, $Volume, $Bitmap, $LogFile, $Boot; concepts
// FILE record, attribute header, data runs, fixup, index record) and, for shadow copies, libyal's "Volume Shadow Snapshot (VSS) format", sections 3
// and 4. Only version 3.x and 1.2 volumes are read.
//
// A volume is believed if it is not marked dirty, its $LogFile was closed, Windows is not hibernated on it, and it holds no shadow copies, which
// go on reading clusters that $Bitmap calls free.
package ntfs
