// Package tpm is a TPM 2.0 with a command response buffer (CRB): registers and a buffer in memory through which the guest passes commands to a
// TPM that somebody else implements, the Backend.
//
// Source: TCG PC Client Platform TPM Profile Specification for TPM 2.0 (PTP) 1.05, section 6.4.2 (CRB interface: registers, and the states Idle, Ready,
// Reception, Execution and Completion); TCG TPM 2.0 Library, part 1, section 18 (layout of commands and responses) and part 2, section 6.6 (response codes).
//
// There is locality 0, the only one that software uses without a dynamic root of trust, without interrupts and without the bypass of Idle; a command that
// starts in Idle is carried out all the same, since SeaBIOS begins with one. A command is copied when it starts, and carried out away from the vCPU. One that
// has begun cannot be cancelled: it completes as it would have, which the profile allows; one that waits, because the machine is paused, is answered with
// TPM_RC_CANCELED.
package tpm
