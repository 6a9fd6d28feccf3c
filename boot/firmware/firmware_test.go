package firmware

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/boot/acpi"
	"github.com/sharevm/vmm/boot/layout"
)

func newSet(t *testing.T) (*acpi.Set, Page) {
	t.Helper()
	l, err := layout.New(4<<30, 40)
	if err != nil {
		t.Fatal(err)
	}
	set, err := acpi.Build(&acpi.Config{
		Layout: l, APICIDs: []uint32{0, 1}, PCIBuses: 256, INTx: true, RTC: true, I8042: true,
		GenerationFile: "etc/vmgenid_guid", GenerationOffset: 40, GenerationGPE: 5, TPM: true, TPMLogFile: FileTPMLog, TPMLogSize: TPMLogSize,
	})
	if err != nil {
		t.Fatal(err)
	}
	return set, Page{File: "etc/vmgenid_guid", AddressFile: "etc/vmgenid_addr", Align: 4096}
}

// TestLink carries out the script as firmware does, and walks the tables from the root pointer.
func TestLink(t *testing.T) {
	set, page := newSet(t)
	log := Page{File: FileTPMLog, Align: 1}
	link := Link(set, page, log)
	type file struct {
		data []byte
		at   uint64
		zone byte
	}
	files := map[string]*file{
		FileRSDP: {data: link.RSDP}, FileTables: {data: link.Tables}, page.File: {data: make([]byte, 4096)}, page.AddressFile: {data: make([]byte, 8)}, log.File: {data: make([]byte, TPMLogSize)},
	}
	next := map[byte]uint64{zoneHigh: 0x0FFE0010, zoneSegment: 0xF5001}
	le := binary.LittleEndian
	name := func(b []byte) *file {
		f := files[string(bytes.TrimRight(b[:loadName], "\x00"))]
		if f == nil {
			t.Fatalf("there is no file %q", b[:loadName])
		}
		return f
	}
	number := func(p []byte) uint64 {
		var b [8]byte
		copy(b[:], p)
		return le.Uint64(b[:])
	}
	for e := link.Loader; len(e) > 0; e = e[loadEntry:] {
		p := e[4:]
		switch f := name(p); le.Uint32(e) {
		case loadAllocate:
			align := uint64(le.Uint32(p[loadName:]))
			f.zone = p[loadName+4]
			f.at = (next[f.zone] + align - 1) &^ (align - 1)
			next[f.zone] = f.at + uint64(len(f.data))
		case loadAddPointer:
			to := name(p[loadName:])
			field := f.data[le.Uint32(p[2*loadName:]):][:p[2*loadName+4]]
			v := number(field) + to.at
			var b [8]byte
			le.PutUint64(b[:], v)
			copy(field, b[:])
		case loadAddChecksum:
			from, n := le.Uint32(p[loadName+4:]), le.Uint32(p[loadName+8:])
			var sum byte
			for _, v := range f.data[from:][:n] {
				sum += v
			}
			f.data[le.Uint32(p[loadName:])] -= sum
		case loadWritePointer:
			to := name(p[loadName:])
			copy(f.data[le.Uint32(p[2*loadName:]):][:p[2*loadName+8]], le.AppendUint64(nil, to.at+uint64(le.Uint32(p[2*loadName+4:]))))
		default:
			t.Fatalf("command %d", le.Uint32(e))
		}
	}
	tables, rsdp := files[FileTables], files[FileRSDP]
	if rsdp.zone != zoneSegment || tables.at%64 != 0 || files[page.File].at%4096 != 0 {
		t.Errorf("root pointer in zone %d, tables at %#x, page at %#x", rsdp.zone, tables.at, files[page.File].at)
	}
	if le.Uint64(files[page.AddressFile].data) != files[page.File].at {
		t.Error("the page's address was not told")
	}
	table := func(at uint64) []byte {
		b := tables.data[at-tables.at:]
		return b[:le.Uint32(b[4:])]
	}
	sum := func(b []byte) (s byte) {
		for _, v := range b {
			s += v
		}
		return s
	}
	if sum(rsdp.data) != 0 || sum(rsdp.data[:20]) != 0 {
		t.Error("the root pointer's checksums are wrong")
	}
	xsdt := table(le.Uint64(rsdp.data[24:]))
	var found []string
	for at := 36; at < len(xsdt); at += 8 {
		b := table(le.Uint64(xsdt[at:]))
		if sum(b) != 0 {
			t.Errorf("%s: wrong checksum", b[:4])
		}
		found = append(found, string(b[:4]))
		switch string(b[:4]) {
		case "TPM2":
			if le.Uint64(b[68:]) != files[log.File].at {
				t.Error("the TPM's table does not lead to the log")
			}
		case "FACP":
			if dsdt := table(le.Uint64(b[140:])); string(dsdt[:4]) != "DSDT" || sum(dsdt) != 0 || uint64(le.Uint32(b[40:])) != le.Uint64(b[140:]) {
				t.Error("FADT does not lead to the DSDT")
			}
			if facs := table(uint64(le.Uint32(b[36:]))); string(facs[:4]) != "FACS" {
				t.Error("FADT does not lead to the FACS")
			}
		case "SSDT":
			if !bytes.Contains(b, le.AppendUint32([]byte{0x0C}, uint32(files[page.File].at)+40)) {
				t.Error("the SSDT does not say where the generation id is")
			}
		}
	}
	if got := strings.Join(found, " "); !strings.Contains(got, "FACP") || !strings.Contains(got, "APIC") || !strings.Contains(got, "SSDT") || !strings.Contains(got, "TPM2") {
		t.Errorf("tables %s", got)
	}
}

