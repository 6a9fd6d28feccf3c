package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sharevm/vmm/config/vmx"
)

const (
	// settled is how long the picture of a machine that nobody knows must stay as it is before it is saved, and settling how long that may take.
	settled, settling = 5 * time.Second, 5 * time.Minute
	// alike is how many of a thousand pixels may change in a picture that stays as it is: clocks and cursors.
	alike = 2
	// busy is the share of a processor, in percent, below which a machine is at rest.
	busy = 50
)

// newFileSavers have our monitor and QEMU save the machine of a .vmx, in a copy of its folder; mib is its RAM. QEMU has a peer only to machines that a kernel starts, of one disk.
func newFileSavers(f *files, dir, vmxPath string) (all []saver, mib int, err error) {
	if err := f.openSockets(); err != nil {
		return nil, 0, err
	}
	folder := filepath.Join(dir, "machine")
	if _, err := output("cp", "-r", "--sparse=always", filepath.Dir(vmxPath), folder); err != nil {
		return nil, 0, err
	}
	vmxPath = filepath.Join(folder, filepath.Base(vmxPath))
	m, _, _, err := vmx.Load(vmxPath, vmx.Options{})
	if err != nil {
		return nil, 0, err
	}
	mib = int(m.Memory >> 20)
	ours := ourSaver(f, f.onlyMachine, vmxPath)
	settles(&ours)
	all = []saver{ours}
	if m.Boot.Kernel != "" && len(m.Disks) == 1 && m.Display.Width > 0 {
		disk := filepath.Join(dir, "qemu-disk") // QEMU saves no machine whose disk is a VMDK
		if _, err := output("qemu-img", "convert", "-O", "raw", m.Disks[0].Path, disk); err != nil {
			return nil, 0, err
		}
		peer := newQEMUSaver(f, dir, qemuMachine{
			mib: mib, cpus: m.CPU.Count, width: m.Display.Width, height: m.Display.Height,
			kernel: m.Boot.Kernel, initrd: m.Boot.Initrd, words: m.KernelCmdline(), drive: "format=raw,file=" + disk, shown: true,
		})
		settles(&peer)
		all = append(all, peer)
	}
	return all, mib, nil
}

// settles has a saver's guest, of which nobody knows what it shows, be saved when its picture has settled, and recognised by that.
func settles(s *saver) {
	var reference rest
	var first []uint32
	s.ready = func(g *saved) (err error) {
		go func() { _, _ = io.Copy(io.Discard, g.out) }() // a pipe that is full would stop it
		g.dog.Stop()
		reference, err = settle(g.cmd.Process.Pid, time.Now().Add(settling))
		return err
	}
	s.picture.right = func(v *viewer) bool {
		first = append([]uint32(nil), v.pixels...)
		return reference.like(first)
	}
	s.picture.answered = func(v *viewer) bool { return reference.differ(first, v.pixels) > 0 }
}

// rest is a picture at rest, and which of its pixels blink.
type rest struct {
	pixels []uint32
	blinks []bool
	asks   bool // for text: a key that is pressed is seen
}

// exactly says whether a picture is that one in every pixel that does not blink.
func (r *rest) exactly(pixels []uint32) bool { return r.differ(r.pixels, pixels) == 0 }

// like says whether a picture is that one, but for what blinks.
func (r *rest) like(pixels []uint32) bool {
	return r.differ(r.pixels, pixels) <= len(r.pixels)*alike/1000
}

// differ is how many pixels differ of those that do not blink.
func (r *rest) differ(a, b []uint32) (n int) {
	if len(a) != len(b) || len(a) != len(r.blinks) {
		return max(len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] && !r.blinks[i] {
			n++
		}
	}
	return n
}

// look takes a picture in. It says whether that is still the same one; otherwise the new one is at rest from now on.
func (r *rest) look(pixels []uint32) (same bool) {
	if len(pixels) == len(r.pixels) {
		changed := 0
		for i := range pixels {
			if pixels[i] != r.pixels[i] {
				r.blinks[i] = true
			}
			if r.blinks[i] {
				changed++
			}
		}
		if changed <= len(pixels)*alike/1000 {
			return true
		}
	}
	*r = rest{pixels: append([]uint32(nil), pixels...), blinks: make([]bool, len(pixels))}
	return false
}

// empty says whether next to nothing is to be seen: a screen that is off, or a console, is not what anybody waits for.
func (r *rest) empty() bool {
	return differ(r.pixels, make([]uint32, len(r.pixels))) <= len(r.pixels)/10
}

// onlyMachine is the id of the machine that runs.
func (f *files) onlyMachine(ctx context.Context) (string, error) {
	b, err := exec.CommandContext(ctx, f.vmm, "ps", "--json").Output()
	if err != nil {
		return "", fmt.Errorf("vmm ps: %w", err)
	}
	var all []struct{ ID string }
	if err := json.Unmarshal(b, &all); err != nil || len(all) != 1 {
		return "", fmt.Errorf("vmm ps: %d machines run, %w", len(all), err)
	}
	return all[0].ID, nil
}

// settle waits until the picture of the machine that a process runs has stayed as it is for a while, and its processors have had next to nothing to do meanwhile: a window that is empty
// at first is at rest as well. It returns the picture.
func settle(pid int, end time.Time) (r rest, err error) {
	v, err := dialViewer(fmt.Sprint("127.0.0.1:", screenPort), end)
	if err != nil {
		return r, err
	}
	defer v.close()
	since, worked := time.Now(), time.Duration(0)
	for {
		idle, err := v.idle(since.Add(settled), end)
		if err != nil {
			return r, err
		}
		if !idle {
			if err := v.next(); err != nil {
				return r, err
			}
		}
		now := time.Now()
		changed := !idle && !r.look(v.pixels)
		if !changed && now.Sub(since) < settled {
			continue
		}
		u, err := usageOf(pid)
		if err != nil {
			return r, err
		}
		if !changed && !r.empty() && u.worked-worked < now.Sub(since)*busy/100 {
			return r, nil
		}
		if now.After(end) {
			return r, fmt.Errorf("its picture does not settle within %v", settling)
		}
		since, worked = now, u.worked
	}
}

// differ is how many pixels differ.
func differ(a, b []uint32) (n int) {
	if len(a) != len(b) {
		return max(len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
