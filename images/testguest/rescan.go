package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// rescan (DEVICE:MIB:SEED) is the task disk, while every ATA port is reset again and again: a scan for drives by hand does that.
func rescan(args string) error {
	hosts, err := filepath.Glob("/sys/class/scsi_host/host*/scan")
	if err != nil || len(hosts) == 0 {
		return fmt.Errorf("there is no host to scan: %w", err)
	}
	var stop atomic.Bool
	var resets int
	failed := make(chan error, 1)
	go func() {
		var errs []error
		for !stop.Load() {
			for _, h := range hosts {
				errs = append(errs, os.WriteFile(h, []byte("- - -"), 0))
				resets++
			}
			time.Sleep(50 * time.Millisecond) // lets the load go on in between
		}
		failed <- errors.Join(errs...)
	}()
	err = verifyDisk(args)
	stop.Store(true)
	if err := errors.Join(err, <-failed); err != nil {
		return err
	}
	say("resets %d", resets)
	return nil
}
