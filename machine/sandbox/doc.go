// Package sandbox confines the process of a running machine to what the machine needs from then on, so that a guest which takes the
// process over through a broken device holds the machine's own disks and network, and nothing else of the host.
//
// [Enter] is called once, when every file, socket and KVM device is open and before anything that the guest supplied is
// looked at, its kernel included. There is no way back. In order:
//
//   - Resource limits (setrlimit(2)): no core dump, and no more open files than now allowed.
//   - No new privileges (PR_SET_NO_NEW_PRIVS, prctl(2)): nothing executed later could gain any.
//   - Capabilities (capabilities(7)): the effective, permitted, inheritable and ambient sets are emptied, and root gets none back.
//   - Landlock (landlock(7)), as far as this kernel's version of it goes: no path can be opened but those of [File]; no TCP port bound; none
//     connected to without the user network; no abstract Unix socket and no signal to a process outside.
//   - Seccomp (seccomp(2)): a list of the system calls that the steady state makes, with their arguments where these matter. It is in calls.go,
//     in groups, each with its reason.
//
// The layers overlap on purpose. Without Landlock the filter still refuses every call that takes a path, without seccomp Landlock still
// holds the file system. All of it works without privileges.
//
// # What is refused
//
// A call outside the list fails with EPERM, is counted by a signal handler (SECCOMP_RET_TRAP, trap_amd64.s) and logged by name. It does not end
// the process: an attacker who runs code here gains nothing from a refused call, whereas a call that an honest path makes for the first time
// after a year would cost somebody a running machine. System calls of other architectures do end it, since no honest path makes them.
// The kernel's audit log has each refusal as well (SECCOMP_FILTER_FLAG_LOG), out of the process's own reach.
//
// # Threads
//
// Go runs goroutines on any thread, so each layer has to hold for all: seccomp is installed with SECCOMP_FILTER_FLAG_TSYNC, the others by
// syscall.AllThreadsSyscall, which stops the world for some 20 microseconds each. Threads made later inherit everything.
//
// # Namespaces
//
// There are none of our own. A process with several threads cannot enter a user namespace, and a Go process has several from its first
// instruction; starting the program a second time would double the time to the first guest instruction. What namespaces would hide is out
// of reach here: no path, no socket outside the user network, no signal, no process.
package sandbox
