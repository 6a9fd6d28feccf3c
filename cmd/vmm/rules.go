package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sharevm/vmm/config"
)

// overrideRules applies what the command line says the guest may reach.
func (fl *runFlags) overrideRules(cfg *config.Machine) error {
	if fl.netAllow == nil && !fl.lan {
		return nil
	}
	var rules []config.NetRule
	for _, list := range fl.netAllow {
		for entry := range strings.SplitSeq(list, ",") {
			r, err := config.ParseNetRule(entry)
			if err != nil {
				return fmt.Errorf("--net-allow: %w", err)
			}
			rules = append(rules, r)
		}
	}
	found := false
	for i := range cfg.NICs {
		n := &cfg.NICs[i]
		if n.Connection != config.ConnUser {
			continue
		}
		found = true
		if rules != nil {
			n.Allow = rules
		}
		n.LAN = n.LAN || fl.lan
	}
	switch {
	case !found:
		return errors.New("--net-allow and --lan need a card in the user network (--net user)")
	case fl.lan && rules != nil:
		return errors.New("--lan changes nothing beside --net-allow: list the private addresses there")
	}
	return nil
}

// setLimits applies NAME=VALUE pairs.
func setLimits(l *config.Limits, pairs []string) error {
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("%q: want NAME=VALUE, with one of the names %s", p, strings.Join(config.LimitNames(), " "))
		}
		if err := l.Set(name, value); err != nil {
			return err
		}
	}
	return nil
}
