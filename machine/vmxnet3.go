package machine

import "errors"

func (b *board) addVmxnet3(card) error { return errors.New("a vmxnet3 is not supported yet") }
