package acpi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/vmm/memory"
)

func board(t testing.TB, ram uint64) layout.Layout {
	t.Helper()
	l, err := layout.New(ram, 40)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func ids(n int, first uint32) (ids []uint32) {
	for i := range n {
		ids = append(ids, first+uint32(i))
	}
	return ids
}

// configs are boards of every shape.
func configs(t testing.TB) map[string]*Config {
	l := board(t, 512*layout.MiB)
	narrow, err := layout.New(512*layout.MiB, 32)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*Config{
		"fast": {Layout: l, APICIDs: ids(1, 0), PCIBuses: 1, Serials: [4]bool{true}, RTC: true},
		"pc":   {Layout: board(t, 8*layout.GiB), APICIDs: ids(4, 0), PCIBuses: 256, Chipset: true, Serials: [4]bool{true, true, true, true}, RTC: true, I8042: true, VGA: true, HPET: true, TPM: true, S3: true, S4: true},
		"firmware": {
			Layout: l, APICIDs: ids(2, 0), PCIBuses: 256, Chipset: true, RTC: true, I8042: true,
			Memory32:       []layout.Window{{Base: 0x80000000, Size: 0x60000000}, {Base: 0xF0000000, Size: 0x0EC00000}},
			GenerationFile: "etc/vmgenid_guid", GenerationOffset: 0x1FFFC028, GenerationGPE: 5,
		},
		"bare":    {Layout: narrow, APICIDs: ids(2, 0), PCIBuses: 1},
		"largest": {Layout: l, APICIDs: ids(MaxCPUs, 0), PCIBuses: 256, INTx: true, RTC: true},
		"x2apic":  {Layout: l, APICIDs: []uint32{0, 254, 255, 70000}, PCIBuses: 16, RTC: true},
	}
}

// parsed is a table as a guest finds it.
type parsed struct {
	name string
	data []byte
}

// read walks the tables as a guest does, checking signatures, lengths and checksums on the way.
func read(t *testing.T, mem *memory.Guest, rsdp uint64) map[string]parsed {
	t.Helper()
	le := binary.LittleEndian
	bytesAt := func(at, n uint64) []byte {
		b, err := mem.Slice(at, n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sum := func(what string, b []byte) {
		var s byte
		for _, c := range b {
			s += c
		}
		if s != 0 {
			t.Errorf("%s: checksum is off by %d", what, s)
		}
	}
	root := bytesAt(rsdp, 36)
	if string(root[:8]) != "RSD PTR " || root[15] != 2 {
		t.Fatalf("root pointer % x", root)
	}
	sum("RSDP, first part", root[:20])
	sum("RSDP", root)

	tables := map[string]parsed{}
	table := func(at uint64) parsed {
		n := uint64(le.Uint32(bytesAt(at+4, 4)))
		p := parsed{string(bytesAt(at, 4)), bytesAt(at, n)}
		if p.name == "FACS" {
			if at%64 != 0 {
				t.Errorf("FACS at %#x", at)
			}
		} else {
			sum(p.name, p.data)
		}
		if tables[p.name].data != nil {
			t.Errorf("two tables %s", p.name)
		}
		tables[p.name] = p
		return p
	}
	xsdt := table(le.Uint64(root[24:]))
	for e := xsdt.data[36:]; len(e) > 0; e = e[8:] {
		table(le.Uint64(e))
	}
	fadt := tables["FACP"].data
	table(uint64(le.Uint32(fadt[36:])))
	table(le.Uint64(fadt[140:]))
	if d := le.Uint32(fadt[40:]); uint64(d) != le.Uint64(fadt[140:]) {
		t.Errorf("the FADT names two DSDTs")
	}
	return tables
}

func place(t *testing.T, c *Config) map[string]parsed {
	t.Helper()
	mem, err := memory.FromRegions(memory.Region{Host: make([]byte, layout.HighMemory)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Build(c)
	if err != nil {
		t.Fatal(err)
	}
	rsdp, err := s.Place(mem)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, mem, rsdp)
}

func TestTables(t *testing.T) {
	for name, c := range configs(t) {
		t.Run(name, func(t *testing.T) {
			tables := place(t, c)
			want := []string{"APIC", "DSDT", "FACP", "FACS", "MCFG", "WAET", "XSDT"}
			if c.HPET {
				want = append(want, "HPET")
			}
			if c.TPM {
				want = append(want, "TPM2")
			}
			if c.GenerationFile != "" {
				want = append(want, "SSDT")
			}
			for _, n := range want {
				if tables[n].data == nil {
					t.Errorf("no %s", n)
				}
			}
			if len(tables) != len(want) {
				t.Errorf("%d tables, want %d", len(tables), len(want))
			}
		})
	}
}

func TestMADT(t *testing.T) {
	le := binary.LittleEndian
	for name, c := range configs(t) {
		var got []uint32
		var pins, overrides int
		b := place(t, c)["APIC"].data[44:]
		for len(b) > 0 {
			switch b[0] {
			case madtLAPIC:
				if int(b[2]) != len(got) {
					t.Errorf("%s: processor %d out of order", name, b[2])
				}
				got = append(got, uint32(b[3]))
			case madtX2APIC:
				if int(le.Uint32(b[12:])) != len(got) {
					t.Errorf("%s: processor %d out of order", name, le.Uint32(b[12:]))
				}
				got = append(got, le.Uint32(b[4:]))
			case madtIOAPIC:
				pins++
			case madtOverride:
				overrides++
			}
			b = b[b[1]:]
		}
		if !slices.Equal(got, c.APICIDs) || pins != 1 || overrides != 2 {
			t.Errorf("%s: ids %v, %d IOAPICs, %d overrides", name, got, pins, overrides)
		}
	}
}

func TestFADT(t *testing.T) {
	le := binary.LittleEndian
	fadt := place(t, configs(t)["pc"])["FACP"].data
	for _, c := range []struct {
		name string
		got  uint64
		want uint64
	}{
		{"length", uint64(len(fadt)), 276},
		{"SCI", uint64(le.Uint16(fadt[46:])), 9},
		{"PM1a event", uint64(le.Uint32(fadt[56:])), 0x600},
		{"extended PM1a event", le.Uint64(fadt[152:]), 0x600},
		{"PM1a control", uint64(le.Uint32(fadt[64:])), 0x604},
		{"PM timer", uint64(le.Uint32(fadt[76:])), 0x608},
		{"extended PM timer", le.Uint64(fadt[212:]), 0x608},
		{"GPE0", uint64(le.Uint32(fadt[80:])), 0x620},
		{"reset register", le.Uint64(fadt[120:]), 0xCF9},
		{"reset register flag", uint64(le.Uint32(fadt[112:]) >> 10 & 1), 1},
		{"fixed power button", uint64(le.Uint32(fadt[112:]) >> 4 & 1), 0},
		{"hardware-reduced", uint64(le.Uint32(fadt[112:]) >> 20 & 1), 0},
		{"boot architecture", uint64(le.Uint16(fadt[109:])), 0x13},
		{"century", uint64(fadt[108]), 0x32},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, c.got, c.want)
		}
	}
	fadt = place(t, configs(t)["bare"])["FACP"].data
	if arch := le.Uint16(fadt[109:]); arch != 0x35 {
		t.Errorf("boot architecture of the bare board: %#x", arch)
	}
	bare := configs(t)["bare"]
	bare.KeyboardReset = true
	fadt = place(t, bare)["FACP"].data
	if port, value := le.Uint64(fadt[120:]), fadt[128]; port != 0x64 || value != 0xfe {
		t.Errorf("reset by the keyboard controller: %#x to port %#x", value, port)
	}
}

func TestTPM2(t *testing.T) {
	le := binary.LittleEndian
	b := place(t, configs(t)["pc"])["TPM2"].data
	if len(b) != 76 || b[8] != 4 || le.Uint16(b[36:]) != 0 {
		t.Fatalf("%d bytes, revision %d, platform class %d", len(b), b[8], le.Uint16(b[36:]))
	}
	if area, method := le.Uint64(b[40:]), le.Uint32(b[48:]); area != 0xFED40040 || method != 7 {
		t.Errorf("control area at %#x, start method %d", area, method)
	}
	c := configs(t)["pc"]
	c.TPMLogFile, c.TPMLogSize = "log", 0x10000
	set, err := Build(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.External) != 1 {
		t.Fatalf("%d fields for firmware, want the log's address", len(set.External))
	}
	e := set.External[0]
	if b := set.Tables[e.In].Data; string(b[:4]) != "TPM2" || e.At != 68 || e.Size != 8 || e.File != "log" || le.Uint32(b[64:]) != 0x10000 || len(b) != 76 {
		t.Errorf("log: %+v, least length %#x in %d bytes of %q", e, le.Uint32(b[64:]), len(b), b[:4])
	}
}

func TestBuildRefuses(t *testing.T) {
	l := board(t, 512*layout.MiB)
	for _, c := range []*Config{
		{Layout: l, PCIBuses: 1},
		{Layout: l, APICIDs: ids(256, 0), PCIBuses: 1},
		{Layout: l, APICIDs: ids(1, 0)},
		{Layout: l, APICIDs: ids(1, 0), PCIBuses: 257},
	} {
		if _, err := Build(c); err == nil {
			t.Errorf("accepted %d processors, %d buses", len(c.APICIDs), c.PCIBuses)
		}
	}
}

func TestPlaceWithoutRAM(t *testing.T) {
	mem, err := memory.FromRegions(memory.Region{Host: make([]byte, layout.ACPI)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Build(configs(t)["fast"])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Place(mem); err == nil {
		t.Error("placed where there is no RAM")
	}
}

var verdict = regexp.MustCompile(`(\d+) Errors, (\d+) Warnings, (\d+) Remarks`)

// TestCompiler has ACPICA's compiler disassemble every table and compile it again: it must find nothing to say, and arrive
// at the same bytes.
func TestCompiler(t *testing.T) {
	if _, err := exec.LookPath("iasl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("iasl is missing (apt install acpica-tools)")
		}
		t.Skip("iasl is missing (apt install acpica-tools)")
	}
	for name, c := range configs(t) {
		t.Run(name, func(t *testing.T) {
			for _, table := range place(t, c) {
				compile(t, table)
			}
		})
	}
}

func compile(t *testing.T, table parsed) {
	folder := t.TempDir()
	run := func(args ...string) string {
		cmd := exec.Command("iasl", args...)
		cmd.Dir = folder
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: iasl %s: %v\n%s", table.name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if err := os.WriteFile(filepath.Join(folder, "a.aml"), table.data, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run("-d", "a.aml"); strings.Contains(strings.ToLower(out), "warning") || strings.Contains(strings.ToLower(out), "error") || strings.Contains(out, "Invalid") {
		t.Errorf("%s: disassembly:\n%s", table.name, out)
	}
	source, err := os.ReadFile(filepath.Join(folder, "a.dsl"))
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(source, []byte("**** ")); i >= 0 {
		t.Errorf("%s: the disassembler remarks: %s", table.name, source[i:min(len(source), i+200)])
	}
	args := []string{"-p", "b", "a.dsl"}
	if table.name == "DSDT" {
		// The other settings would let the compiler shorten names, and the bytes would differ.
		args = append([]string{"-oa"}, args...)
	}
	out := run(args...)
	if m := verdict.FindStringSubmatch(out); m == nil && table.name == "DSDT" || m != nil && (m[1] != "0" || m[2] != "0" || m[3] != "0") || strings.Contains(out, "Warning ") {
		t.Errorf("%s: recompilation:\n%s", table.name, out)
	}
	again, err := os.ReadFile(filepath.Join(folder, "b.aml"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(normal(again), normal(table.data)) {
		diff := fmt.Sprintf("%d bytes and %d", len(table.data), len(again))
		for i := range min(len(again), len(table.data)) {
			if again[i] != table.data[i] && (i < 4 || i >= headerSize) {
				diff += fmt.Sprintf(", first difference at %#x", i)
				break
			}
		}
		t.Errorf("%s: recompiled it differs: %s", table.name, diff)
	}
}

// normal blanks what a compiler puts into the header on its own: checksum, compiler's name and version.
func normal(table []byte) []byte {
	b := bytes.Clone(table)
	if string(b[:4]) != "FACS" {
		b[offChecksum] = 0
		clear(b[28:36])
	}
	return b
}

func BenchmarkBuild(b *testing.B) {
	c := configs(b)["fast"]
	b.ReportAllocs()
	for b.Loop() {
		s, err := Build(c)
		if err != nil {
			b.Fatal(err)
		}
		s.Link(layout.ACPI)
	}
}

func TestWakingVector(t *testing.T) {
	mem, err := memory.FromRegions(memory.Region{Host: make([]byte, layout.HighMemory)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := WakingVector(mem); err == nil {
		t.Error("found without tables")
	}
	s, err := Build(configs(t)["pc"])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Place(mem); err != nil {
		t.Fatal(err)
	}
	tables, err := mem.Slice(layout.ACPI, layout.ACPISize)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(tables[bytes.Index(tables, []byte("FACS"))+12:], 0x98000)
	if v, err := WakingVector(mem); v != 0x98000 || err != nil {
		t.Errorf("%#x, %v", v, err)
	}
}
