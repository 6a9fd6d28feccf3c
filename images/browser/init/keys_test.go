package main

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/config/vmx"
)

// told is what the browser and its compositor are told by a machine's .vmx: its words go by the kernel's command line, its file of authorities behind the initrd.
func told(t *testing.T, keys string) []string {
	t.Helper()
	dir := t.TempDir()
	text := "config.version = 8\nvirtualHW.version = 19\nguestOS = debian12-64\nmemsize = 64\nvmm.kernel = kernel\nvmm.cmdline = quiet\n" +
		"ethernet0.present = TRUE\nethernet0.connectionType = nat\n" + keys
	for name, data := range map[string][]byte{"x.vmx": []byte(text), "kernel": nil, "ca.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("ours")})} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, _, _, err := vmx.Load(filepath.Join(dir, "x.vmx"), vmx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := config.ParseKiosk(m.KernelCmdline())
	all := append(arguments(k), environment(k, true)...)
	p := policy(k)
	for _, name := range []string{"HomepageLocation", "NewTabPageLocation", "URLBlocklist", "URLAllowlist"} {
		all = append(all, fmt.Sprintf("%s: %v", name, p[name]))
	}
	if m.Run.Kiosk.CA != "" {
		text, err := os.ReadFile(m.Run.Kiosk.CA)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("CACertificates: %v", certificates(text)))
	}
	return append(all, fmt.Sprintf("network: %v", m.NICs[0].Allow))
}

// TestKeys follows each vmm.kiosk key from the .vmx to what the browser, its compositor and its network get; without it they get something else.
func TestKeys(t *testing.T) {
	without := told(t, "")
	const forbidden = "[http://* https://* ftp://* ws://* wss://*]"
	tests := map[string]struct {
		value string
		want  []string
	}{
		"url": {"https://example.org/a b?c=1&d=\u00e4#e%20f", []string{
			"https://example.org/a b?c=1&d=\u00e4#e%20f", "HomepageLocation: https://example.org/a b?c=1&d=\u00e4#e%20f", "NewTabPageLocation: https://example.org/a b?c=1&d=\u00e4#e%20f",
		}},
		"allow":    {"example.org *.debian.org:443", []string{"URLBlocklist: " + forbidden, "URLAllowlist: [.example.org debian.org:443]", "network: [example.org *.debian.org:443]"}},
		"keyboard": {"de(nodeadkeys)", []string{"XKB_DEFAULT_LAYOUT=de", "XKB_DEFAULT_VARIANT=nodeadkeys"}},
		"language": {"de-CH", []string{"--lang=de-CH", "--accept-lang=de-CH", "LANGUAGE=de_CH"}},
		"proxy":    {"http://proxy.example.org:3128", []string{"--proxy-server=http://proxy.example.org:3128"}},
		"ca":       {"ca.pem", []string{"CACertificates: [b3Vycw==]"}},
	}
	for key, test := range tests {
		got := told(t, fmt.Sprintf("vmm.kiosk.%s = %q\n", key, test.value))
		for _, want := range test.want {
			if !slices.Contains(got, want) {
				t.Errorf("vmm.kiosk.%s: %q is missing in\n%s", key, want, strings.Join(got, "\n"))
			}
			if slices.Contains(without, want) {
				t.Errorf("vmm.kiosk.%s: %q is there without it", key, want)
			}
		}
	}
	// A key that is honoured has to be here.
	list, err := os.ReadFile("../../../config/vmx/keys.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`"vmm\.kiosk\.(\w+)"`).FindAllSubmatch(list, -1)
	if len(found) < len(tests) {
		t.Errorf("%d keys are honoured", len(found))
	}
	for _, m := range found {
		if _, ok := tests[string(m[1])]; !ok {
			t.Errorf("nobody knows what vmm.kiosk.%s leads to", m[1])
		}
	}
}

// TestSettings holds the kernel to what a machine for strangers' pages needs.
func TestSettings(t *testing.T) {
	got := map[string]string{}
	for _, s := range settings {
		got[s.name] = s.value
	}
	for name, want := range map[string]string{
		"kernel/kptr_restrict": "2", "kernel/dmesg_restrict": "1", "kernel/unprivileged_bpf_disabled": "1", "kernel/sysrq": "0", "kernel/yama/ptrace_scope": "1",
		"kernel/kexec_load_disabled": "1", "kernel/modules_disabled": "1", "net/core/bpf_jit_harden": "2", "fs/protected_fifos": "2", "fs/protected_regular": "2",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}
