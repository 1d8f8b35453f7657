// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/cdi"
	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/quickjson"
	"github.com/unitc/unitc/internal/syntax/library"
)

// FuzzBuild: whatever a definition says, its plan is built or refused with the
// key that is at fault; no string of it can end early in a system call; and what
// is written for the clean-up is read back as it was.
func FuzzBuild(f *testing.F) {
	paths, err := filepath.Glob("../compose/testdata/good/*.yaml")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("web", string(data), "nginx")
	}
	f.Add("worker@", "rootfs: /srv/%i\ncommand: [/w, %I]\nsecurity_opt: [unmask=ALL, seccomp=/x]\n", "a-b\\x2d")
	f.Fuzz(func(t *testing.T, name, text, word string) {
		word = strings.ToValidUTF8(word, "?") // an image's configuration is JSON
		file := compose.Parse(compose.Input{Name: name, Dir: "/etc/unitc", Layers: []compose.Layer{{Path: "web.yaml", Data: []byte(text)}}, Library: library.Full})
		if file.Problems.HasErrors() {
			return
		}
		for i := range file.Services {
			s := &file.Services[i]
			if strings.HasSuffix(s.Name, "@") {
				s.Instance = strings.ReplaceAll(word, "\x00", "")
			}
			buildOnce(t, s, word)
		}
	})
}

func buildOnce(t *testing.T, s *definition.Service, word string) {
	p, err := Build(s, hostFacts(s, word))
	if err != nil {
		var key *KeyError
		if !errors.As(err, &key) || key.What == "" || key.Cure == "" {
			t.Errorf("an error without a key or a cure: %v", err)
		}
		return
	}
	for _, text := range append(append(p.Spec.Process.Args, p.Spec.Process.Env...), p.Spec.Process.Cwd, p.Spec.Hostname) {
		if strings.ContainsRune(text, 0) {
			t.Errorf("%q has a NUL byte", text)
		}
	}
	for _, m := range p.Spec.Mounts {
		if !filepath.IsAbs(m.Destination) {
			t.Errorf("a mount on %q", m.Destination)
		}
	}
	data := quickjson.Append(nil, p)
	if !json.Valid(data) {
		t.Fatalf("no JSON: %s", data)
	}
	again := &plan.Plan{}
	if err := quickjson.Parse(data, again); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if second := quickjson.Append(nil, again); !bytes.Equal(data, second) {
		at := 0
		for at < min(len(data), len(second)) && data[at] == second[at] {
			at++
		}
		t.Errorf("read back it differs: …%.80s, and was …%.80s", second[at:], data[at:])
	}
}

// hostFacts is a host that has all that the definition wants; word is what a
// stranger's image says.
func hostFacts(s *definition.Service, word string) Facts {
	f := Facts{IDStart: 524288, Devices: map[string]Device{}, Volumes: map[string]VolumeSource{}, Joined: Joined{Network: "/run/netns/x", PID: "/proc/2/ns/pid", IPC: "/proc/2/ns/ipc", Shm: 2}}
	for _, d := range s.Devices {
		f.Devices[d.Source] = Device{Type: "c", Major: 10, Minor: 229, Mode: 0o666}
	}
	if len(s.CDI) > 0 {
		f.CDI = &cdi.Edits{Env: []string{"X=1"}, Nodes: []cdi.DeviceNode{{Path: "/dev/x", Type: "c", Major: 1}}}
	}
	if s.Image != "" {
		f.Image = &Image{Lowers: []string{"/l"}, Cmd: []string{word}, Env: []string{word, "A=" + word}, User: word, WorkingDir: "/", StopSignal: "SIGTERM", Volumes: []string{"/image-volume"},
			Labels: map[string]string{"a": word}}
	}
	for _, v := range Volumes(s, f.Image) {
		f.Volumes[v.Target] = VolumeSource{Path: "/v", Layers: []string{"/l"}}
	}
	return f
}
