// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// bootModules must be there before the root file system and the channel to the
// lab are; which of them are built in differs between the suites' kernels.
var bootModules = []string{"ext4", "virtio_pci", "virtio_blk", "virtio_console"}

// initScript finds no device that needs waiting for: a virtio driver probes
// before insmod returns.
const initScript = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod "$module"; done
/bin/busybox mount -t ext4 -o rw /dev/vda /root || exec /bin/busybox poweroff -f
exec /bin/busybox switch_root /root /lib/systemd/systemd
`

// makeBootable turns the unpacked kernel packages in dir/kernel into `vmlinuz`,
// `initrd` and `modules`, a tree with lib/modules that a root is to contain.
func makeBootable(dir string) error {
	kernel := filepath.Join(dir, "kernel")
	// Debian 12 has /lib/modules, later ones /usr/lib/modules.
	found, _ := filepath.Glob(kernel + "/*/lib/modules/*")
	old, _ := filepath.Glob(kernel + "/lib/modules/*")
	found = append(found, old...)
	if len(found) != 1 {
		return fmt.Errorf("kernel modules: %d versions, want 1: %v", len(found), found)
	}
	version := filepath.Base(found[0])
	modules := filepath.Join(dir, "modules/usr/lib/modules")
	if err := os.MkdirAll(modules, 0o755); err != nil {
		return err
	}
	if err := os.Rename(found[0], filepath.Join(modules, version)); err != nil {
		return err
	}
	// depmod(8) looks below lib/ only.
	if err := os.Symlink("usr/lib", filepath.Join(dir, "modules/lib")); err != nil {
		return err
	}
	if err := quietly(nil, "/sbin/depmod", "-b", filepath.Join(dir, "modules"), version); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, "modules/lib")); err != nil {
		return err
	}
	images, _ := filepath.Glob(kernel + "/boot/vmlinuz-*")
	newer, _ := filepath.Glob(kernel + "/usr/lib/*/*/vmlinuz*")
	images = append(append(images, newer...), filepath.Join(modules, version, "vmlinuz"))
	if err := os.Rename(images[0], filepath.Join(dir, "vmlinuz")); err != nil {
		return err
	}
	if err := writeInitrd(dir, filepath.Join(modules, version)); err != nil {
		return err
	}
	return os.RemoveAll(kernel)
}

func writeInitrd(dir, modules string) error {
	busybox, err := os.ReadFile(filepath.Join(dir, "root/usr/bin/busybox"))
	if err != nil {
		return err
	}
	order, err := loadOrder(modules, bootModules)
	if err != nil {
		return err
	}
	var archive cpio
	archive.directory("bin", "dev", "root", "modules")
	archive.file("bin/busybox", 0o755, busybox)
	archive.file("init", 0o755, []byte(initScript))
	for i, name := range order {
		// The kernel cannot always decompress modules itself.
		content, err := readModule(filepath.Join(modules, name))
		if err != nil {
			return err
		}
		archive.file(fmt.Sprintf("modules/%02d.ko", i), 0o644, content)
	}
	return os.WriteFile(filepath.Join(dir, "initrd"), archive.bytes(), 0o644)
}

// loadOrder lists the files of these modules and of what they depend on, first
// things first. modules.dep names dependencies in the opposite order.
func loadOrder(modules string, names []string) ([]string, error) {
	dep, err := os.ReadFile(filepath.Join(modules, "modules.dep"))
	if err != nil {
		return nil, err
	}
	if len(dep) == 0 {
		return nil, errors.New("modules.dep: empty")
	}
	var order []string
	for _, name := range names {
		for line := range strings.Lines(string(dep)) {
			file, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
			base, _, _ := strings.Cut(filepath.Base(file), ".")
			if strings.ReplaceAll(base, "-", "_") != name {
				continue
			}
			wanted := append([]string{file}, strings.Fields(needs)...)
			for _, file := range slices.Backward(wanted) {
				if !slices.Contains(order, file) {
					order = append(order, file)
				}
			}
		}
	}
	return order, nil
}

func readModule(path string) ([]byte, error) {
	if !strings.HasSuffix(path, ".xz") {
		return os.ReadFile(path)
	}
	out, err := exec.Command("xz", "-dc", path).Output()
	if err != nil {
		return nil, fmt.Errorf("decompressing %s: %w", path, err)
	}
	return out, nil
}

// cpio is an archive in the "newc" form that the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type cpio struct {
	buf bytes.Buffer
	ino int
}

func (c *cpio) entry(name string, mode int, content []byte) {
	c.ino++
	fields := []int{c.ino, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0}
	c.buf.WriteString("070701")
	for _, field := range fields {
		fmt.Fprintf(&c.buf, "%08X", field)
	}
	c.buf.WriteString(name + "\x00")
	c.pad()
	c.buf.Write(content)
	c.pad()
}

func (c *cpio) pad() {
	for c.buf.Len()%4 != 0 {
		c.buf.WriteByte(0)
	}
}

func (c *cpio) directory(names ...string) {
	for _, name := range names {
		c.entry(name, 0o040755, nil)
	}
}

func (c *cpio) file(name string, mode int, content []byte) { c.entry(name, 0o100000|mode, content) }

func (c *cpio) bytes() []byte {
	c.entry("TRAILER!!!", 0, nil)
	return c.buf.Bytes()
}
