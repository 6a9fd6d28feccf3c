package bootdisk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sharevm/vmm/internal/filecopy"
)

// BuildDisc makes a disc (ISO 9660) at path that BIOS and UEFI boot, as grub-mkrescue does: GRUB with all of its modules, which asks for commands on the first serial
// port. Files are what lies on it besides, by their names there; those that this host does not have are left out. It needs xorriso and mtools.
func BuildDisc(ctx context.Context, path string, files map[string]string) (err error) {
	tree, err := os.MkdirTemp("", "disc")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	defer func() {
		if err != nil {
			err = fmt.Errorf("disc %s: %w", path, err)
		}
	}()
	if err := os.MkdirAll(filepath.Join(tree, "boot", "grub"), 0o755); err != nil {
		return err
	}
	// EFI's console is on the serial port already, and takes half of what is typed there if GRUB reads from it as well.
	const commands = `if [ "$grub_platform" = pc ]; then
  serial --unit=0 --speed=115200
  terminal_input serial
  terminal_output serial
fi
echo "disc: grub on $grub_platform"
`
	if err := os.WriteFile(filepath.Join(tree, "boot", "grub", "grub.cfg"), []byte(commands), 0o644); err != nil {
		return err
	}
	for name, from := range files {
		info, err := os.Stat(from)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if err := filecopy.Copy(from, filepath.Join(tree, name)); err != nil {
			return err
		}
	}
	c := exec.CommandContext(ctx, "grub-mkrescue", "-o", path, tree)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s (Debian has it in grub-common, grub-pc-bin, grub-efi-amd64-bin, xorriso and mtools)", c.Args[0], err, out)
	}
	return nil
}
