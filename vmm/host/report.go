package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/sharevm/vmm/vmm/kvm"
	"golang.org/x/sys/unix"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Result string `json:"result"`
	Level  Level  `json:"level"`
	// Do says what would help; "" where nothing is wrong.
	Do string `json:"do,omitempty"`
}

// Level is how bad a Check's result is.
type Level string

// The levels.
const (
	Good  Level = "ok"
	Minor Level = "note" // works, but something could be better
	Major Level = "fail" // ordinary guests do not run
)

// Report is what Examine found.
type Report struct {
	KVM    string  `json:"kvm"`
	Ready  bool    `json:"ready"` // ordinary guests run here, without the nested host
	Checks []Check `json:"checks"`
	Kind   Kind    `json:"-"`
}

func (r *Report) add(name string, level Level, do, format string, args ...any) {
	r.Checks = append(r.Checks, Check{Name: name, Result: fmt.Sprintf(format, args...), Level: level, Do: do})
}

// Examine looks at everything that running machines depends on.
func Examine() Report {
	var r Report
	r.examineKVM()
	r.examineMemory()
	r.examineFiles()
	r.KVM, r.Ready = r.Kind.String(), r.Kind == Ordinary
	for _, c := range r.Checks {
		r.Ready = r.Ready && c.Level != Major
	}
	return r
}

const useNested = "run machines with --nested, which emulates a machine that has KVM (slower, needs qemu-system-x86)"

func (r *Report) examineKVM() {
	sys, err := kvm.Open("")
	if err != nil {
		r.Kind = Absent
		do := "enable virtualisation in the firmware and load kvm-intel or kvm-amd; or " + useNested
		if errors.Is(err, fs.ErrPermission) {
			r.Kind, do = Unaccessible, "sudo usermod -aG kvm "+userName()+", then log in again"
		}
		r.add("KVM", Major, do, "%v", err)
		return
	}
	defer sys.Close()
	if err := sys.Require(); err != nil {
		r.add("KVM features", Major, "boot a newer kernel", "%v", err)
	} else {
		r.add("KVM features", Good, "", "all that vmm needs")
	}
	kind, err := Classify(sys)
	r.Kind = kind
	switch {
	case err != nil:
		r.add("KVM", Major, useNested, "%v", err)
	case kind == Paravirtual:
		r.add("KVM", Major, useNested, "/dev/kvm opens, but it is paravirtual and runs no ordinary kernel")
	default:
		r.add("KVM", Good, "", "/dev/kvm runs ordinary guests")
	}
	r.add("virtual CPUs", Good, "", "%d on this host, KVM allows %d in a machine", runtime.NumCPU(), sys.Check(kvm.CapMaxVCPUs))
}

func (r *Report) examineMemory() {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err == nil {
		unit := uint64(si.Unit)
		r.add("memory", Good, "", "%d MiB, %d MiB of them unused", uint64(si.Totalram)*unit>>20, uint64(si.Freeram)*unit>>20)
	}
	b, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	switch {
	case err != nil:
		r.add("huge pages", Minor, "", "this kernel has no transparent huge pages: guests start a little slower")
	case strings.Contains(string(b), "[never]"):
		r.add("huge pages", Minor, "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled", "transparent huge pages are switched off: guests start a little slower")
	default:
		r.add("huge pages", Good, "", "transparent huge pages are on")
	}
}

func (r *Report) examineFiles() {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err == nil && lim.Max < 1024 {
		r.add("open files", Minor, "ulimit -n 1024", "at most %d: a machine with many disks and queues needs more", lim.Max)
	} else if err == nil {
		r.add("open files", Good, "", "at most %d", lim.Max)
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		r.add("TAP devices", Minor, "only needed for --net tap=NAME; the user network works without", "%v", err)
		return
	}
	_ = f.Close()
	r.add("TAP devices", Good, "", "/dev/net/tun opens")
}

func userName() string {
	if u := os.Getenv("USER"); u != "" {
		return u
	}
	return "$USER"
}

// WriteText prints the report for people.
func (r Report) WriteText(w io.Writer) {
	for _, c := range r.Checks {
		_, _ = fmt.Fprintf(w, "%-5s %-13s %s\n", c.Level, c.Name, c.Result)
		if c.Do != "" {
			_, _ = fmt.Fprintf(w, "%-5s %-13s -> %s\n", "", "", c.Do)
		}
	}
	if r.Ready {
		_, _ = fmt.Fprintln(w, "\nThis host runs machines directly.")
	} else {
		_, _ = fmt.Fprintln(w, "\nThis host does not run ordinary machines directly.")
	}
}
