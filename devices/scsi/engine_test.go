package scsi

import (
	"testing"
	"time"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// newEngine is an engine of one disk at address 2, whose outcomes arrive on the channel.
func newEngine(t testing.TB, img *fakeImage, target Target) (*Engine, chan *Command) {
	t.Helper()
	target.Unit = newDisk(t, DiskConfig{Image: img})
	done := make(chan *Command, 256)
	e := NewEngine(EngineConfig{Targets: []*Target{nil, nil, &target}, Done: func(c *Command) { done <- c }, Executors: 2})
	e.Start()
	t.Cleanup(e.Stop)
	return e, done
}

func readCommand(lba uint64) *Command {
	c := &Command{}
	copy(c.CDB[:], cdb(opRead10, lba, 1, 0))
	c.Add(make([]byte, 512))
	return c
}

func TestEngineServes(t *testing.T) {
	e, done := newEngine(t, newImage(64<<10), Target{})
	seen := map[*Command]bool{}
	for i := range 100 {
		e.Submit(2, readCommand(uint64(i)))
	}
	for range 100 {
		c := <-done
		if seen[c] || c.Status != Good || c.Moved != 512 || c.Aborted {
			t.Fatalf("%+v", c)
		}
		seen[c] = true
	}
	if e.Present(0) || !e.Present(2) || e.Present(3) || e.Present(-1) {
		t.Error("wrong addresses")
	}
}

// TestAbort takes back commands of which some are under way: those end as usual, before Abort does.
func TestAbort(t *testing.T) {
	img := newImage(64 << 10)
	img.gate = make(chan struct{})
	e, done := newEngine(t, img, Target{})
	for range 10 {
		e.Submit(2, readCommand(0))
	}
	img.gate <- struct{}{} // one has begun and ends, so both executors have been at work
	<-done
	ended := make(chan int)
	go func() { ended <- e.Abort(func(id int, c *Command) bool { return id == 2 }) }()
	aborted := 0
	for c := range done {
		if !c.Aborted {
			t.Fatal("a command ended that can't have")
		}
		if aborted++; len(done) == 0 && aborted >= 7 {
			break
		}
	}
	select {
	case <-ended:
		t.Fatal("Abort did not wait for what is under way")
	default:
	}
	close(img.gate)
	n := <-ended
	for aborted+len(done) < 9 {
		t.Fatalf("%d of 9 commands came back from an abort of %d", aborted+len(done), n)
	}
	img.gate = nil
	e.Submit(2, readCommand(0))
	e.Stop()
	e.Start()
	e.Reset(nil, BusReset)
	for len(done) > 0 {
		<-done
	}
	c := readCommand(0)
	e.Submit(2, c)
	check(t, "after the reset", <-done, BusReset, 0)
}

// TestGates checks that limits hold a target, and that a pause carries out what waits.
func TestGates(t *testing.T) {
	gate := &throttle.Gate{Operations: []*throttle.Bucket{throttle.NewBucket(clock.Host, throttle.Rate{PerSecond: 1, Burst: 1})}}
	e, done := newEngine(t, newImage(64<<10), Target{Reads: gate})
	for range 5 {
		e.Submit(2, readCommand(0))
	}
	<-done
	write := &Command{}
	copy(write.CDB[:], cdb(opSyncCache10, 0, 0, 0))
	begin := time.Now()
	e.Stop()
	if len(done) != 4 {
		t.Errorf("%d commands were carried out by a pause", len(done))
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the pause took %v", took)
	}
	if n, bytes := gate.Passed(); n != 5 || bytes != 5*512 {
		t.Errorf("%d operations and %d bytes were charged", n, bytes)
	}
	e.Start()
	e.Submit(2, write)
	for c := range done {
		if c == write {
			break
		}
	}
}

// panicUnit is a unit with a bug.
type panicUnit struct{ *Disk }

func (panicUnit) Execute(*Command) { panic("out of cheese") }

func TestPanic(t *testing.T) {
	done := make(chan *Command, 1)
	e := NewEngine(EngineConfig{Targets: []*Target{{Unit: panicUnit{newDisk(t, DiskConfig{Image: newImage(4096)})}}}, Done: func(c *Command) { done <- c }})
	e.Start()
	defer e.Stop()
	for range 2 * defaultExecutors {
		e.Submit(0, readCommand(0))
		check(t, "bug", <-done, senseInternal, 0)
	}
}

// engineDevice makes an Engine a state.Device.
type engineDevice struct{ *Engine }

func (e engineDevice) Pause()  { e.Stop() }
func (e engineDevice) Resume() { e.Start() }

// TestEngineState saves a bus with a unit of each kind, whose tray the guest has locked.
func TestEngineState(t *testing.T) {
	img := newImage(64 << 10)
	var cd *CDROM
	fresh := func() state.Device {
		cd = newCD(t, CDROMConfig{Image: img})
		return engineDevice{NewEngine(EngineConfig{
			Targets: []*Target{nil, {Unit: newDisk(t, DiskConfig{Image: img})}, {Unit: cd}},
			Done:    func(*Command) {},
		})}
	}
	e := fresh()
	cd.Execute(&Command{CDB: [CDBSize]byte{opPreventRemoval, 0, 0, 0, 1}})
	e.Resume()
	e = statetest.Cycle(t, e, fresh)
	e.Pause()
}

// FuzzCommands gives both kinds of units arbitrary CDBs and data.
func FuzzCommands(f *testing.F) {
	for op := range 256 {
		f.Add(append([]byte{uint8(op)}, make([]byte, 15)...), []byte{0, 0, 0, 0, 8, 18, 4}, uint16(600))
	}
	f.Add(cdb(opUnmap, 0, 40, 0), make([]byte, 40), uint16(0))
	f.Add([]byte{opModeSelect10, 0x10, 0, 0, 0, 0, 0, 0, 28}, append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 8, 18}, make([]byte, 18)...), uint16(0))
	f.Fuzz(func(t *testing.T, cdb, out []byte, room uint16) {
		img := newImage(64 << 10)
		for _, u := range []Unit{newDisk(t, DiskConfig{Image: img}), newCD(t, CDROMConfig{Image: img, KeepSense: true}), newCD(t, CDROMConfig{})} {
			for range 2 {
				u.Cost(&Command{CDB: [CDBSize]byte(append(cdb, make([]byte, CDBSize)...)[:CDBSize])})
				c, _ := run(u, cdb[:min(len(cdb), CDBSize)], out, int(room))
				if c.Moved < 0 || c.Moved > c.Length() || (c.Status == CheckCondition) != (c.SenseLength == SenseSize) {
					t.Fatalf("%x: moved %d of %d, status %v, sense of %d", cdb, c.Moved, c.Length(), c.Status, c.SenseLength)
				}
			}
			switch u := u.(type) {
			case *Disk:
				cycle(t, u, newDisk(t, DiskConfig{Image: img}))
			case *CDROM:
				cycle(t, u, newCD(t, CDROMConfig{Image: u.image, KeepSense: u.keepSense}))
			}
		}
	})
}
