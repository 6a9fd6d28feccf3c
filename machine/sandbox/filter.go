package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// test is a condition on one argument of a system call.
type test struct {
	arg   int
	mask  uint32
	value uint32 // of the lower half, after masking
	// high is what the upper half must be, for arguments that the kernel takes 64 bits of.
	high *uint32
}

// is holds where the lower half of an argument, all of it that the kernel looks at, has a value.
func is(arg int, value uint32) test { return test{arg: arg, mask: ^uint32(0), value: value} }

// without holds where an argument has none of these bits.
func without(arg int, bits uint32) test { return test{arg: arg, mask: bits} }

// masked holds where the bits of an argument that the mask leaves have a value.
func masked(arg int, mask, value uint32) test { return test{arg: arg, mask: mask, value: value} }

// address holds where an argument is exactly this pointer.
func address(arg int, p uint64) test {
	high := uint32(p >> 32)
	return test{arg: arg, mask: ^uint32(0), value: uint32(p), high: &high}
}

// call is a system call that is allowed.
type call struct {
	nr uintptr
	// when are alternatives, of each of which all tests must hold. None at all means always.
	when [][]test
}

// always lists calls that are allowed with any arguments.
func always(nr ...uintptr) []call {
	calls := make([]call, len(nr))
	for i, n := range nr {
		calls[i].nr = n
	}
	return calls
}

// one allows a call where all tests hold.
func one(nr uintptr, tests ...test) call { return call{nr, [][]test{tests}} }

// oneOf allows a call where one argument has one of several values.
func oneOf(nr uintptr, arg int, values ...uint32) call {
	c := call{nr: nr}
	for _, v := range values {
		c.when = append(c.when, []test{is(arg, v)})
	}
	return c
}

// Layout of struct seccomp_data (seccomp(2)) and instructions of classic BPF.
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16

	load      = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	ifEqual   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	ifAtLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	and       = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	leave     = unix.BPF_RET | unix.BPF_K

	x32 = 0x40000000 // set in the numbers of the x32 ABI
)

// maxProgram is BPF_MAXINSNS.
const maxProgram = 4096

// assemble makes the program that allows calls. The order is the order of the tests.
func assemble(calls []call) ([]unix.SockFilter, error) {
	p := []unix.SockFilter{
		{Code: load, K: dataArch},
		{Code: ifEqual, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		{Code: leave, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: dataNr},
		{Code: ifAtLeast, K: x32, Jf: 1},
		{Code: leave, K: unix.SECCOMP_RET_KILL_PROCESS},
	}
	seen := make(map[uintptr]bool, len(calls))
	for _, c := range calls {
		if seen[c.nr] {
			return nil, fmt.Errorf("system call %d is listed twice", c.nr)
		}
		seen[c.nr] = true
		body := c.assemble()
		if len(body) > 255 {
			return nil, fmt.Errorf("system call %d has too many conditions", c.nr)
		}
		p = append(p, unix.SockFilter{Code: ifEqual, K: uint32(c.nr), Jf: uint8(len(body))})
		p = append(p, body...)
	}
	p = append(p, unix.SockFilter{Code: leave, K: unix.SECCOMP_RET_TRAP})
	if len(p) > maxProgram {
		return nil, fmt.Errorf("%d instructions are too many", len(p))
	}
	return p, nil
}

// assemble makes the part for one call, which ends in a verdict in every case.
func (c call) assemble() (p []unix.SockFilter) {
	allow := unix.SockFilter{Code: leave, K: unix.SECCOMP_RET_ALLOW}
	if len(c.when) == 0 {
		return []unix.SockFilter{allow}
	}
	for _, tests := range c.when {
		var alternative []unix.SockFilter
		var judged []int // instructions that lead on to the next alternative where they do not hold
		judge := func(k uint32) {
			judged = append(judged, len(alternative))
			alternative = append(alternative, unix.SockFilter{Code: ifEqual, K: k})
		}
		for _, t := range tests {
			at := uint32(dataArgs + 8*t.arg)
			alternative = append(alternative, unix.SockFilter{Code: load, K: at})
			if t.mask != ^uint32(0) {
				alternative = append(alternative, unix.SockFilter{Code: and, K: t.mask})
			}
			judge(t.value)
			if t.high != nil {
				alternative = append(alternative, unix.SockFilter{Code: load, K: at + 4})
				judge(*t.high)
			}
		}
		alternative = append(alternative, allow)
		for _, i := range judged {
			alternative[i].Jf = uint8(len(alternative) - i - 1)
		}
		p = append(p, alternative...)
	}
	return append(p, unix.SockFilter{Code: leave, K: unix.SECCOMP_RET_TRAP})
}
