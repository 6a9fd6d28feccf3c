package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/internal/bench/report"
	"github.com/sharevm/vmm/machine/snapshot"
)

// The picture of the guests that are saved, in pixels, and where their monitors show it.
const (
	screenWidth, screenHeight = 1024, 768
	screenPort                = 5950
)

// fillShare is the part of a guest's RAM that it fills with what has to be saved, keyMiB how much of that it reads to answer a key.
const (
	fillShare = 3 // in eighths
	keyMiB    = 4
)

// picture tells what a viewer has to see: right is the first picture, answered one that answers a key.
type picture struct{ right, answered func(*viewer) bool }

// painting is the picture of the guest that paints.
var painting = picture{func(v *viewer) bool { return v.painted(0) }, (*viewer).answered}

// saver is a monitor that saves a guest and has it go on.
type saver struct {
	name    string
	picture picture
	// ready waits until the guest can be saved.
	ready func(*saved) error
	// start is the command that starts the guest, restore the one that goes on from what was saved, with its picture at a port. files are what restore inherits, from
	// descriptor 3 on.
	start   func() []string
	restore func(port int) (args, files []string)
	// save saves the guest that runs; it may end.
	save func(context.Context) error
	// resume, unless it is nil, has a guest go on whose monitor was started by restore, and is called beside it. It returns how long the devices' state took.
	resume func(deadline time.Time) (time.Duration, error)
	// saved lists the files that a restore reads.
	saved func() ([]string, error)
	// settle has one restore find out what later ones make use of; first measures as if none had. forget hides that until back is called.
	settle, first bool
	forget        func() (back func(), err error)
}

// openSockets has our machines' sockets lie in a folder of the benchmark's own.
func (f *files) openSockets() error {
	dir := filepath.Join(f.dir, "run")
	return errors.Join(os.MkdirAll(dir, 0o700), os.Setenv("XDG_RUNTIME_DIR", dir))
}

func guestWords(mib int) string {
	return fmt.Sprintf("%s vmm.tasks=answer:%d:%d", cmdline, mib*fillShare/8, keyMiB)
}

// newOurSaver makes a machine of the fast board whose picture virtio-gpu shows.
func newOurSaver(f *files, dir string, mib int) (saver, error) {
	if err := f.openSockets(); err != nil {
		return saver{}, err
	}
	name := "answers" + strconv.Itoa(mib)
	vmx := filepath.Join(dir, name+".vmx")
	var b strings.Builder
	for _, kv := range [][2]string{
		{".encoding", "UTF-8"}, {"config.version", "8"}, {"virtualHW.version", "19"}, {"guestOS", "debian12-64"},
		{"displayName", name}, {"memsize", strconv.Itoa(mib)},
		{"vmm.kernel", f.screenKernel}, {"vmm.initrd", f.screenInitrd}, {"vmm.cmdline", guestWords(mib)},
		{"vmm.display", "virtio"}, {"svga.maxWidth", strconv.Itoa(screenWidth)}, {"svga.maxHeight", strconv.Itoa(screenHeight)},
		{"scsi0.present", "TRUE"}, {"scsi0:0.present", "TRUE"}, {"scsi0:0.fileName", f.screenDisk},
		{"ethernet0.present", "TRUE"}, {"ethernet0.connectionType", "nat"},
	} {
		fmt.Fprintf(&b, "%s = %q\n", kv[0], kv[1])
	}
	id := func(context.Context) (string, error) { return name, nil }
	return ourSaver(f, id, vmx), os.WriteFile(vmx, []byte(b.String()), 0o644)
}

// ourSaver is our monitor with the machine that a .vmx describes and that is called what id says while it runs.
func ourSaver(f *files, id func(context.Context) (string, error), vmx string) saver {
	const snap = "ready"
	stem := strings.TrimSuffix(vmx, filepath.Ext(vmx))
	at := filepath.Join(stem+".vmsnap", snap)
	run := func(more ...string) []string {
		return append(append([]string{f.vmm, "run", "--allow-outside"}, more...), vmx)
	}
	return saver{
		name:    report.Ours,
		picture: painting, ready: waits,
		start: func() []string { return run("--snapshot", "--cold", "--vnc="+strconv.Itoa(screenPort)) },
		restore: func(port int) ([]string, []string) {
			return run("--timeline", "--vnc="+strconv.Itoa(port), "--from", snap), nil
		},
		save: func(ctx context.Context) error {
			name, err := id(ctx)
			if err != nil {
				return err
			}
			if out, err := exec.CommandContext(ctx, f.vmm, "snapshot", "save", name, snap).CombinedOutput(); err != nil {
				return fmt.Errorf("vmm snapshot save: %w: %s", err, out)
			}
			return nil
		},
		saved: func() ([]string, error) { return filepath.Glob(filepath.Join(at, "*")) },
		forget: func() (func(), error) {
			set, hidden := filepath.Join(at, snapshot.WorkingFile), stem+".set"
			return func() { _ = os.Rename(hidden, set) }, os.Rename(set, hidden)
		},
		settle: true,
	}
}

