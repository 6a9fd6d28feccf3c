package guesttest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/sharevm/vmm/images/testguest/kit"
)

// matrix is where Debian's disk boots: the controllers, with the driver that Linux has for each. Debian's OVMF is built without the drivers for three of them.
var matrix = []struct {
	place, driver string
	efi           bool
}{
	{"ide", "ata_piix", true}, {"ahci", "ahci", true}, {"nvme", "nvme", true}, {"virtio", "virtio-pci", true},
	{"lsisas", "mptsas", true}, {"lsilogic", "mptspi", true}, {"pvscsi", "vmw_pvscsi", true},
}

// machines is how many there are, in two formats: one for each controller and firmware that fit.
const machines = 28

// matrixCards are the cards that each of these machines has, all at once.
var matrixCards = []struct{ model, driver string }{{"e1000", "e1000"}, {"e1000e", "e1000e"}, {"vmxnet3", "vmxnet3"}, {"virtio", "virtio-pci"}}

// expected is what Linux warns of on any machine of this kind, and what has nothing to do with a device of ours: the weaknesses of the processor that the nested
// host emulates, how crowded that host is, how Debian configured its kernel, and firmware for radio that is not installed.
var expected = regexp.MustCompile(`hrtimer: interrupt took|clocksource: Long readout interval|Speculative|Spectre|RETBleed|mitigation|microcode|IMA_DISABLE_HTABLE|regulatory|wiki\.debian\.org/Firmware`)

// matrixRow is a machine of the matrix. It has every card, and one that is worked hard.
type matrixRow struct {
	place, driver, firmware, format string
	card                            int // of matrixCards
}

func (r matrixRow) String() string { return r.place + "/" + r.firmware + "/" + r.format }

// matrixRows are all machines, or else the two that boot fastest, so that the suite stays short.
func matrixRows(all bool) (rows []matrixRow) {
	if !all {
		return []matrixRow{{"pvscsi", "vmw_pvscsi", "bios", "vmdk", 0}, {"nvme", "nvme", "bios", "vhdx", 2}}
	}
	// The formats take turns, so that the first half of the matrix has every controller with either firmware. So do the cards.
	for _, formats := range [][2]string{{"vmdk", "vhdx"}, {"vhdx", "vmdk"}} {
		for _, m := range matrix {
			for i, firmware := range []string{"bios", "efi"} {
				if firmware == "efi" && !m.efi {
					continue
				}
				rows = append(rows, matrixRow{m.place, m.driver, firmware, formats[i], len(rows) % len(matrixCards)})
			}
		}
	}
	return rows
}

// TestMatrixRows counts the machines, and sees that those of the suite are among them.
func TestMatrixRows(t *testing.T) {
	all := matrixRows(true)
	if len(all) != machines {
		t.Fatalf("%d machines", len(all))
	}
	for _, r := range matrixRows(false) {
		if !slices.Contains(all, r) {
			t.Errorf("%v is not in the matrix", r)
		}
	}
}

// TestDebian boots one real Debian from each controller, in two formats, by BIOS and UEFI, up to a login, and has root look at the machine: the controller's and
// every card's own driver, an address on each card, a disk that keeps what it was given, and nothing in the kernel's log that complains. Where the whole
// matrix is asked for, each machine's devices are worked hard besides; see exercise.
func TestDebian(t *testing.T) {
	needGuests(t)
	if _, err := os.Stat(filepath.Join(kitDir, kit.DebianVMDK)); err != nil {
		t.Skipf("the kit has no disk with Debian, which only root can make: %v", err)
	}
	all := os.Getenv("VMM_MATRIX") != ""
	format := "%-10s %-4s %-5s %-6v %-6v %-7s %s\n"
	table := fmt.Sprintf(format, "controller", "by", "disk", "login", "in all", "verdict", "worked")
	for _, r := range matrixRows(all) {
		start, login, worked := time.Now(), time.Duration(0), ""
		ok := t.Run(r.String(), func(t *testing.T) {
			f := r.machine(t)
			if !all {
				g, _ := r.boot(t, f)
				g.enter("poweroff")
				if err := g.wait(); err != nil {
					t.Fatalf("vmm run: %v", err)
				}
				return
			}
			worked = r.exercise(t, f, &login)
		})
		if login == 0 && ok {
			continue // not asked for
		}
		verdict := "ok"
		if !ok {
			verdict = "FAILED"
		}
		table += fmt.Sprintf(format, r.place, r.firmware, r.format, login.Round(time.Second), time.Since(start).Round(time.Second), verdict, worked)
	}
	t.Logf("\n%s", table)
}

// machine is the row's, with a disk that forgets what is written to it.
func (r matrixRow) machine(t *testing.T) *machineFile {
	f := newFirmwareFile(t, r.firmware)
	f.set("memsize", "768")
	disk := map[string]string{"vmdk": kit.DebianVMDK, "vhdx": kit.DebianVHDX}[r.format]
	f.addDiskOn(r.place, filepath.Join(kitDir, disk))
	f.set(places[r.place].address+".mode", "independent-nonpersistent")
	for i, c := range matrixCards {
		card := fmt.Sprintf("ethernet%d", i)
		f.set(card+".present", "TRUE")
		f.set(card+".connectionType", "nat")
		f.set("vmm."+card+".virtualDev", c.model)
	}
	return f
}

// boot starts the machine up to where root has looked at it, and returns how long it took to its login.
func (r matrixRow) boot(t *testing.T, f *machineFile, args ...string) (g *guest, login time.Duration) {
	start := time.Now()
	g = f.start(t, args...)
	g.expect(`^Debian GNU/Linux 12 debian ttyS0`)
	login = time.Since(start)
	g.enter("root")
	g.expect(`^shell: ready on /dev/ttyS0$`)
	g.enter("check")
	g.expect(`^check: done$`)
	for pattern, want := range map[string]string{`check: firmware (\w+)$`: r.firmware, `^check: root (\S+) `: r.driver, `^check: (disk keeps)$`: "disk keeps"} {
		if got := g.said(pattern); len(got) != 1 || got[0][1] != want {
			t.Errorf("%s: the guest said %q, want %s", pattern, got, want)
		}
	}
	cards := map[string]string{}
	for _, m := range g.said(`^check: card (\S*) (\S*)$`) {
		cards[m[1]] = m[2]
	}
	for _, c := range matrixCards {
		if cards[c.driver] != "10.0.2.15" {
			t.Errorf("%s has the address %q", c.driver, cards[c.driver])
		}
	}
	complaints := g.said(`^check: (?:complaint|failed) (.*)$`)
	complaints = slices.DeleteFunc(complaints, func(m []string) bool { return expected.MatchString(m[1]) })
	for _, m := range complaints {
		t.Errorf("Debian complains: %s", m[1])
	}
	return g, login
}

// enter types a line on the console.
func (g *guest) enter(line string) {
	g.t.Helper()
	if _, err := io.WriteString(g.stdin, line+"\n"); err != nil {
		g.t.Fatal(err)
	}
}
