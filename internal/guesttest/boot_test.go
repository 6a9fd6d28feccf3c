package guesttest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestBoot(t *testing.T) {
	for _, c := range []struct {
		cpus, mib int
		kernel    string
	}{{1, 256, "vmlinux"}, {2, 256, "vmlinux"}, {1, 4608, "vmlinux"}, {1, 256, "vmlinuz"}} {
		t.Run(fmt.Sprintf("cpus=%d/mem=%d/%s", c.cpus, c.mib, c.kernel), func(t *testing.T) {
			f := newFile(t, "info,cpus,rng")
			f.set("vmm.kernel", kitDir+"/"+c.kernel)
			f.addNIC()
			g := f.start(t, "--cpus", strconv.Itoa(c.cpus), "--mem", fmt.Sprintf("%dM", c.mib), "--timeline")
			g.finish()
			if got := g.said(`^info cpus (\d+)$`); len(got) != 1 || got[0][1] != strconv.Itoa(c.cpus) {
				t.Errorf("the guest counts processors: %v", got)
			}
			mem, _ := strconv.Atoi(g.said(`^info memory (\d+)$`)[0][1])
			if mem>>20 < c.mib*85/100 || mem>>20 > c.mib {
				t.Errorf("the guest has %d MiB of %d", mem>>20, c.mib)
			}
			if got := g.said(`^info complaint (.*)$`); len(got) > 0 {
				t.Errorf("the kernel complains about the board: %q", got)
			}
			for _, want := range []string{"first guest instruction", "kernel loaded"} {
				if !strings.Contains(g.err.String(), want) {
					t.Errorf("the timeline lacks %q:\n%s", want, g.err.String())
				}
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	f := newFile(t, "info")
	f.set("uuid.bios", "56 4d 01 02 03 04 05 06-07 08 09 0a 0b 0c 0d 0e")
	g := f.start(t)
	g.finish()
	// The bytes stand in the table as in the file; Linux prints the first three fields as little-endian numbers.
	if got := g.said(`^info uuid (\S+)$`); len(got) != 1 || got[0][1] != "02014d56-0403-0605-0708-090a0b0c0d0e" {
		t.Errorf("the guest's UUID: %v", got)
	}
}

func TestReboot(t *testing.T) {
	for how, words := range map[string]string{"acpi": "", "keyboard controller": "reboot=k", "triple fault": "reboot=t", "pci": "reboot=p"} {
		t.Run(how, func(t *testing.T) {
			f := newFile(t, "reboot:/dev/vda:2")
			f.cmdline = append(f.cmdline, words)
			f.create(t, "count.raw", 1<<20)
			f.addDisk(0, "count.raw")
			g := f.start(t)
			g.finish()
			if n := len(g.said(`^reboots \d$`)); n != 3 {
				t.Errorf("the guest started %d times, want 3", n)
			}
		})
	}
}

func TestPowerButton(t *testing.T) {
	f := newFile(t, "button")
	g := f.start(t)
	g.expect("waiting for the button")
	if err := g.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	g.expect("task button: ok")
	g.finish()
}

func TestSecondInterruptPowersOff(t *testing.T) {
	f := newFile(t, "button,button")
	g := f.start(t)
	for _, line := range []string{"waiting for the button", "task button: ok"} {
		g.expect(line)
		if err := g.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.wait(); err != nil {
		t.Errorf("vmm run: %v", err)
	}
	if len(g.said("tasks: all ok")) != 0 {
		t.Error("the guest was not powered off but ended by itself")
	}
}

func TestConsoles(t *testing.T) {
	f := newFile(t, "console:/dev/ttyS0,console:/dev/hvc0")
	g := f.start(t)
	for _, tty := range []string{"ttyS0", "hvc0"} {
		g.expect("type a line on /dev/" + tty)
		if _, err := g.stdin.Write([]byte("hello " + tty + "\r")); err != nil {
			t.Fatal(err)
		}
		g.expect(`you typed "hello ` + tty + `\\n"`)
	}
	g.finish()
}

// TestHugePages runs a guest from reserved huge pages, and where there are none wants to be told so.
func TestHugePages(t *testing.T) {
	f := newFile(t, "info,cpus")
	const knob = "/proc/sys/vm/nr_hugepages"
	out, err := exec.Command(vmmBin, "run", "--allow-outside", "--hugepages", f.write(t)).CombinedOutput()
	if err == nil || !oneLine(out) || !strings.Contains(string(out), "vm.nr_hugepages=128") {
		t.Errorf("without reserved pages: %v\n%s", err, out)
	}
	if err := os.WriteFile(knob, []byte("128"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(knob, []byte("0"), 0) })
	f.start(t, "--hugepages").finish()
}
