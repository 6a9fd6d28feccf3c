package vmx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzParse wants -fuzzminimizetime=10x: by default Go spends up to a minute on shrinking the first interesting input, and a
// short run passes after a dozen executions. Look at the count.
func FuzzParse(f *testing.F) {
	for _, name := range corpus {
		f.Add(readCorpus(f, name), "memsize", "512")
	}
	f.Add([]byte("a = \"b\r\n\xef\xbb\xbfa=b\rc\n\n= \"\n"), "a", "|\"#\n")
	f.Add([]byte(".encoding = \"Shift_JIS\"\na = \"\x83\x7c|83|5c|\x00\""), ".x", "ポ")
	f.Add([]byte("a = \"1\" # x\nA=2\na = \"3\"x"), "a", "")
	f.Fuzz(func(t *testing.T, data []byte, key, value string) {
		file, err := Parse("x.vmx", data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		if file.String() != string(data) {
			t.Fatalf("%q became %q", data, file)
		}
		others := map[string]string{}
		for _, k := range file.Keys() {
			if others[fold(k)], _ = file.Get(k); !strings.EqualFold(k, key) && file.Line(k) == 0 {
				t.Errorf("%q has no line", k)
			}
		}
		if err := file.Set(key, value); err != nil {
			if file.String() != string(data) {
				t.Errorf("a refused Set changed %q to %q", data, file)
			}
			return
		}
		others[fold(key)] = value
		again, err := Parse("x.vmx", []byte(file.String()))
		if errors.Is(err, ErrTooLarge) || err == nil && again.Encoding() != file.Encoding() {
			return // grown past the bounds, or the new text changed the guess at the character set
		}
		if err != nil {
			t.Fatalf("what Set made of %q does not parse: %v", data, err)
		}
		if len(again.Keys()) != len(others) {
			t.Errorf("Set left %d keys of %d", len(again.Keys()), len(others))
		}
		for k, want := range others {
			if got, _ := again.Get(k); got != want {
				t.Errorf("%q is %q, want %q", k, got, want)
			}
		}
		if !file.Delete(key) || file.Line(key) != 0 {
			t.Errorf("%q survives Delete", key)
		}
	})
}

// FuzzLoad looks for machines that pass and yet lead out of their folder or could not be built.
func FuzzLoad(f *testing.F) {
	for _, name := range corpus {
		f.Add(readCorpus(f, name))
	}
	for _, body := range []string{
		"ide0:0.present = TRUE\nide0:0.fileName = ../m.vmx\n", "scsi0:0.present = TRUE\nscsi0:0.fileName = /etc/passwd\nscsi0:0.deviceType = cdrom-image\n",
		"serial0.present = TRUE\nserial0.fileType = file\nserial0.fileName = boot/../../x\n", "vmm.kernel = vmlinuz\nvmm.console = serial3\nvmm.publish = 1:1,2:2\n",
		"memsize = 0x100000000\nnumvcpus = 99999999999\nethernet0.present = T\nethernet0.connectionType = custom\nethernet0.vnet = x\n",
	} {
		f.Add([]byte(head + body))
	}
	dir := filepath.Dir(install(f, "m.vmx", nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "m.vmx")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, _, findings, err := Load(path, Options{})
		if err != nil {
			if m != nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("not one clear line: %q", err)
			}
			return
		}
		if len(only(findings, Refused)) > 0 {
			t.Error("a refused machine was handed out")
		}
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
		paths := []string{m.Boot.Kernel, m.Boot.Initrd, m.Firmware.NVRAM, m.Firmware.Variables, m.TPM.State}
		for _, d := range m.Disks {
			paths = append(paths, d.Path)
		}
		for _, s := range m.Serials {
			paths = append(paths, s.Path)
		}
		for _, p := range paths {
			if p != "" && !inside(dir, p) {
				t.Errorf("the machine reaches %q", p)
			}
		}
		if _, err := Lint(path, Options{}); err != nil {
			t.Error(err)
		}
	})
}

// TestHostileSizes holds time and messages within bounds for files as large as they may be.
func TestHostileSizes(t *testing.T) {
	many := func(format string) string {
		var b bytes.Buffer
		for i := range MaxLines - 10 {
			fmt.Fprintf(&b, format+"\n", i)
		}
		return b.String()
	}
	for name, body := range map[string]string{
		"long line":    "annotation = \"" + strings.Repeat("|22", 1_300_000) + "\"",
		"long key":     strings.Repeat("a.", 1_900_000) + "x = 1",
		"deep devices": strings.Repeat("a:", 1_900_000) + ".present = FALSE",
		"one key":      strings.Repeat("memsize = 64\n", MaxLines-10),
		"adapters":     many("ethernet%d.present = TRUE"),
		"disks":        many("scsi0:%d.present = TRUE"),
		"unknown":      many("k%d.x.y.z = TRUE"),
		"guestinfo":    many("guestinfo.%d = TRUE"),
		"broken":       strings.Repeat("?\n", MaxLines-10),
		"boot order":   "bios.bootOrder = \"" + strings.Repeat("a,", 1_000_000) + "\"",
		"forwards":     "vmm.publish = \"" + strings.Repeat("1:1,", 500_000) + "\"",
	} {
		t.Run(name, func(t *testing.T) {
			path := install(t, "m.vmx", []byte(head+body+"\n"))
			start := time.Now()
			r, err := Lint(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v for %d findings", took, len(r.Findings))
			}
			for _, f := range r.Findings {
				if len(f.Reason) > 1000 {
					t.Fatalf("a reason of %d bytes", len(f.Reason))
				}
			}
		})
	}
}
