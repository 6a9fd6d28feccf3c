package flash

import (
	"time"

	"github.com/sharevm/vmm/internal/guard"
)

// rest is how long the guest must have stored nothing for its stores to be no longer collected. A store is delivered after this time at the latest.
const rest = 5 * time.Millisecond

// gathering collects the guest's stores while it programs the chip: OVMF's driver programs byte by byte, two stores each, tens of thousands in a first boot. The array
// stays hidden meanwhile, since what the guest reads from it must show the stores before: the first read is an exit, before which they are delivered, and
// shows it again. Hiding it between one run of stores and the next only would be costly, too: KVM forgets all of the guest's page tables with each slot that goes.
type gathering struct {
	d     *Device
	timer *time.Timer

	// Guarded by the device's lock.
	on     bool
	ended  bool
	stores int // since the timer looked
	failed bool
}

func (g *gathering) init(d *Device) {
	g.d = d
	g.timer = time.AfterFunc(time.Hour, g.look)
	g.timer.Stop()
}

// finish has stores exit again and shows the array, if that is what reads give. The device's lock is held, and no store waits.
func (g *gathering) finish() {
	g.stop()
	if !g.on && !g.ended && g.d.mode == readArray {
		g.d.report(g.d.show(true))
	}
}

// begin begins to collect, where that is possible. The device's lock is held, and the array is hidden.
func (g *gathering) begin() {
	if g.on || g.ended || g.failed || g.d.cfg.Stores == nil || g.d.cfg.Array == nil {
		return
	}
	if err := g.d.cfg.Stores.Collect(true); err != nil {
		g.failed = true
		g.d.cfg.Log.Error("flash: each of the guest's stores exits", "error", err)
		return
	}
	g.on, g.stores = true, 0
	g.timer.Reset(rest)
}

// stop ends what begin began. The device's lock is held.
func (g *gathering) stop() {
	if !g.on {
		return
	}
	g.timer.Stop()
	if err := g.d.cfg.Stores.Collect(false); err != nil {
		// The array stays hidden: what KVM goes on collecting would show in it too late.
		g.d.cfg.Log.Error("flash: stores go on being collected", "error", err)
		return
	}
	g.on = false
}

// look is the timer's: it delivers what waits, and stops when nothing came for a while.
func (g *gathering) look() {
	defer guard.Panic(g.d.cfg.Log, "flash")
	g.d.cfg.Stores.Deliver()
	if !g.quiet() {
		return
	}
	// What was stored before KVM stopped collecting.
	g.d.cfg.Stores.Deliver()
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if !g.on {
		g.finish()
	}
}

// quiet says whether the guest rests, and has its stores exit again if so.
func (g *gathering) quiet() bool {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	if !g.on || g.ended {
		return false
	}
	if g.stores > 0 {
		g.stores = 0
		g.timer.Reset(rest)
		return false
	}
	g.stop()
	return !g.on
}

// end is called when no vCPU runs any more.
func (g *gathering) end() {
	g.d.mu.Lock()
	defer g.d.mu.Unlock()
	g.stop()
	g.ended = true
}
