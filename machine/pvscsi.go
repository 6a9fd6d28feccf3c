package machine

import "errors"

func (b *board) addPVSCSI(controller) error { return errors.New("PVSCSI is not supported yet") }
