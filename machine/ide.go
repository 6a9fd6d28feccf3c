package machine

import "errors"

func (b *board) addIDE(controller) error { return errors.New("PIIX IDE is not supported yet") }
