package vmx

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// corpus are the machine files in testdata, written after what each product writes.
var corpus = []string{
	"workstation-windows.vmx", "fusion-linux.vmx", "esxi-export.vmx", "packer.vmx", "minimal.vmx", "japanese.vmx",
}

// images are the files that the machines of the corpus name.
var images = []string{
	"Büro PC.vmdk", "Büro PC.nvram", "Virtual Disk-000002.vmdk", "db01.vmdk", "db01_1.vmdk", "disk.vmdk", "root.vmdk", "vmlinuz",
	"boot/initrd.img", "data.vhd", "ディスク.vmdk", "ドライバ.flp",
}

func readCorpus(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// install puts a .vmx file and every image of the corpus into a new folder.
func install(t testing.TB, name string, data []byte) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range images {
		touch(t, filepath.Join(dir, image))
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func touch(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCorpusRoundTrip(t *testing.T) {
	for _, name := range corpus {
		t.Run(name, func(t *testing.T) {
			data := readCorpus(t, name)
			path := install(t, name, data)
			f, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if f.String() != string(data) {
				t.Error("String differs from what was read")
			}
			if err := f.Save(path); err != nil {
				t.Fatal(err)
			}
			saved, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(saved, data) {
				t.Error("the saved file differs from the original")
			}
			if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
				t.Errorf("mode became %v", info.Mode())
			}
		})
	}
}

func TestCorpusLoads(t *testing.T) {
	for _, name := range corpus {
		t.Run(name, func(t *testing.T) {
			m, _, findings, err := Load(install(t, name, readCorpus(t, name)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				t.Log(f.describe(name))
			}
			if err := m.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHonouredMeansRead holds the table of keys to its word: what it calls honoured the translation looks at, and what the
// translation looks at the table calls honoured.
func TestHonouredMeansRead(t *testing.T) {
	for _, name := range corpus {
		path := install(t, name, readCorpus(t, name))
		l, err := examine(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range l.f.Keys() {
			class := classify(key).class
			if off := l.disabledBy(key); off != "" {
				continue
			}
			if used := l.used[fold(key)]; used != (class == Honoured) {
				t.Errorf("%s: %s is classed %s, read by the translation: %v", name, key, class, used)
			}
		}
	}
}
