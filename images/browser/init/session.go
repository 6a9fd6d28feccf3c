package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sharevm/vmm/config"
	"golang.org/x/sys/unix"
)

const (
	runtimeDir  = "/run/user/1000"
	sessionPath = "/usr/lib/vmm/session"
	cagePath    = "/usr/bin/cage"
)

// backoff says how long to wait before a program that ended is started again.
type backoff struct{ next time.Duration }

const (
	firstWait = 250 * time.Millisecond
	longWait  = 30 * time.Second
	// healthy is how long a program has to have run for its end to be no part of a series.
	healthy = time.Minute
)

// after returns the wait after a run that lasted ran.
func (b *backoff) after(ran time.Duration) time.Duration {
	if ran >= healthy || b.next == 0 {
		b.next = firstWait
	}
	wait := b.next
	b.next = min(2*b.next, longWait)
	return wait
}

// keepCompositor runs cage, which runs this program again as its only client, and starts it again whenever it ends. It returns only when it cannot be started.
func keepCompositor(k config.Kiosk, verbose bool) error {
	inputs, err := filepath.Glob(inputDevices)
	if err != nil {
		return err
	}
	var b backoff
	for {
		cmd := exec.Command(cagePath, "-d", "--", sessionPath)
		cmd.Env = environment(k, len(inputs) > 0)
		cmd.Dir = home
		said := &filter{to: os.Stdout}
		cmd.Stdout, cmd.Stderr = said, said
		if verbose {
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
		}
		// cage gets root's rights by its set-user-ID bit, opens the graphics card, and drops them.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Setsid: true}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("starting the compositor: %w", err)
		}
		say("compositor started")
		go awaitQuiet()
		status := reapUntil(cmd.Process.Pid)
		// One that ends because the machine does is neither replaced nor missed.
		awaitEnding()
		wait := b.after(time.Since(start))
		say("the compositor ended (%s); again in %v. It said last:\n%s", status, wait, said.text())
		time.Sleep(wait)
	}
}

// reapUntil waits for a child, and for whatever else became one.
func reapUntil(pid int) string {
	for {
		var ws unix.WaitStatus
		switch got, err := unix.Wait4(-1, &ws, 0, nil); {
		case err == unix.EINTR:
		case err != nil:
			return err.Error()
		case got == pid && ws.Signaled():
			return ws.Signal().String()
		case got == pid:
			return fmt.Sprintf("status %d", ws.ExitStatus())
		}
	}
}

// environment is what compositor and browser run in. inputs says whether there are keyboards or pointers.
func environment(k config.Kiosk, inputs bool) []string {
	layout, variant := splitLayout(k.Keyboard)
	env := []string{
		"PATH=/usr/bin", "HOME=" + home, "LANG=C.UTF-8", "XDG_RUNTIME_DIR=" + runtimeDir,
		// The seat is this machine's only one, and has no virtual terminals.
		"LIBSEAT_BACKEND=builtin", "SEATD_VTBOUND=0",
		"WLR_RENDERER=pixman", "WLR_NO_HARDWARE_CURSORS=1", "XCURSOR_SIZE=24",
		// cage insists on an X server that could be started. No client here speaks X.
		"WLR_XWAYLAND=" + sessionPath,
		"XKB_DEFAULT_LAYOUT=" + layout,
	}
	if !inputs {
		// Where there are some, this would have the compositor find them only when the first is used, and that use would be lost.
		env = append(env, "WLR_LIBINPUT_NO_DEVICES=1")
	}
	if variant != "" {
		env = append(env, "XKB_DEFAULT_VARIANT="+variant)
	}
	if k.Language != "" {
		env = append(env, "LANGUAGE="+strings.ReplaceAll(k.Language, "-", "_"))
	}
	return env
}

// splitLayout splits "de(nodeadkeys)" into layout and variant of xkeyboard-config; without a layout there is "us".
func splitLayout(s string) (layout, variant string) {
	layout, variant, _ = strings.Cut(s, "(")
	if layout == "" {
		layout = "us"
	}
	return layout, strings.TrimSuffix(variant, ")")
}
