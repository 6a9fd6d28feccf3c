package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/internal/bench/report"
	"github.com/sharevm/vmm/internal/threadtime"
)

// screenSeconds is how long a guest draws.
const screenSeconds = 10

// cards are the graphics cards whose costs are measured, as a .vmx calls them.
var cards = []string{"vga", "virtio"}

// screenRounds has a guest redraw 1920 by 1080 pixels 60 times a second, and measures what that costs the host beside the guest's own work, while somebody looks at the screen who is sent no more
// than a pixel of it.
func screenRounds(ctx context.Context, o options, f *files, r *report.Report) error {
	if err := f.openSockets(); err != nil {
		return err
	}
	for range o.rounds {
		for _, c := range cards {
			if err := f.drawRound(ctx, o, c, r); err != nil {
				return fmt.Errorf("screen, %s: %w", c, err)
			}
		}
	}
	return nil
}

func (f *files) drawRound(ctx context.Context, o options, display string, r *report.Report) error {
	ctx, cancel := context.WithTimeout(ctx, 2*limit)
	defer cancel()
	var b strings.Builder
	for _, kv := range [][2]string{
		{".encoding", "UTF-8"}, {"config.version", "8"}, {"virtualHW.version", "19"}, {"guestOS", "debian12-64"}, {"displayName", "draws"}, {"memsize", strconv.Itoa(ramMiB)},
		{"vmm.board", "pc"}, {"vmm.console", "serial0"}, {"vmm.kernel", f.screenKernel}, {"vmm.initrd", f.screenInitrd}, {"vmm.cmdline", fmt.Sprintf("console=ttyS0 quiet vmm.tasks=flood:%d", screenSeconds)}, {"vmm.display", display},
		{"svga.maxWidth", "1920"}, {"svga.maxHeight", "1080"},
	} {
		fmt.Fprintf(&b, "%s = %q\n", kv[0], kv[1])
	}
	vmx := filepath.Join(f.dir, "draws.vmx")
	if err := os.WriteFile(vmx, []byte(b.String()), 0o644); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, f.vmm, "run", "--allow-outside", "--no-log", "--snapshot", fmt.Sprint("--vnc=", screenPort), vmx)
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	var complaints strings.Builder
	c.Stderr = &complaints
	if err := c.Start(); err != nil {
		return err
	}
	defer func() {
		cancel()
		_, _ = io.Copy(io.Discard, out)
		_ = c.Wait() // it was killed
	}()
	v, err := dialViewer(fmt.Sprint("127.0.0.1:", screenPort), time.Now().Add(2*limit))
	if err != nil {
		return err
	}
	defer v.close()
	go v.peep()
	var said tail
	var before threadtime.Times
	for s := bufio.NewScanner(out); s.Scan(); {
		text := strings.TrimSpace(s.Text())
		said.add(text)
		if strings.HasSuffix(text, "flood begins") {
			before = threadtime.Of(c.Process.Pid)
		}
		_, after, found := strings.Cut(text, "flood drew ")
		if !found {
			continue
		}
		took := threadtime.Of(c.Process.Pid)
		number, _, _ := strings.Cut(after, " ")
		frames, err := strconv.Atoi(number)
		if err != nil {
			return err
		}
		percent := func(d time.Duration) float64 { return 100 * d.Seconds() / screenSeconds }
		r.Of("screen-"+display+"-frames", "1/s", report.Ours).Add(float64(frames) / screenSeconds)
		r.Of("screen-"+display+"-workers", "%", report.Ours).Add(percent(took.Workers - before.Workers))
		r.Of("screen-"+display+"-exits", "%", report.Ours).Add(percent(took.Exits - before.Exits))
		if o.verbose {
			fmt.Fprintf(os.Stderr, "%s: %d frames, workers %v, exits %v\n", display, frames, took.Workers-before.Workers, took.Exits-before.Exits)
		}
		return nil
	}
	return fmt.Errorf("the guest ended: %v; %s", &said, firstLine(complaints.String()))
}

// peep asks for what changes of the picture's first pixel, as often as the answers come, until the connection ends.
func (v *viewer) peep() {
	for {
		if _, err := v.conn.Write([]byte{3, 1, 0, 0, 0, 0, 0, 1, 0, 1}); err != nil {
			return
		}
		if _, err := v.take(); err != nil {
			return
		}
	}
}