func TestFind(t *testing.T) {
	folder := t.TempDir()
	write := func(name string, size int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), bytes.Repeat([]byte{1}, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("bios-256k.bin", 4096)
	write("OVMF_CODE_4M.fd", 8192)
	write("OVMF_VARS_4M.fd", 4096)
	bios, err := BIOS(folder)
	if err != nil || len(bios.Code) != 4096 || bios.Variables != nil || filepath.Dir(bios.Path) != folder {
		t.Errorf("%+v, error %v", bios.Path, err)
	}
	efi, err := EFI(folder, false)
	if err != nil || len(efi.Code) != 8192 || len(efi.Variables) != 4096 {
		t.Errorf("%d bytes of code and %d of variables, error %v", len(efi.Code), len(efi.Variables), err)
	}
	write("OVMF_VARS_4M.ms.fd", 4096)
	if _, err := EFI(folder, true); err == nil || !strings.Contains(err.Error(), "no keys") {
		t.Errorf("a template without keys: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "OVMF_VARS_4M.ms.fd"), append(newStore(entry{variableAdded, guidGlobal, "PK", "key"}), make([]byte, 4096)...)[:4096], 0o600); err != nil {
		t.Fatal(err)
	}
	if efi, err = EFI(folder, true); err != nil || !SecureBoot(efi.Variables) {
		t.Errorf("no keys, error %v", err)
	}
	for name, size := range map[string]int{"empty": 0, "odd": 100, "huge": maxImage + 512} {
		write("bios-256k.bin", size)
		if _, err := BIOS(folder); err == nil {
			t.Errorf("%s file was taken", name)
		}
	}
	if err := os.Remove(filepath.Join(folder, "bios-256k.bin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "bios-256k.bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := BIOS(folder); err == nil {
		t.Error("a folder was taken for firmware")
	}
	_, _, err = find(folder, "some-package", "/nowhere/such-a.file")
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "apt-get install some-package") {
		t.Errorf("error %v", err)
	}
}

func TestFiles(t *testing.T) {
	l, err := layout.New(4<<30, 40)
	if err != nil {
		t.Fatal(err)
	}
	m := MemoryMap(l)
	le := binary.LittleEndian
	if len(m) != 60 || le.Uint64(m[8:]) != l.Low.Size || le.Uint64(m[20:]) != 4<<30 || le.Uint64(m[28:]) != l.High.Size || m[56] != 2 {
		t.Errorf("memory map %x", m)
	}
	if got := SleepStates(true, false); !bytes.Equal(got, []byte{0x80, 0, 0, 0x85, 6, 0x87}) {
		t.Errorf("sleep states %x", got)
	}
	if got := BootOrder([]string{"/a", "/b"}); string(got) != "/a\n/b\x00" {
		t.Errorf("boot order %q", got)
	}
	code := make([]byte, 256<<10)
	code[len(code)-1] = 7
	if at, p := Shadow(code); at != 0xE0000 || len(p) != 128<<10 || p[len(p)-1] != 7 {
		t.Errorf("%d bytes at %#x", len(p), at)
	}
	if at, p := Shadow(code[:64<<10]); at != 0xF0000 || len(p) != 64<<10 {
		t.Errorf("%d bytes at %#x", len(p), at)
	}
}
