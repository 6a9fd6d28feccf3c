package machine

import "errors"

func (b *board) addE1000(card) error { return errors.New("an e1000 is not supported yet") }

func (b *board) addE1000E(card) error { return errors.New("an e1000e is not supported yet") }
