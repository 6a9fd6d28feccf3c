package i8042

// fill answers a read of a one-byte port: a wider access does not reach the device's neighbours through it.
func fill(p []byte, v uint8) {
	for i := range p {
		p[i] = v
	}
}

type commandPort struct{ d *Device }

// Read implements bus.Device.
func (c commandPort) Read(_ uint64, p []byte) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	fill(p, c.d.status)
}

// Write implements bus.Device.
func (c commandPort) Write(_ uint64, p []byte) { c.d.reset(c.d.command(p[0])) }

// command carries out a command and says whether it resets the machine.
func (d *Device) command(v uint8) (reset bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.load() // a port may have been enabled
	d.status |= statusCommand
	d.pending = 0
	switch {
	case v >= cmdReadRAM && v < cmdReadRAM+ramSize:
		d.reply(d.ram[v-cmdReadRAM], 0)
	case v >= cmdWriteRAM && v < cmdWriteRAM+ramSize, v == cmdWriteOutput, v == cmdLoopKeyboard, v == cmdLoopMouse, v == cmdWriteMouse:
		d.pending = v
	case v == cmdDisableMouse:
		d.ram[0] |= mouseDisabled
	case v == cmdEnableMouse:
		d.ram[0] &^= mouseDisabled
	case v == cmdDisableKeys:
		d.ram[0] |= keyboardDisabled
	case v == cmdEnableKeys:
		d.ram[0] &^= keyboardDisabled
	case v == cmdSelfTest:
		d.ram[0] |= commandSystem
		d.status |= statusSystem
		d.reply(selfTestPassed, 0)
	case v == cmdTestMouse && d.cfg.Devices:
		d.reply(interfaceFine, 0)
	case v == cmdTestMouse:
		d.reply(interfaceClockLow, 0)
	case v == cmdTestKeyboard:
		d.reply(interfaceFine, 0)
	case v == cmdReadInput:
		d.reply(inputUnlocked, 0)
	case v == cmdReadOutput:
		d.reply(d.output, 0)
	case v >= cmdPulse:
		return v&outputNoReset == 0
	}
	return false
}

type dataPort struct{ d *Device }

// Read implements bus.Device.
func (c dataPort) Read(_ uint64, p []byte) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	fill(p, c.d.data)
	c.d.status &^= statusFull | statusAux | statusTimeout
	c.d.update() // the line goes low even if the next byte follows at once: the interrupt is edge-triggered
	c.d.load()
}

// Write implements bus.Device.
func (c dataPort) Write(_ uint64, p []byte) {
	reset, leds := c.d.parameter(p[0])
	c.d.reset(reset)
	if leds >= 0 && c.d.cfg.LEDs != nil {
		c.d.cfg.LEDs(lights(uint8(leds)))
	}
}

// parameter takes a byte written to the data port. It says whether that resets the machine, and what the keyboard's lights change to, or -1.
func (d *Device) parameter(v uint8) (reset bool, leds int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.load()
	d.status &^= statusCommand
	command := d.pending
	d.pending = 0
	switch {
	case command >= cmdWriteRAM && command < cmdWriteRAM+ramSize:
		d.ram[command-cmdWriteRAM] = v
		if command == cmdWriteRAM {
			d.status = d.status&^statusSystem | v&commandSystem
		}
		d.update()
	case command == cmdWriteOutput:
		d.output = v
		return v&outputNoReset == 0, -1
	case command == cmdLoopKeyboard:
		d.reply(v, 0)
	case command == cmdLoopMouse && d.cfg.Devices:
		d.reply(v, statusAux)
	case command == cmdLoopMouse:
		d.reply(v, 0) // without statusAux: there is no mouse port
	case !d.cfg.Devices:
		d.reply(resend, statusTimeout) // for the mouse, or else for the keyboard
	case command == cmdWriteMouse: // talking to a device enables its port
		d.ram[0] &^= mouseDisabled
		d.mouse.write(v)
	default:
		d.ram[0] &^= keyboardDisabled
		before := d.keyboard.leds
		if d.keyboard.write(v); d.keyboard.leds != before {
			return false, int(d.keyboard.leds)
		}
	}
	return false, -1
}

type systemPort struct{ d *Device }

// Read implements bus.Device.
func (s systemPort) Read(_ uint64, p []byte) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	fill(p, s.d.output&systemA20)
}

// Write implements bus.Device.
func (s systemPort) Write(_ uint64, p []byte) { s.d.reset(s.d.system(p[0])) }

// system takes a byte written to port 92h and says whether it resets the machine.
func (d *Device) system(v uint8) (reset bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.output = d.output&^systemA20 | v&systemA20
	return v&systemReset != 0
}
