package main

import (
	"os"

	"github.com/sharevm/vmm/disk/tools"
	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// bars shows the progress of a command's steps, one bar after the other, on a terminal. Elsewhere it shows nothing.
type bars struct {
	p   *mpb.Progress // nil: show nothing
	bar *mpb.Bar
}

func newBars(c *cobra.Command, show bool) *bars {
	if f, ok := c.ErrOrStderr().(*os.File); show && ok && term.IsTerminal(int(f.Fd())) {
		return &bars{p: mpb.New(mpb.WithOutput(f), mpb.WithWidth(64))}
	}
	return &bars{}
}

// step returns what reports the progress of a step; its bar appears with the first report.
func (b *bars) step(name string) tools.Progress {
	if b.p == nil {
		return nil
	}
	var bar *mpb.Bar
	return func(done, total int64) {
		if bar == nil {
			b.drop()
			bar = b.p.AddBar(total, mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR)),
				mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
			b.bar = bar
		}
		bar.SetCurrent(done)
	}
}

// drop takes the bar away.
func (b *bars) drop() {
	if b.bar != nil {
		b.bar.Abort(true)
		b.bar = nil
	}
}

// end takes everything away and leaves the terminal to others.
func (b *bars) end() {
	if b.p != nil {
		b.drop()
		b.p.Wait()
	}
}
