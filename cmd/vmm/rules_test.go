package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
)

func TestOverrideRules(t *testing.T) {
	for _, test := range []struct {
		flags runFlags
		conn  config.Connection
		want  string // of the card's rules and LAN, or of the error
	}{
		{runFlags{}, config.ConnUser, "[192.0.2.1] false"},
		{runFlags{netAllow: []string{"a.org:443, *.b.org", "192.168.1.1"}}, config.ConnUser, "[a.org:443 *.b.org 192.168.1.1] false"},
		{runFlags{lan: true}, config.ConnUser, "[192.0.2.1] true"},
		{runFlags{lan: true, netAllow: []string{"a.org"}}, config.ConnUser, "--lan changes nothing"},
		{runFlags{netAllow: []string{"a.org,"}}, config.ConnUser, "not a place"},
		{runFlags{lan: true}, config.ConnHostOnly, "need a card in the user network"},
		{runFlags{net: "none"}, config.ConnUser, "[] false"},
		{runFlags{limits: []string{"disk.iops=5"}}, config.ConnUser, "[192.0.2.1] false disk.iops 5"},
		{runFlags{limits: []string{"disk.iops"}}, config.ConnUser, "want NAME=VALUE"},
		{runFlags{limits: []string{"disk.iops=x"}}, config.ConnUser, "--limit: disk.iops: not a limit"},
	} {
		test.flags.ctrlC, test.flags.nested = "button", "no"
		cfg := config.New("m")
		cfg.SetKernel("/k", "", "")
		site, _ := config.ParseNetRule("192.0.2.1")
		cfg.NICs = []config.NIC{{Model: config.NICVirtio, Slot: config.NoSlot, Connection: test.conn}}
		if test.conn == config.ConnUser {
			cfg.NICs[0].Allow = []config.NetRule{site}
		}
		_, err := test.flags.override(cfg)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(cfg.NICs[0].Allow, " ", cfg.NICs[0].LAN)
			for name, value := range cfg.Limits.Named {
				got += " " + name + " " + value
			}
		}
		if !strings.Contains(got, test.want) {
			t.Errorf("%+v: %s, want %s", test.flags, got, test.want)
		}
	}
}
