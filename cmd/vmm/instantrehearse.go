package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/machine/control"
	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/session"
	"github.com/sharevm/vmm/session/link"
	"github.com/sharevm/vmm/vmm/memory"
)

const (
	// rehearsalLimit is how long a rehearsal may take in all, and stepLimit how long the guest may take to come to rest after each thing that is done to it.
	rehearsalLimit = 3 * time.Minute
	stepLimit      = 20 * time.Second
	// A guest rests that takes no more than restShare of a processor for restLooks looks in a row, restLook apart.
	restShare = 0.2
	restLook  = 250 * time.Millisecond
	restLooks = 3
)

// firstDoings is what somebody does first with a machine. The guest that it is done to is thrown away, and reaches no network.
var firstDoings = [][]input.Event{
	{{Type: input.TypeAbs, Code: input.AbsX, Value: input.AbsMax / 2}, {Type: input.TypeAbs, Code: input.AbsY, Value: input.AbsMax / 3}},
	{{Type: input.TypeKey, Code: input.KeyA, Value: 1}, {Type: input.TypeKey, Code: input.KeyA}},
	{{Type: input.TypeRel, Code: input.RelWheel, Value: -1}},
}

// rehearse has a machine go on from the snapshot in dir that nobody sees, and be used for the first time, so that it notes which memory that needs: then the user's own next start does
// not have to. Whoever starts from the snapshot meanwhile does so without.
func (mk *twinMaker) rehearse(ctx context.Context, file string, cfg *config.Machine, dir string, options []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, rehearsalLimit, fmt.Errorf("it was not done within %v", rehearsalLimit))
	defer cancel()
	if err := canHaveTwin(cfg); err != nil {
		return err
	}
	began := time.Now()
	var said lastLines
	p, err := startUnseen(file, append([]string{"--rehearse=" + dir}, options...), &said)
	if err != nil {
		return err
	}
	defer func() {
		p.Kill()
		<-p.Ended()
	}()
	if err := mk.use(ctx, p); err != nil {
		return fmt.Errorf("%w%s", err, said.text())
	}
	p.Remote.Power(link.TakeAway) // it writes what it has noted
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.Ended():
	}
	if why := p.Why(); why != "" {
		return fmt.Errorf("%s%s", why, said.text())
	}
	if err := recache(ctx, filepath.Join(dir, snapshot.MemoryFile)); err != nil {
		return err
	}
	if !mk.quiet {
		fmt.Fprintf(os.Stderr, "vmm: which memory %s needs first was found out within %v, by another machine that goes on from there\n", filepath.Base(file), time.Since(began).Round(10*time.Millisecond))
	}
	return nil
}

// recache has the page cache hold the guest's memory as it did before the rehearsal: the next start reads what the rehearsal did not need, too.
func recache(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return memory.Recache(ctx, f)
}

// use does to a machine that goes on what somebody does first, each thing when the guest rests.
func (mk *twinMaker) use(ctx context.Context, p *session.Process) error {
	tick := time.NewTicker(twinLook)
	defer tick.Stop()
	for state, _ := p.Remote.State(); state != link.Ready; state, _ = p.Remote.State() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.Ended():
			return fmt.Errorf("%s before it went on", endOf(p))
		case <-tick.C:
		}
	}
	client, _, err := machineOf(ctx, p.PID())
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := awaitIdle(ctx, p, client); err != nil || i == len(firstDoings) {
			return err
		}
		p.Remote.Events(firstDoings[i])
	}
}

// awaitIdle waits until a machine's guest has nothing to do, or has had something to do for long.
func awaitIdle(ctx context.Context, p *session.Process, client control.Client) error {
	tick := time.NewTicker(restLook)
	defer tick.Stop()
	end := time.Now().Add(stepLimit)
	before, at := 0.0, time.Time{}
	for idle := 0; idle < restLooks && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.Ended():
			return errors.New(endOf(p))
		case <-tick.C:
		}
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		if idle++; at.IsZero() || status.CPU.Seconds-before > restShare*now.Sub(at).Seconds() {
			idle = 0
		}
		before, at = status.CPU.Seconds, now
	}
	return nil
}

// setApart takes from a machine what leads out of it: what is done to it nobody means.
func setApart(m *config.Machine) {
	for i := range m.NICs {
		n := &m.NICs[i]
		if n.Connection == config.ConnUser {
			n.Connection = config.ConnHostOnly
		}
		n.HostAccess, n.LAN, n.Allow, n.Publish, n.Boot = false, false, nil, nil, config.NetBoot{}
	}
}
