package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// agentWait is how long the port that tells of restoring may take to appear.
const agentWait = 5 * time.Second

// watchRestores makes anew what must not be shared with other machines from the same snapshot, whenever the machine was restored from one. The clock
// is right by then.
func watchRestores() {
	err := setup.OnRestore(agentWait, func(was, _ time.Duration) error {
		say("restored after %v", was.Round(time.Millisecond))
		if err := reseed(); err != nil {
			return err
		}
		// Before there is a network that the numbers could be used on.
		say("%d generators of random numbers are seeded anew", programs.wipe())
		if err := renewIdentity(); err != nil {
			return err
		}
		network()
		go wipeOthers()
		return nil
	})
	if !errors.Is(err, fs.ErrNotExist) { // without the port the machine is none that is restored
		say("%v", err)
	}
}

// programs are the generators of all programs that run, as far as they are known.
var programs generators

// othersLimit is how long generators that were not known when the machine was saved may go on with the numbers of its twins, at most, because the machine has something to do.
const othersLimit = 10 * time.Second

// wipeOthers looks for generators when the machine rests, and has them seeded anew, some of them for a second time.
func wipeOthers() {
	awaitRest(othersLimit, func() bool { return true })
	if err := programs.find(allProcesses()); err != nil {
		say("%v", err)
	}
	say("%d generators of random numbers are known and seeded anew", programs.wipe())
}

// seedLen is how much of the host's randomness the kernel gets, in bytes.
const seedLen = 64

// reseed makes the kernel's random numbers different from those of other machines from the same snapshot: the host's randomness comes by the
// virtio device, and RNDRESEEDCRNG has the generator take it at once (random(4)).
func reseed() error {
	host, err := os.Open("/dev/hwrng")
	if err != nil {
		return fmt.Errorf("asking the host for randomness: %w", err)
	}
	defer host.Close()
	var seed [seedLen]byte
	if _, err := io.ReadFull(host, seed[:]); err != nil {
		return fmt.Errorf("asking the host for randomness: %w", err)
	}
	pool, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("seeding random numbers: %w", err)
	}
	defer pool.Close()
	if _, err := pool.Write(seed[:]); err != nil {
		return fmt.Errorf("seeding random numbers: %w", err)
	}
	if err := unix.IoctlSetInt(int(pool.Fd()), unix.RNDRESEEDCRNG, 0); err != nil {
		return fmt.Errorf("seeding random numbers: %w", err)
	}
	return nil
}

// renewIdentity gives the machine a name and an identifier that no other has: clones of one snapshot must not be taken for each other.
func renewIdentity() error {
	var id [16]byte
	rand.Read(id[:])
	text := hex.EncodeToString(id[:])
	if err := os.WriteFile("/run/machine-id", []byte(text+"\n"), 0o644); err != nil {
		return err
	}
	name := "browser-" + text[:8]
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("naming the machine: %w", err)
	}
	say("this is %s", name)
	return nil
}
