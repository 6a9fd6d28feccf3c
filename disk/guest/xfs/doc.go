// Package xfs tells which blocks an XFS file system does not use.
//
// It follows "XFS Algorithms & Data Structures", third edition, chapters Superblocks, AG Free Space Management (AGF, free space B+trees), Short Format
// B+trees and Journaling Log, for versions 4 and 5. The log counts as clean only if its last record is that of an unmount; it is never replayed.
package xfs
