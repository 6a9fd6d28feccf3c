package machine

import "errors"

func (b *board) addAHCI(controller) error { return errors.New("AHCI is not supported yet") }
