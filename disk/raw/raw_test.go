package raw_test

import (
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/raw"
)

var subject = disktest.Subject{
	File: "disk.raw", Create: raw.Create, Open: disktest.Opener(raw.Open), AnySize: true, Large: 8 << 40,
}

func TestConformance(t *testing.T) { disktest.Run(t, subject) }

func TestCrash(t *testing.T) { disktest.Crash(t, subject) }

func TestQemu(t *testing.T) { disktest.Cross(t, subject, disktest.Peer{Format: "raw", Exact: true}) }

func TestFaults(t *testing.T) { disktest.Faults(t, subject) }
