package config

import (
	"net/url"
	"strings"
)

// Words are what the kernel's command line tells the browser machine's guest, "" for a machine that is none. Each is KEY=VALUE as in a
// .vmx, the value percent-encoded so that it holds no spaces or quotes.
func (k Kiosk) Words() string {
	var words []string
	add := func(key, value string) {
		if value != "" {
			words = append(words, kioskPrefix+key+"="+url.QueryEscape(value))
		}
	}
	add("url", k.URL)
	add("allow", strings.Join(k.Allow, ","))
	add("keyboard", k.Keyboard)
	add("language", k.Language)
	add("proxy", k.Proxy)
	return strings.Join(words, " ")
}

const kioskPrefix = "vmm.kiosk."

// KioskAuthorities is the file of the initramfs in which the browser machine's guest finds the certificates of Kiosk.CA; it is too long for the command line.
const KioskAuthorities = "vmm-kiosk-ca.pem"

// ParseKiosk finds a kernel command line's Words. What makes no sense is left out.
func ParseKiosk(cmdline string) Kiosk {
	var k Kiosk
	for word := range strings.FieldsSeq(cmdline) {
		key, value, ok := strings.Cut(strings.TrimPrefix(word, kioskPrefix), "=")
		if !ok || !strings.HasPrefix(word, kioskPrefix) {
			continue
		}
		value, err := url.QueryUnescape(value)
		if err != nil {
			continue
		}
		switch key {
		case "url":
			k.URL = value
		case "allow":
			k.Allow = strings.Split(value, ",")
		case "keyboard":
			k.Keyboard = value
		case "language":
			k.Language = value
		case "proxy":
			k.Proxy = value
		}
	}
	return k
}

// KernelCmdline is the whole command line of a direct boot: the browser machine's words come first, since words behind "--" are not the kernel's.
func (m *Machine) KernelCmdline() string {
	return strings.TrimSpace(m.Run.Kiosk.Words() + " " + m.Boot.Cmdline)
}
