package machine

import "errors"

func (b *board) addLSILogic(controller) error { return errors.New("LSI 53c1030 is not supported yet") }

func (b *board) addLSISAS(controller) error { return errors.New("LSI SAS 1068 is not supported yet") }
