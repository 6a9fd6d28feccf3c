#include "textflag.h"

// func out(port uint16, width int, v uint32)
TEXT ·out(SB), NOSPLIT, $0-20
	MOVW port+0(FP), DX
	MOVQ width+8(FP), CX
	MOVL v+16(FP), AX
	CMPQ CX, $2
	JEQ  word
	JGT  long
	OUTB
	RET
word:
	OUTW
	RET
long:
	OUTL
	RET

// func in(port uint16, width int) uint32
TEXT ·in(SB), NOSPLIT, $0-20
	MOVW port+0(FP), DX
	MOVQ width+8(FP), CX
	XORL AX, AX
	CMPQ CX, $2
	JEQ  word
	JGT  long
	INB
	MOVL AX, ret+16(FP)
	RET
word:
	INW
	MOVL AX, ret+16(FP)
	RET
long:
	INL
	MOVL AX, ret+16(FP)
	RET
