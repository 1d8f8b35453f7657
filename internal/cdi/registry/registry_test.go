// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unitc/unitc/internal/cdi"
)

const gpus = `cdiVersion: 0.6.0
kind: nvidia.com/gpu
annotations: {a: b}
containerEdits:
  env: [NVIDIA_VISIBLE_DEVICES=void]
  deviceNodes: [{path: /dev/nvidiactl}]
  mounts: [{hostPath: /usr/lib/libcuda.so.1, containerPath: /usr/lib/libcuda.so.1, options: [ro, bind]}]
  hooks: [{hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, update-ldcache], timeout: 5}]
devices:
- name: "0"
  containerEdits: {deviceNodes: [{path: /dev/nvidia0, major: 195, fileMode: 438}], additionalGids: [0, 44]}
- name: "1"
  containerEdits: {deviceNodes: [{path: /dev/nvidia1}], additionalGids: [44], intelRdt: {closID: x}}
`

func place(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The file's own edits come once, then those of the devices; an edit that is
// not known to be harmless is named.
func TestResolve(t *testing.T) {
	dir := t.TempDir()
	place(t, dir, "nvidia.yaml", gpus)
	got, err := Resolve([]string{dir, "/nowhere"}, []string{"nvidia.com/gpu=0", "nvidia.com/gpu=1"})
	if err != nil {
		t.Fatal(err)
	}
	mode, timeout := uint32(0o666), 5
	want := &cdi.Edits{
		Env:    []string{"NVIDIA_VISIBLE_DEVICES=void"},
		Nodes:  []cdi.DeviceNode{{Path: "/dev/nvidiactl"}, {Path: "/dev/nvidia0", Major: 195, FileMode: &mode}, {Path: "/dev/nvidia1"}},
		Mounts: []cdi.Mount{{HostPath: "/usr/lib/libcuda.so.1", ContainerPath: "/usr/lib/libcuda.so.1", Options: []string{"ro", "bind"}}},
		Hooks:  []cdi.Hook{{Name: "createContainer", Path: "/usr/bin/nvidia-cdi-hook", Args: []string{"nvidia-cdi-hook", "update-ldcache"}, Timeout: &timeout}},
		GIDs:   []uint32{44}, Unsupported: []string{"intelRdt"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// The later directory wins, a contradiction in one directory is an error, and
// each failure says what to do.
func TestConflictsAndFaults(t *testing.T) {
	old, run := t.TempDir(), t.TempDir()
	device := func(env string) string {
		return `{"cdiVersion": "1.0.0", "kind": "a.com/b", "devices": [{"name": "x", "containerEdits": {"env": ["` + env + `"]}}]}`
	}
	place(t, old, "b.json", device("FROM=etc"))
	place(t, run, "b.json", device("FROM=run"))
	place(t, run, "b.conf", "not a specification")
	if e, err := Resolve([]string{old, run}, []string{"a.com/b=x"}); err != nil || e.Env[0] != "FROM=run" {
		t.Errorf("%v, %v", e, err)
	}
	names, err := Names([]string{old, run})
	if d := cmp.Diff([]string{"a.com/b=x"}, names); d != "" || err != nil {
		t.Error(d, err)
	}
	place(t, run, "c.json", device("FROM=again"))
	for name, want := range map[string]string{
		"a.com/b=x":          "is in two specifications",
		"a.com/b=y":          "a.com/b has no device y; its devices are x",
		"nvidia.com/gpu=all": "no specification in " + old + " or " + run + " is for nvidia.com/gpu; the vendor's tool writes one",
		"gpu":                "write vendor.com/class=name",
	} {
		if _, err := Resolve([]string{old, run}, []string{name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	// A file that cannot be read is named where it may have been the right one.
	for i, text := range []string{"cdiVersion: 2.0.0\n", "x: [", "cdiVersion: 1.0.0\nkind: a.com/b\nunknown: 1\n", "cdiVersion: 1.0.0\nkind: a.com/b\ndevices: [{name: -x}]\n",
		"cdiVersion: 1.0.0\nkind: a.com/b\ncontainerEdits: {hooks: [{hookName: never, path: /x}]}\n", "cdiVersion: 1.0.0\nkind: a.com/b\ncontainerEdits: {deviceNodes: [{path: x}]}\n",
		"cdiVersion: 1.0.0\nkind: a.com/b\ncontainerEdits: {mounts: [{hostPath: /x}]}\n", "cdiVersion: 1.0.0\nkind: a.com/b\ncontainerEdits: {env: [x]}\n"} {
		dir := t.TempDir()
		place(t, dir, "bad.yaml", text)
		if _, err := Resolve([]string{dir}, []string{"z.com/b=x"}); err == nil || !strings.Contains(err.Error(), "bad.yaml") {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// Specifications are files of root, but a strange one must not hang or crash the
// start of a container.
func FuzzRead(f *testing.F) {
	f.Add(gpus)
	f.Add(`{"cdiVersion": "1.0.0", "kind": "a.com/b", "devices": [{"name": "x", "containerEdits": {}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		place(t, dir, "x.yaml", text)
		names, _ := Names([]string{dir})
		for _, name := range names {
			if _, err := Resolve([]string{dir}, []string{name}); err != nil && !strings.Contains(err.Error(), "two specifications") && !strings.Contains(err.Error(), "is no name") {
				t.Errorf("%s is listed and not found: %v", name, err)
			}
		}
	})
}
