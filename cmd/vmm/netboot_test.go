package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
)

func TestNetBoot(t *testing.T) {
	old := config.NetBoot{Folder: "/old", File: "old", Script: "old.ipxe"}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		old   config.NetBoot
		flags runFlags
		conn  config.Connection
		boot  config.NetBoot
		order string
		err   string
	}{
		{old, runFlags{}, config.ConnUser, old, "hdd", ""},
		{old, runFlags{tftp: "boot"}, config.ConnUser, config.NetBoot{Folder: filepath.Join(here, "boot"), File: "old", Script: "old.ipxe"}, "hdd", ""},
		{old, runFlags{bootFile: "http://x/y"}, config.ConnHostOnly, config.NetBoot{Folder: "/old", File: "http://x/y"}, "ethernet2,hdd", ""},
		{old, runFlags{bootFile: "x"}, config.ConnTap, config.NetBoot{}, "", "need a card in the user network"},
		{config.NetBoot{}, runFlags{bootFile: "x"}, config.ConnUser, config.NetBoot{}, "", "needs its folder"},
		{old, runFlags{net: "none"}, config.ConnUser, config.NetBoot{}, "hdd", ""},
	} {
		cfg := &config.Machine{NICs: []config.NIC{{Index: 1, Connection: config.ConnNone}, {Index: 2, Connection: c.conn, Boot: c.old}}}
		cfg.Firmware.BootOrder = []string{"hdd"}
		err := c.flags.overrideNet(cfg)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.flags.bootFile, err, c.err)
			}
			continue
		}
		if got := cfg.NICs[1].Boot; err != nil || got != c.boot || !slices.Equal(cfg.Firmware.BootOrder, strings.Split(c.order, ",")) {
			t.Errorf("%+v, %v, %v; want %+v, %s", got, cfg.Firmware.BootOrder, err, c.boot, c.order)
		}
	}
}
