package machine

import "errors"

func (b *board) addNVMe(controller) error { return errors.New("NVMe is not supported yet") }
