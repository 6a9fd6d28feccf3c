package guesttest

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
)

// TestKilledInEveryOrder kills machines, the session and who looks at it, in several orders: no process is left, no disk is locked or damaged, and nothing is listed that does not
// run.
func TestKilledInEveryOrder(t *testing.T) {
	needGuests(t)
	for i, order := range []string{
		"one two", "two client session", "session", "client one session", "one:term two session", "session:term", "one:term client two:term", "session:int session:kill one two",
	} {
		t.Run(order, func(t *testing.T) {
			runtime := t.TempDir()
			t.Setenv("XDG_RUNTIME_DIR", runtime)
			var files, disks []string
			for _, name := range []string{"one", "two"} {
				f := newFirmwareFile(t, "bios") // and nothing to boot: a guest that knows of power buttons would be given a minute to obey
				f.set("displayName", name)
				f.set("memsize", "64")
				f.addDiskOn("ahci", "disk.vmdk")
				disks = append(disks, filepath.Join(f.dir, "disk.vmdk"))
				vmm(t, "disk", "create", disks[len(disks)-1], "16M")
				files = append(files, f.write(t))
			}
			at := fmt.Sprintf("127.0.0.1:%d", 5950+i)
			c, g := sessionOf(t, at, files...)
			client, err := net.Dial("tcp", dialViewer(t, at).conn.RemoteAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "two machines", func() bool {
				sockets, _ := filepath.Glob(filepath.Join(runtime, "vmm", "*", "control.sock"))
				return len(sockets) == 2
			})
			pids := map[string]int{"session": c.Process.Pid, "one": processOf(t, files[0], c.Process.Pid), "two": processOf(t, files[1], c.Process.Pid)}
			for _, who := range strings.Fields(order) {
				who, how, _ := strings.Cut(who, ":")
				if who == "client" {
					_ = client.(*net.TCPConn).SetLinger(0) // as when its process is killed
					_ = client.Close()
					continue
				}
				signal := map[string]syscall.Signal{"": syscall.SIGKILL, "kill": syscall.SIGKILL, "term": syscall.SIGTERM, "int": syscall.SIGINT}[how]
				kill(t, pids[who], signal)
			}
			_ = g.wait()
			eventually(t, "the end of all processes", func() bool {
				return len(processes(t, filepath.Dir(files[0]))) == 0 && len(processes(t, filepath.Dir(files[1]))) == 0
			})
			eventually(t, "nothing is listed and no folder is left", func() bool { // a process that ends has no command line any more while it still holds its locks
				listed := running(t)
				left, _ := filepath.Glob(filepath.Join(runtime, "vmm", "[^.]*"))
				left = slices.DeleteFunc(left, func(name string) bool { return strings.HasPrefix(filepath.Base(name), "session-") }) // a session's own socket goes with the next session
				return len(listed) == 0 && len(left) == 0
			})
			for _, d := range disks {
				vmm(t, "disk", "check", d)
				img, err := formats.Open(d, disk.OpenOptions{})
				if err != nil {
					t.Error(err)
					continue
				}
				img.Close()
			}
		})
	}
}
