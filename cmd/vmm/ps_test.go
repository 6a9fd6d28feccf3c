package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine/control"
)

// standIn is a machine without a guest, as far as the commands here need one.
type standIn struct {
	control.Machine

	mu     sync.Mutex
	limits config.Limits
	did    []string // what it was told
}

func (s *standIn) Status() control.Status {
	return control.Status{
		Name: "name\x1b[2J", State: control.Running, Uptime: 3725.5, VCPUs: 2, Memory: 256 << 20, Limits: s.Limits(),
		Disks: []control.Disk{{Reads: control.Count{Bytes: 3 << 20}, Writes: control.Count{Bytes: 512}}},
		NICs:  []control.NIC{{ToGuest: control.Count{Bytes: 1 << 30}, Refused: map[string]uint64{"lan": 7}}},
	}
}

func (s *standIn) Limits() config.Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits
}

func (s *standIn) SetLimits(l config.Limits) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l
	return nil
}

func (s *standIn) Screenshot(screen int, w io.Writer) error {
	if screen != 0 {
		return errors.New("there is no such screen")
	}
	_, err := io.WriteString(w, "a picture")
	return err
}

// command runs vmm with arguments and returns what it prints.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := newRoot()
	c.SetArgs(args)
	c.SetOut(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// runtimeFolder has machines and commands of the test meet in a folder of their own.
func runtimeFolder(t *testing.T) (root string) {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	root, err := control.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestPS(t *testing.T) {
	root := runtimeFolder(t)
	if out, err := command(t, "ps"); err != nil || strings.Count(out, "\n") != 1 {
		t.Errorf("without machines: %q, %v", out, err)
	}
	_, stop := serveControl("My VM", &standIn{}, logger(newRoot()))
	defer stop()
	silent(t, root)
	out, err := command(t, "ps")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"my-vm  ", "running", "1h2m5s", "256 MiB", "3 MiB", "512 B", "1 GiB", " 7 ", `name\x1b[2J`, "silent", "does not answer"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	out, err = command(t, "ps", "--json")
	var all []listed
	if err != nil || json.Unmarshal([]byte(out), &all) != nil || len(all) != 2 {
		t.Fatalf("%s, %v", out, err)
	}
	if m := all[0]; m.ID != "my-vm" || m.PID != os.Getpid() || m.NICs[0].Refused["lan"] != 7 || m.Error != "" || all[1].Error == "" {
		t.Errorf("%+v", all)
	}
}

// silent is a machine whose process lives and whose socket nobody serves.
func silent(t *testing.T, root string) {
	t.Helper()
	dir := filepath.Join(root, "silent")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			if c, err := l.Accept(); err == nil {
				c.Close()
			} else {
				return
			}
		}
	}()
}

func TestLimit(t *testing.T) {
	runtimeFolder(t)
	_, stop := serveControl("vm", &standIn{}, logger(newRoot()))
	defer stop()
	for _, test := range []struct{ args, want string }{ // of the output, or of the error
		{"vm", ""},
		{"vm disk.iops=500 net.out=10Mbit", "disk.iops  500\nnet.out    1250000\n"},
		{"vm disk.iops=off", "net.out  1250000\n"},
		{"vm --json", `{"net.out":1250000}`},
		{"vm disk.iops", "want NAME=VALUE"},
		{"vm gravity=1", "not a limit"},
		{"other", "no such machine is running"},
		{"", "at least 1 arg"},
	} {
		out, err := command(t, append([]string{"limit"}, strings.Fields(test.args)...)...)
		if err != nil {
			out = err.Error()
		}
		if !strings.Contains(out, test.want) {
			t.Errorf("vm limit %s: %q, want %q", test.args, out, test.want)
		}
	}
	words, _ := completeLimit(nil, nil, "")
	if len(words) != 1 || words[0] != "vm" {
		t.Errorf("completion of machines: %v", words)
	}
	if words, _ = completeLimit(nil, []string{"vm"}, ""); len(words) != len(config.LimitNames()) {
		t.Errorf("completion of limits: %v", words)
	}
}
