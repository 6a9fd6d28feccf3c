package main

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sharevm/vmm/config"
)

const (
	chromiumPath = "/usr/lib/chromium/chromium"
	profileDir   = "/tmp/profile"
	policyFile   = "/etc/chromium/policies/managed/vmm.json"
	startPage    = "file:///usr/share/vmm/start.html"

	// verboseWord on the kernel's command line has browser and compositor tell their doings on the console.
	verboseWord = "vmm.kiosk.verbose"
)

// keepBrowser runs the browser, and starts it again whenever it ends, with an empty profile. It is the compositor's client, and does not return.
func keepBrowser() {
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		say("%v", err)
	}
	k := config.ParseKiosk(string(cmdline))
	var b backoff
	for {
		if err := os.RemoveAll(profileDir); err != nil {
			say("%v", err)
		}
		said := &tail{}
		cmd := exec.Command(chromiumPath, arguments(k)...)
		cmd.Stdout, cmd.Stderr = said, said
		if isVerbose(string(cmdline)) {
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
			cmd.Args = append(cmd.Args[:len(cmd.Args)-1], "--enable-logging=stderr", "--v=1", cmd.Args[len(cmd.Args)-1])
		}
		start := time.Now()
		say("browser started")
		err := runWatched(cmd, slices.Contains(strings.Fields(string(cmdline)), crashWord))
		wait := b.after(time.Since(start))
		say("the browser ended (%v); again in %v. It said last:\n%s", cmd.ProcessState, wait, said.text())
		if cmd.ProcessState == nil {
			say("%v", err)
		}
		time.Sleep(wait)
	}
}

// runWatched runs the browser, and sees to its pages meanwhile.
func runWatched(cmd *exec.Cmd, crash bool) error {
	serve, done, err := watch(cmd, crash)
	if err != nil {
		return err
	}
	defer done()
	if err := cmd.Start(); err != nil {
		return err
	}
	go serve()
	return cmd.Wait()
}

// isVerbose says whether a kernel command line asks for all that programs say.
func isVerbose(cmdline string) bool { return slices.Contains(strings.Fields(cmdline), verboseWord) }

// arguments are the browser's. Its sandbox and the separation of its processes stay as they are.
func arguments(k config.Kiosk) []string {
	url := firstPage(k)
	args := []string{
		"--kiosk", "--start-fullscreen", "--ozone-platform=wayland", "--user-data-dir=" + profileDir,
		"--disable-gpu", // there is none that could draw
		// On a slow host the browser's first work takes longer than its processes wait for it, and those that gave up take the page with them.
		"--ipc-connection-timeout=600",
		"--no-first-run", "--no-default-browser-check", "--noerrdialogs", "--disable-infobars", "--password-store=basic",
		"--disable-sync", "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-breakpad",
		"--disable-features=Translate,MediaRouter,OptimizationHints,DialMediaRouteProvider,PreloadTopChromeWebUI,WebUIOmniboxPopup,WebUIOmniboxFullPopup,WebUIOmniboxAimPopup," +
			"SegmentationPlatform",
	}
	if k.Language != "" {
		args = append(args, "--lang="+k.Language, "--accept-lang="+k.Language)
	}
	if k.Proxy != "" {
		args = append(args, "--proxy-server="+k.Proxy)
	}
	return append(args, url)
}

// firstPage is what the browser starts with.
func firstPage(k config.Kiosk) string {
	if k.URL == "" || strings.HasPrefix(k.URL, "-") {
		return startPage
	}
	return k.URL
}

// policy is what the browser is not to leave to its user, and what it is not to ask or tell others by itself.
func policy(k config.Kiosk) map[string]any {
	p := map[string]any{
		"AutofillAddressEnabled":                  false,
		"AutofillCreditCardEnabled":               false,
		"BrowserSignin":                           0,
		"BackgroundModeEnabled":                   false,
		"ComponentUpdatesEnabled":                 false,
		"DefaultBrowserSettingEnabled":            false,
		"DownloadDirectory":                       home + "/Downloads",
		"GenAILocalFoundationalModelSettings":     1, // none
		"HomepageIsNewTabPage":                    false,
		"HomepageLocation":                        firstPage(k),
		"MetricsReportingEnabled":                 false,
		"NewTabPageLocation":                      firstPage(k),
		"PasswordManagerEnabled":                  false,
		"PromotionsEnabled":                       false,
		"SearchSuggestEnabled":                    false,
		"SyncDisabled":                            true,
		"UrlKeyedAnonymizedDataCollectionEnabled": false,
	}
	if filters, all := allowed(k.Allow); len(k.Allow) > 0 && all {
		// The machine's network refuses the others anyway; here the browser says so.
		p["URLBlocklist"] = []string{"http://*", "https://*", "ftp://*", "ws://*", "wss://*"}
		p["URLAllowlist"] = filters
	}
	return p
}

// allowed translates hosts as vmm.net.allow spells them into filters of the browser's. There "example.org" includes the names below it; one that is to stand
// for itself begins with a dot. There are no filters for ranges of addresses: all says whether each entry has its own, and where one has not, what may be reached is left to the network.
func allowed(hosts []string) (filters []string, all bool) {
	filters = []string{}
	for _, h := range hosts {
		r, err := config.ParseNetRule(h)
		if err != nil {
			return nil, false
		}
		if r.Protocol == "udp" {
			continue
		}
		name, below := strings.CutPrefix(r.Name, "*.")
		switch {
		case r.Name == "" && r.Prefix.IsSingleIP():
			name = r.Prefix.Addr().String()
		case r.Name == "":
			return nil, false
		case !below && r.Name != "*":
			name = "." + name
		}
		r.Name, r.Protocol = name, ""
		if r.Port != 0 {
			name = strings.TrimSuffix((config.NetRule{Name: name, Port: r.Port}).String(), "/")
		}
		filters = append(filters, name)
	}
	return filters, true
}

// certificates are those of a PEM file as the browser's policies spell them: DER in base 64.
func certificates(text []byte) (all []string) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		all = append(all, base64.StdEncoding.EncodeToString(block.Bytes))
	}
}

// writePolicy writes the policy where the browser looks for it, with more authorities to trust (PEM).
func writePolicy(k config.Kiosk, authorities []byte) error {
	p := policy(k)
	if len(authorities) > 0 {
		p["CACertificates"] = certificates(authorities)
	}
	b, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(policyFile), 0o755); err != nil {
		return err
	}
	return os.WriteFile(policyFile, b, 0o644)
}
