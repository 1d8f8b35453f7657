// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLoadOrderPutsDependenciesFirst(t *testing.T) {
	dir := t.TempDir()
	dep := `kernel/virtio.ko:
kernel/virtio_ring.ko: kernel/virtio.ko
kernel/virtio-pci.ko.xz: kernel/virtio_ring.ko kernel/virtio.ko
kernel/virtio_blk.ko: kernel/virtio_ring.ko kernel/virtio.ko
`
	if err := os.WriteFile(filepath.Join(dir, "modules.dep"), []byte(dep), 0o644); err != nil {
		t.Fatal(err)
	}
	// ext4 is built in: it has no line.
	got, err := loadOrder(dir, []string{"ext4", "virtio_pci", "virtio_blk"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kernel/virtio.ko", "kernel/virtio_ring.ko", "kernel/virtio-pci.ko.xz", "kernel/virtio_blk.ko"}
	if !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}
