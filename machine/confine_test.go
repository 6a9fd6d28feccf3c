package machine

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine/sandbox"
	"github.com/sharevm/vmm/machine/sandbox/escape"
	"github.com/sharevm/vmm/vmm/kvm"
)

// confinedRun has the test binary run a machine in a sandbox, which it could not leave.
const confinedRun = "VMM_TEST_CONFINED"

func TestMain(m *testing.M) {
	connection := os.Getenv(confinedRun)
	if connection == "" {
		os.Exit(m.Run())
	}
	if err := runConfined(config.Connection(connection), os.Args[1], os.Args[2]); err != nil {
		fmt.Println("confined:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// restarting is a PVH kernel that says it is ready and resets the machine.
func restarting() []byte {
	const at, entry = 64 + 2*56, 0x100000
	code := []byte{
		0x66, 0xba, 0xf0, 0x06, // mov dx, MarkPort
		0xb0, MarkReady, 0xee, // mov al, MarkReady; out dx, al
		0xb0, 0xfe, 0xe6, 0x64, // mov al, FEh; out 64h, al: the keyboard controller's reset
		0xf4, 0xeb, 0xfd, // hlt; jmp to it
	}
	note, _ := binary.Append(nil, binary.LittleEndian, []uint32{4, 4, 18, 0x6e6558, entry}) // "Xen", XEN_ELFNOTE_PHYS32_ENTRY
	head := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Entry: entry, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2,
	}
	size := uint64(len(code))
	out, _ := binary.Append(nil, binary.LittleEndian, head)
	for _, p := range []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Off: at, Vaddr: entry, Paddr: entry, Filesz: size, Memsz: size},
		{Type: uint32(elf.PT_NOTE), Off: at + size, Filesz: uint64(len(note)), Align: 4},
	} {
		out, _ = binary.Append(out, binary.LittleEndian, p)
	}
	return append(append(out, code...), note...)
}

// restarts is a log handler that powers the machine off when the guest has restarted a few times.
type restarts struct {
	slog.Handler
	count *int
	off   func()
}

func (r restarts) Handle(ctx context.Context, rec slog.Record) error {
	if rec.Message == "the guest restarts" {
		if *r.count++; *r.count == 3 {
			r.off()
		}
	}
	return r.Handler.Handle(ctx, rec)
}

// runConfined runs a machine from folder whose marker port is in the hands of an attacker.
func runConfined(connection config.Connection, folder, addr string) error {
	cfg := config.New("test")
	bus := config.Bus{Kind: config.BusSCSI}
	cfg.Controllers = []config.Controller{{Bus: bus, Slot: config.NoSlot}}
	cfg.Disks = []config.Disk{{
		Address: config.Address{Bus: bus}, Media: config.MediaDisk, Path: filepath.Join(folder, "disk.img"), Format: config.FormatRaw,
		Mode: config.ModePersistent, Connected: true,
	}}
	cfg.NICs = []config.NIC{{Connection: connection, Slot: config.NoSlot, Connected: true}}
	cfg.SetKernel(filepath.Join(folder, "kernel"), "", "")
	sys, err := kvm.Open("")
	if err != nil {
		return err
	}
	defer sys.Close()
	ctx, off := context.WithCancel(context.Background())
	defer off()
	target := escape.Target{Folder: folder, PID: os.Getppid(), Address: netip.MustParseAddrPort(addr)}
	m, err := New(Options{
		Config: cfg, System: sys, Out: os.Stdout, Log: slog.New(restarts{slog.NewTextHandler(os.Stdout, nil), new(int), off}),
		OnReady: func() {
			for _, a := range escape.All() {
				fmt.Printf("attempt %s: %v\n", a.Name, a.Do(target))
			}
		},
	})
	if err != nil {
		return err
	}
	defer m.Close()
	layers, err := m.Confine()
	if err != nil {
		return err
	}
	fmt.Printf("%+v\n", layers)
	return m.Run(ctx)
}

// TestConfined runs machines in a sandbox, on any KVM: one device attacks, the guest restarts again and again, and the machine lives on.
func TestConfined(t *testing.T) {
	sys, err := kvm.Open("")
	if err != nil {
		t.Skip("no KVM:", err)
	}
	_ = sys.Close()
	for _, l := range sandbox.Available() {
		if !l.InForce {
			t.Skipf("%s: %s", l.Name, l.Detail)
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, connection := range []config.Connection{config.ConnNone, config.ConnUser} {
		t.Run(string(connection), func(t *testing.T) {
			folder := t.TempDir()
			for name, b := range map[string][]byte{"kernel": restarting(), "disk.img": make([]byte, 1<<20)} {
				if err := os.WriteFile(filepath.Join(folder, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := exec.CommandContext(t.Context(), "/proc/self/exe", folder, l.Addr().String())
			c.Env = append(os.Environ(), confinedRun+"="+string(connection))
			var out bytes.Buffer
			c.Stdout, c.Stderr = &out, &out
			if err := c.Run(); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, a := range escape.All() {
				if connection == config.ConnUser && a.Name == "connect out" {
					continue
				}
				if !strings.Contains(out.String(), "attempt "+a.Name+": operation not permitted\n") {
					t.Errorf("%s: not refused", a.Name)
				}
			}
			if n := strings.Count(out.String(), "the guest restarts"); n < 3 {
				t.Errorf("the guest restarted %d times, want 3 or more", n)
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}
