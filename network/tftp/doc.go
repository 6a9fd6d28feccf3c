// Package tftp serves the files of one folder by the Trivial File Transfer Protocol, for machines that boot from a network: read only, and with
// nothing of the protocol's client in it. It knows no sockets: package usernet carries the datagrams.
//
// The client is a guest, and hostile. The folder is opened whole before it runs, so that what it asks for is looked up in a table of names and no
// path is made of it: there is nothing to escape from, and no file is opened later, which a process in its sandbox could not do. A transfer takes the
// memory of one block, however large the window, and ends when the client has said nothing for a while.
//
// RFC 1350 (octet mode), with the options of RFC 2347: blksize (2348), tsize and timeout (2349), windowsize (7440). Block numbers start again at zero behind
// 65535, as all clients expect that can read longer files at all.
package tftp
