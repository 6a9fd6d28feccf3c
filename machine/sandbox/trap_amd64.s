#include "textflag.h"

// refused<> handles SIGSYS (sigaction(2), SA_SIGINFO): DI is the signal, SI the siginfo_t, DX the ucontext_t. It counts the system
// call that the filter refused, makes it return -EPERM, and wakes whoever logs. It runs on the thread's signal stack, calls no
// Go and takes no lock. A SIGSYS that is not the filter's changes nothing.
TEXT refused<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	CMPL 8(SI), $1 // si_code, SYS_SECCOMP
	JNE  done
	MOVLQZX 24(SI), AX // si_syscall
	CMPL AX, $511
	JLS  count
	MOVL $511, AX
count:
	LEAQ ·trapCounts(SB), CX
	LOCK
	INCL (CX)(AX*4)
	MOVQ $-1, 144(DX) // uc_mcontext.rax, -EPERM
	MOVL ·trapWake(SB), DI
	LEAQ ·trapOne(SB), SI
	MOVL $8, DX
	MOVL $1, AX // write(2): an event that is pending already stays so
	SYSCALL
done:
	RET

// sigreturn<> is where the handler returns to.
TEXT sigreturn<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVL $15, AX // rt_sigreturn(2)
	SYSCALL
	INT  $3

// func trapHandler() (handler, restorer uintptr)
TEXT ·trapHandler(SB),NOSPLIT,$0-16
	LEAQ refused<>(SB), AX
	MOVQ AX, handler+0(FP)
	LEAQ sigreturn<>(SB), AX
	MOVQ AX, restorer+8(FP)
	RET
