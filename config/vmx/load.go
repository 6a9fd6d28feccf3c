package vmx

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/config"
)

// Options say what a user allows a machine file to have. The zero value suits a file from a stranger.
type Options struct {
	AllowOutside     bool // files outside the folder of the .vmx
	AllowHostDevices bool // host disks, host serial ports, TAP devices and bridges
	AllowHostAccess  bool // network services of the host, and network addresses for serial ports
	DiscardState     bool // forget a suspended VMware session (checkpoint.vmState)
	IgnoreLocks      bool // VMware's .lck folders are left over from a crash
}

// vmmPrefix begins the keys that VMware ignores and vmm does not.
const vmmPrefix = "vmm."

// Load reads the .vmx file at path and translates it. The findings are those worth telling on every run: what was
// left out or changed. A file that must not be run gives a [*RefusedError] together with the findings; a file that cannot
// be read, or is none, gives an error and nothing else.
//
// It looks at the files that the machine names, but opens none of them.
func Load(path string, opt Options) (*config.Machine, *File, []Finding, error) {
	l, err := examine(path, opt)
	if err != nil {
		var refused *RefusedError
		if errors.As(err, &refused) { // encrypted: there is nothing to translate
			return nil, nil, refused.Reasons, err
		}
		return nil, nil, nil, err
	}
	findings := slices.DeleteFunc(l.report(), func(f Finding) bool { return f.Class < Warned })
	if refused := only(findings, Refused); len(refused) > 0 {
		return nil, l.f, findings, &RefusedError{File: path, Reasons: refused}
	}
	return l.m, l.f, findings, nil
}

// loader translates one file.
type loader struct {
	f        *File
	opt      Options
	m        *config.Machine
	dir      string // absolute folder of the .vmx, free of symbolic links
	stem     string // absolute path of the .vmx without extension
	findings []Finding
	told     map[Finding]bool
	judged   map[string]bool // folded keys that findings speak about
	used     map[string]bool // folded keys that the translation looked at
}

// examine does what Load and Lint have in common.
func examine(path string, opt Options) (*loader, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	if err := identify(f); err != nil {
		return nil, err
	}
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, fmt.Errorf("opening machine file: %w", err)
	}
	l := &loader{
		f: f, opt: opt, dir: filepath.Dir(real), stem: strings.TrimSuffix(real, filepath.Ext(real)),
		told: map[Finding]bool{}, judged: map[string]bool{}, used: map[string]bool{},
	}
	l.syntax()
	l.duplicates()
	l.locks(real)
	l.translate()
	return l, nil
}

