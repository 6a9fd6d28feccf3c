// Package cr8 keeps QEMU's SVM emulation from aborting when a guest of a nested KVM writes CR8.
//
// KVM intercepts a guest's CR8 writes from the start and, once no interrupt is pending below the task priority, switches the
// intercept off in svm_update_cr8_intercept (arch/x86/kvm/svm/svm.c). A CR8 write that is then not intercepted makes QEMU's TCG
// deliver a pending interrupt without holding its big lock: "assertion failed: (bql_locked())", seen in every QEMU from 7.2 to
// 11.1. Firmware (OVMF) and Windows write CR8.
//
// With that function turned into a plain return the intercept stays on, which costs an exit per write and is right otherwise.
// Patch does that to the module file, one byte, so that no compiler and no kernel headers are needed on the user's machine.
package cr8
