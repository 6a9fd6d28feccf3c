package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/internal/bench/line"
	"github.com/sharevm/vmm/internal/bench/report"
)

// Turns of a round: while the machine behind boots, again and again, and while it rests.
const (
	turnsWhileBooting = 100
	turnsAtRest       = 100
)

// turnPause is how long a hotkey has to follow the last one for it to be no double tap; moreMost is what chance adds.
const (
	turnPause = 310 * time.Millisecond
	moreMost  = 200 * time.Millisecond
)

// switchRounds turns between two machines of a session and measures how long it takes from the key to the other picture on the surface that all frontends show, and to a viewer.
func switchRounds(ctx context.Context, o options, f *files, r *report.Report) error {
	for range o.rounds {
		if err := switchRound(ctx, o, f, r); err != nil {
			return fmt.Errorf("switch: %w", err)
		}
	}
	for _, s := range r.Series {
		if strings.HasPrefix(s.Name, "switch-") && len(s.Values) > 0 {
			r.Note("%s: %d turns, median %.2f ms, 90 %% %.2f, 99 %% %.2f, longest %.2f", s.Name, len(s.Values), s.Median(), s.Quantile(0.9), s.Quantile(0.99), s.Quantile(1))
		}
	}
	return nil
}

func switchRound(ctx context.Context, o options, f *files, r *report.Report) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*limit)
	defer cancel()
	paints := [][2]string{
		{"vmm.kernel", f.screenKernel}, {"vmm.initrd", f.screenInitrd}, {"vmm.cmdline", cmdline + " vmm.tasks=answer:1:1"},
		{"vmm.display", "virtio"}, {"svga.maxWidth", strconv.Itoa(screenWidth)}, {"svga.maxHeight", strconv.Itoa(screenHeight)},
	}
	s, err := startSession(ctx, f, paints, f.fromDisk(), "-vv")
	if err != nil {
		return err
	}
	defer s.end()
	took, rests, ended := make(chan time.Duration, turnsWhileBooting+turnsAtRest), make(chan bool, 1), make(chan error, 1)
	go func() {
		for {
			text, err := s.line()
			if err != nil {
				ended <- err
				return
			}
			if _, after, ok := strings.Cut(text, "msg=turned "); ok {
				_, after, _ = strings.Cut(after, "took=")
				d, err := time.ParseDuration(strings.TrimSpace(after))
				if err != nil {
					ended <- err
					return
				}
				took <- d
			}
			if strings.HasPrefix(text, behindName+": ") && strings.HasSuffix(text, line.Ready) {
				select {
				case rests <- true:
				default:
				}
			}
		}
	}()
	v, err := dialViewer(fmt.Sprint("127.0.0.1:", screenPort), time.Now().Add(10*limit))
	if err != nil {
		return err
	}
	defer v.close()
	isFront := func(v *viewer) bool { return v.patterned() }
	isOther := func(v *viewer) bool { return !v.patterned() }
	if err := v.await(isFront); err != nil {
		return err
	}
	resting, boots := false, 0
	for n := range turnsWhileBooting + turnsAtRest {
		if n >= turnsWhileBooting && !resting {
			if err := wait(ctx, rests, ended); err != nil {
				return err
			}
			resting = true
		}
		time.Sleep(turnPause + rand.N(moreMost))
		if !resting {
			select {
			case <-rests:
				boots++
				if _, err := s.vmm(ctx, "reset", behindName); err != nil {
					return err
				}
			default:
			}
		}
		shows := isOther
		if n%2 == 1 {
			shows = isFront
		}
		began := time.Now()
		if err := v.hotkey(); err != nil {
			return err
		}
		if err := v.await(shows); err != nil {
			return err
		}
		seen := time.Since(began)
		name := "switch-booting"
		if resting {
			name = "switch-at-rest"
		}
		select {
		case d := <-took:
			r.Of(name, "ms", report.Ours).Add(milliseconds(d))
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		seenSeries := r.Of(name+"-viewer", "ms", report.Ours)
		seenSeries.Add(milliseconds(seen))
		if o.verbose {
			fmt.Fprintf(os.Stderr, "%s: turn %d, %.2f ms, at the viewer %.2f ms\n", name, n, r.Of(name, "ms", report.Ours).Values[len(r.Of(name, "ms", report.Ours).Values)-1], milliseconds(seen))
		}
	}
	r.Note("switch: the machine behind was started anew %d times during the turns while it boots", boots)
	return nil
}

// wait waits for the machine behind to have booted.
func wait(ctx context.Context, rests chan bool, ended chan error) error {
	select {
	case <-rests:
		return nil
	case err := <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(errors.New("the machine behind does not become ready"), ctx.Err())
	}
}

// hotkey presses and lets go of F4.
func (v *viewer) hotkey() error {
	const f4 = 0xc1
	_, err := v.conn.Write([]byte{4, 1, 0, 0, 0, 0, 0xff, f4, 4, 0, 0, 0, 0, 0, 0xff, f4})
	return err
}

// patterned says whether the picture is the guest's that paints, at places which no line of the session's covers.
func (v *viewer) patterned() bool {
	if v.width != screenWidth || v.height != screenHeight {
		return false
	}
	for _, at := range [][2]int{{5, 300}, {500, 400}, {1023, 767}} {
		x, y := at[0], at[1]
		if v.pixels[y*v.width+x] != (squareSeed>>8^uint32(x)*0x10101+uint32(y)*0x30507)&0xffffff {
			return false
		}
	}
	return true
}