// identify tells a machine file from anything else. An encrypted machine holds nothing but its name and ciphertext.
func identify(f *File) error {
	for _, key := range f.Keys() {
		if strings.HasPrefix(fold(key), "encryption.") {
			return &RefusedError{File: f.name, Reasons: []Finding{{
				Class: Refused, Key: key, Line: f.Line(key), Reason: classify(key).reason, Advice: classify(key).advice,
			}}}
		}
	}
	var missing []string
	for _, key := range []string{"config.version", "virtualHW.version", "guestOS"} {
		if _, ok := f.Get(key); !ok {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: %w: it lacks %s", f.name, ErrNotVMX, strings.Join(missing, ", "))
	}
	return nil
}

func (l *loader) translate() {
	name, ok := l.str("displayName")
	if !ok || name == "" {
		name = filepath.Base(l.stem)
	}
	l.m = config.New(oneLine(name))
	l.m.Folder = l.dir
	l.identity()
	l.compute()
	l.firmware()
	l.bridges()
	l.storage()
	l.network()
	l.display()
	l.peripherals()
	l.serialPorts()
	l.power()
	l.limits()
	l.wishes()
	l.unserved()
	if len(only(l.findings, Refused)) > 0 {
		return // what was refused is missing from the machine: further complaints would mislead
	}
	var joined interface{ Unwrap() []error }
	if err := l.m.Validate(); errors.As(err, &joined) {
		for _, err := range joined.Unwrap() {
			_, reason, _ := strings.Cut(err.Error(), ": ")
			l.note("", Refused, reason, "")
		}
	}
}

// oneLine makes a name out of text that may hold line breaks.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// effective is the key that counts for a device key: the one with vmm. in front if it is there.
func (l *loader) effective(key string) string {
	if own := vmmPrefix + key; isDevice(key) && l.f.Line(own) != 0 {
		l.used[fold(key)] = true
		key = own
	}
	l.used[fold(key)] = true
	return key
}

func (l *loader) str(key string) (string, bool) {
	return l.f.Get(l.effective(key))
}

// word is str for values that are one of a few words: lower case, without blanks around it.
func (l *loader) word(key string) string {
	s, _ := l.str(key)
	return strings.ToLower(strings.TrimSpace(s))
}

func (l *loader) bool(key string, def bool) bool {
	v, err := l.f.Bool(l.effective(key), def)
	l.badValue(err)
	return v
}

func (l *loader) int(key string, def, lowest, highest int64) int64 {
	v, err := l.f.Int(l.effective(key), def, lowest, highest)
	l.badValue(err)
	return v
}

func (l *loader) slot(device string) config.PCISlot {
	return config.PCISlot(l.int(device+".pciSlotNumber", int64(config.NoSlot), -1, 1<<13-1))
}

func (l *loader) badValue(err error) {
	var bad *ValueError
	if errors.As(err, &bad) {
		l.note(bad.Key, Refused, fmt.Sprintf("%q %s", clip(bad.Value), bad.Reason), "")
	}
}

// note records a finding about a key, or about the file if key is empty. The same finding is recorded once.
func (l *loader) note(key string, class Class, reason, advice string) {
	at := 0
	if key != "" {
		if i, ok := l.f.find(l.effective(key)); ok {
			key, at = l.f.lines[i].key, i+1
		}
		l.judged[fold(key)] = true
	}
	f := Finding{Class: class, Key: key, Line: at, Reason: reason, Advice: advice}
	if !l.told[f] {
		l.told[f] = true
		l.findings = append(l.findings, f)
	}
}

func (l *loader) refuse(key, advice, format string, args ...any) {
	l.note(key, Refused, fmt.Sprintf(format, args...), advice)
}

func (l *loader) warn(key, advice, format string, args ...any) {
	l.note(key, Warned, fmt.Sprintf(format, args...), advice)
}

// syntax reports lines that carry nothing or less than they seem to.
func (l *loader) syntax() {
	for i, line := range l.f.lines {
		if line.problem != "" {
			l.findings = append(l.findings, Finding{Class: Warned, Key: line.key, Line: i + 1, Reason: line.problem})
		}
	}
}

// duplicates reports keys that are defined more than once, which VMware never accepts.
func (l *loader) duplicates() {
	for _, key := range l.f.Keys() {
		at := l.f.index[fold(key)]
		if len(at) == 1 {
			continue
		}
		class, how := Warned, "the same"
		for _, i := range at {
			if l.f.lines[i].value != l.f.lines[at[0]].value {
				class, how = Refused, "another value"
			}
		}
		l.findings = append(l.findings, Finding{
			Class: class, Key: key, Line: at[len(at)-1] + 1,
			Reason: fmt.Sprintf("already defined in line %d as %s; VMware refuses such a file", at[0]+1, how),
			Advice: "keep one of the lines",
		})
	}
}

// devices lists the devices that keys speak about, "ethernet0" or "scsi0:1", in order of their names and numbers.
func (l *loader) devices(family string) []string {
	seen := map[string]bool{}
	var names []string
	for _, key := range l.f.Keys() {
		name, _, _ := strings.Cut(strings.TrimPrefix(fold(key), vmmPrefix), ".")
		if match(family, name) && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	return names
}

// numbered lists the numbers of the devices of a family that are present. Numbers that do not exist are refused.
func (l *loader) numbered(family string, count int) []int {
	var present []int
	for _, name := range l.devices(family + "n") {
		if !l.bool(name+".present", false) {
			continue
		}
		n, err := strconv.Atoi(name[len(family):])
		if err != nil || n >= count || name[len(family):] != strconv.Itoa(n) {
			l.refuse(name+".present", "", "there is no such device (%s0 to %s%d)", family, family, count-1)
			continue
		}
		present = append(present, n)
	}
	slices.Sort(present)
	return present
}

// only picks the findings of one class.
func only(findings []Finding, class Class) []Finding {
	var out []Finding
	for _, f := range findings {
		if f.Class == class {
			out = append(out, f)
		}
	}
	return out
}
