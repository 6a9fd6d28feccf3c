package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// nvme prints what the guest sees of its NVMe controllers: "nvme NAME KEY VALUE".
func nvme(string) error {
	all, _ := filepath.Glob("/sys/class/nvme/nvme*")
	if len(all) == 0 {
		return errors.New("no controller")
	}
	for _, c := range all {
		for _, key := range []string{"state", "model", "serial", "firmware_rev", "subsysnqn", "queue_count"} {
			b, err := os.ReadFile(filepath.Join(c, key))
			if err != nil {
				return err
			}
			say("nvme %s %s %s", filepath.Base(c), key, bytes.TrimSpace(b))
		}
	}
	disks, _ := filepath.Glob("/sys/block/nvme*")
	for _, d := range disks {
		fields := make(map[string][]byte)
		for _, key := range []string{"size", "ro", "nsid", "uuid", "queue/logical_block_size", "queue/physical_block_size", "queue/write_cache", "queue/discard_max_bytes", "queue/write_zeroes_max_bytes"} {
			b, _ := os.ReadFile(filepath.Join(d, key))
			fields[key] = bytes.TrimSpace(b)
		}
		queues, _ := filepath.Glob(d + "/mq/*")
		say("nvme %s sectors=%s ro=%s nsid=%s block=%s/%s cache=%s discard=%s zeroes=%s queues=%d", filepath.Base(d), fields["size"], fields["ro"],
			fields["nsid"], fields["queue/logical_block_size"], fields["queue/physical_block_size"], fields["queue/write_cache"],
			fields["queue/discard_max_bytes"], fields["queue/write_zeroes_max_bytes"], len(queues))
	}
	b, err := os.ReadFile("/proc/interrupts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "nvme") {
			say("nvme interrupt %s", strings.Join(strings.Fields(line), " "))
		}
	}
	return nil
}

// nvmeReset (CONTROLLER:DEVICE:MIB:SEED) carries out the task disk while it resets the controller again and again, and says "resets N".
func nvmeReset(args string) error {
	controller, rest, _ := strings.Cut(args, ":")
	verified := make(chan error, 1)
	go func() { verified <- verifyDisk(rest) }()
	resets := 0
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		select {
		case err := <-verified:
			say("resets %d", resets)
			return err
		case <-tick.C:
			if err := os.WriteFile(filepath.Join("/sys/class/nvme", controller, "reset_controller"), []byte("1"), 0); err != nil {
				return fmt.Errorf("reset %d: %w", resets+1, err)
			}
			resets++
		}
	}
}
