package machine

import "github.com/sharevm/vmm/config"

// pc says whether this is the PC board, with the chipset that firmware and foreign systems know.
func (b *board) pc() bool { return b.m.cfg.Board == config.BoardPC }
