package main

import (
	"bufio"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/internal/bench/line"
	"github.com/sharevm/vmm/internal/bench/report"
	"github.com/sharevm/vmm/machine"
)

// startPeers are the monitors whose start is compared. The first is ours.
var startPeers = []peer{
	{report.Ours, timelineCommand},
	{"QEMU microvm", microvmCommand},
	{"QEMU pc", pcCommand},
}

// firstInstruction is the mark of a timeline that ends the start.
const firstInstruction = "first guest instruction"

// timelineCommand starts a machine that says where the time went.
func timelineCommand(f *files, kernel, disk string) ([]string, error) {
	args, err := vmmCommand(true)(f, kernel, disk)
	if err != nil {
		return nil, err
	}
	return withOptions(args, "--timeline", "--no-log"), nil
}

// withOptions adds options to a command that begins with a program and a subcommand.
func withOptions(args []string, options ...string) []string {
	return append(append(append([]string(nil), args[:2]...), options...), args[2:]...)
}

// anyKVMCommand is timelineCommand for a host whose KVM may be one for certain programs only.
func anyKVMCommand(f *files, kernel, disk string) ([]string, error) {
	args, err := timelineCommand(f, kernel, disk)
	if err != nil {
		return nil, err
	}
	return withOptions(args, "--any-kvm"), nil
}

// tinyKernel is a PVH kernel of some bytes. It prints an exclamation mark on COM1, and says that it is ready.
func tinyKernel() ([]byte, error) {
	const at, entry = 64 + 2*56, 0x100000
	code := []byte{
		0x66, 0xba, 0xf8, 0x03, // mov dx, 3F8h
		0xb0, '!', 0xee, // mov al, '!'; out dx, al
		0xb0, '\n', 0xee,
		0x66, 0xba, machine.MarkPort & 0xff, machine.MarkPort >> 8, // mov dx, MarkPort
		0xb0, machine.MarkReady, 0xee, // mov al, MarkReady; out dx, al
		0xf4, 0xeb, 0xfd, // hlt; jmp to it
	}
	note, err := binary.Append(nil, binary.LittleEndian, []uint32{4, 4, 18, 0x6e6558, entry}) // "Xen", XEN_ELFNOTE_PHYS32_ENTRY
	if err != nil {
		return nil, err
	}
	size := uint64(len(code))
	var out []byte
	for _, part := range []any{
		elf.Header64{
			Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
			Entry: entry, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2,
		},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Off: at, Vaddr: entry, Paddr: entry, Filesz: size, Memsz: size},
		elf.Prog64{Type: uint32(elf.PT_NOTE), Off: at + size, Filesz: uint64(len(note)), Align: 4},
		code, note,
	} {
		if out, err = binary.Append(out, binary.LittleEndian, part); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// startFiles writes the tiny kernel and a disk into the folder of f, and returns their paths.
func startFiles(f *files) (kernel, disk string, err error) {
	kernel, disk = filepath.Join(f.dir, "tiny.elf"), filepath.Join(f.dir, "start.raw")
	image, err := tinyKernel()
	if err != nil {
		return "", "", err
	}
	if err := os.WriteFile(kernel, image, 0o644); err != nil {
		return "", "", err
	}
	if err := os.WriteFile(disk, nil, 0o644); err != nil {
		return "", "", err
	}
	return kernel, disk, os.Truncate(disk, 64<<20)
}

// measureStart measures on this host's own KVM, whatever that is, with the tiny kernel.
func measureStart(ctx context.Context, o options, r *report.Report) error {
	if err := build(ctx, o.dir); err != nil {
		return err
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	f := &files{dir: dir, vmm: filepath.Join(dir, vmmFile)}
	kernel, disk, err := startFiles(f)
	if err != nil {
		return err
	}
	return startRounds(ctx, o, "here", f, []peer{{report.Ours, anyKVMCommand}}, kernel, disk, r)
}

// measureNestedStart measures in the nested host: the tiny kernel beside QEMU, and a Linux.
func measureNestedStart(ctx context.Context, o options, f *files, r *report.Report) error {
	kernel, disk, err := startFiles(f)
	if err != nil {
		return err
	}
	bare := *f
	bare.initrd = ""
	if err := startRounds(ctx, o, "nested", &bare, startPeers, kernel, disk, r); err != nil {
		return err
	}
	return startRounds(ctx, o, "nested-linux", f, startPeers[:1], f.kernels[formats[0]], disk, r)
}

// startRounds has the monitors take turns. The table start-where is the wall time from the start of the process to the guest's first byte on COM1, and
// start-where-steps where vmm's went, as its timeline tells.
func startRounds(ctx context.Context, o options, where string, f *files, peers []peer, kernel, disk string, r *report.Report) error {
	for round := range o.rounds {
		for _, p := range peers {
			args, err := p.command(f, kernel, disk)
			if err != nil {
				return err
			}
			took, marks, err := timeStart(ctx, args, p.name == report.Ours)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if o.verbose {
				fmt.Fprintf(os.Stderr, "round %d: %s, %s: %v, %v; %v\n", round+1, where, p.name, took, marks, err)
			}
			if err != nil {
				r.Note("start, %s, round %d: %s: %v", where, round+1, p.name, err)
				continue
			}
			r.Of("start-"+where, "ms", p.name).Add(ms(took))
			var before time.Duration
			for _, m := range marks {
				s := r.Of("start-"+where+"-steps", "ms", m.name)
				s.Aside = true
				s.Add(ms(m.at - before))
				if before = m.at; m.name == firstInstruction {
					r.Of("start-"+where+"-steps", "ms", report.Ours).Add(ms(m.at))
					break
				}
			}
		}
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// step is a line of a timeline.
type step struct {
	name string
	at   time.Duration
}

// timeStart starts a monitor and returns when the guest's first byte came, and the timeline that it printed, if it does.
func timeStart(ctx context.Context, args []string, ours bool) (took time.Duration, marks []step, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, nil, err
	}
	said, err := c.StderrPipe()
	if err != nil {
		return 0, nil, err
	}
	began := time.Now()
	if err := c.Start(); err != nil {
		return 0, nil, err
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait() // it was killed
	}()
	_, err = io.ReadFull(out, make([]byte, 1))
	took = time.Since(began)
	if err != nil {
		text, _ := io.ReadAll(said)
		return 0, nil, fmt.Errorf("the guest said nothing: %w; standard error: %s", err, firstLine(string(text)))
	}
	if !ours {
		return took, nil, nil
	}
	go func() { // a Linux says no word of the timeline: the monitor prints it at the end
		for s := bufio.NewScanner(out); s.Scan(); {
			if strings.Contains(s.Text(), line.Init) {
				_ = c.Process.Signal(os.Interrupt)
				time.AfterFunc(time.Second, func() { _ = c.Process.Signal(os.Interrupt) }) // the first one presses the power button
			}
		}
	}()
	for s := bufio.NewScanner(said); s.Scan(); {
		m := timelineStep.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		at, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, nil, err
		}
		marks = append(marks, step{m[3], time.Duration(at * float64(time.Millisecond))})
		if m[3] == firstInstruction {
			return took, marks, nil
		}
	}
	return 0, nil, errors.New("the monitor printed no timeline")
}