// qemuMachine is a machine for QEMU that our fast board has as well.
type qemuMachine struct {
	mib, cpus, width, height int
	kernel, initrd, words    string
	drive                    string // the disk: options of -drive
	shown                    bool   // its picture is looked at before it is saved
}

// paintingMachine is the machine of the guest that paints.
func paintingMachine(f *files, mib int) qemuMachine {
	return qemuMachine{
		mib: mib, cpus: 1, width: screenWidth, height: screenHeight,
		kernel: f.screenKernel, initrd: f.screenInitrd, words: guestWords(mib), drive: "format=raw,file=" + f.screenDisk,
	}
}

// newQEMUSaver keeps RAM in a file, which a machine that goes on maps privately, and has the devices' state migrate through another.
func newQEMUSaver(f *files, dir string, m qemuMachine) saver {
	ram := filepath.Join(dir, "qemu-ram"+strconv.Itoa(m.mib))
	state := filepath.Join(dir, "qemu-state"+strconv.Itoa(m.mib))
	live := filepath.Join(f.dir, "qemu-ram") // in memory: a disk's file would be written back while the guest runs
	socket := filepath.Join(f.dir, "qmp")
	command := func(ram, share string, more ...string) []string {
		_ = os.Remove(socket)
		args := []string{
			f.qemu, "-machine", "pc,memory-backend=ram", "-accel", "kvm", "-cpu", "host", "-m", strconv.Itoa(m.mib), "-smp", strconv.Itoa(m.cpus),
			"-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=%s,share=%s", m.mib, ram, share),
			"-nodefaults", "-no-user-config", "-serial", "stdio", "-qmp", "unix:" + socket + ",server=on,wait=off",
			"-kernel", m.kernel, "-initrd", m.initrd, "-append", m.words,
			"-device", fmt.Sprintf("virtio-gpu-pci,xres=%d,yres=%d", m.width, m.height), "-device", "virtio-keyboard-pci", "-device", "virtio-tablet-pci",
			"-drive", "id=disk,if=none,snapshot=on," + m.drive, "-device", "virtio-blk-pci,drive=disk",
			"-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=",
			"-device", "virtio-rng-pci",
			"-device", "virtio-serial-pci", "-chardev", "null,id=hvc", "-device", "virtconsole,chardev=hvc",
		}
		return append(args, more...)
	}
	screen := func(port int) []string {
		const vncBase = 5900
		return []string{"-vnc", fmt.Sprint("127.0.0.1:", port-vncBase)}
	}
	return saver{
		name:    "QEMU pc",
		picture: painting, ready: waits,
		start: func() []string {
			if m.shown {
				return command(live, "on", screen(screenPort)...)
			}
			return command(live, "on", "-display", "none")
		},
		restore: func(port int) ([]string, []string) {
			return command(ram, "off", append(screen(port), "-incoming", "defer")...), []string{state}
		},
		save: func(ctx context.Context) error {
			q, err := dialQMP(socket, time.Now().Add(limit))
			if err != nil {
				return err
			}
			defer q.close()
			if err := q.save(state); err != nil {
				return err
			}
			if _, err := output("cp", "--sparse=always", live, ram); err != nil {
				return err
			}
			if _, err := output("sync", ram, state); err != nil { // ours is durable, too
				return err
			}
			return os.Remove(live)
		},
		resume: func(deadline time.Time) (time.Duration, error) {
			q, err := dialQMP(socket, deadline)
			if err != nil {
				return 0, err
			}
			defer q.close()
			const first = 3 // of the descriptors that restore inherits
			return q.load(first)
		},
		saved: func() ([]string, error) { return []string{ram, state}, nil },
	}
}
