// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax/library"
)

func layer(path, data string) searchpath.Layer {
	return searchpath.Layer{Path: path, Data: []byte(data)}
}

func TestVariablesOfBothFiles(t *testing.T) {
	file := Parse(searchpath.Source{
		Name: "web", Path: "/etc/unitc/web.yaml", Dir: "/etc/unitc",
		Layers: []searchpath.Layer{layer("/etc/unitc/web.yaml", "rootfs: ${ROOT}\nhostname: ${NAME}\n")},
		Env:    []searchpath.Layer{layer("/etc/unitc/.env", "BASE=/srv\nNAME=shared\n"), layer("/etc/unitc/web.env", "ROOT=${BASE}/web\nNAME=own\n")},
	}, library.Full)
	if len(file.Problems) != 0 || len(file.Services) != 1 {
		t.Fatalf("%d services, problems %s", len(file.Services), file.Problems)
	}
	if s := file.Services[0]; s.RootFS != "/srv/web" || s.Hostname != "own" {
		t.Errorf("rootfs %q, hostname %q", s.RootFS, s.Hostname)
	}
}

// The problems of reading, of the variables and of the definition are all there.
func TestAllProblems(t *testing.T) {
	file := Parse(searchpath.Source{
		Name: "web", Path: "/etc/unitc/web.yaml", Dir: "/etc/unitc",
		Layers:   []searchpath.Layer{layer("/etc/unitc/web.yaml", "rootfs: /srv/web\ncomand: x\n")},
		Env:      []searchpath.Layer{layer("/etc/unitc/web.env", "not a variable\n")},
		Problems: diag.List{{File: "/etc/unitc/web.yaml.d/a.yaml", What: "a FIFO"}},
	}, library.Full)
	got := file.Problems.String()
	for _, want := range []string{"/etc/unitc/web.yaml.d/a.yaml: error: a FIFO", "/etc/unitc/web.env:1:", "/etc/unitc/web.yaml:2:1: error: comand"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if len(file.Services) != 1 || file.Services[0].RootFS != "/srv/web" {
		t.Errorf("services %+v", file.Services)
	}
}

// A definition that could not be read is not told to be empty; its drop-ins
// alone are no definition.
func TestUnreadable(t *testing.T) {
	file := Parse(searchpath.Source{
		Name: "web", Path: "/etc/unitc/web.yaml", Dir: "/etc/unitc",
		Layers:   []searchpath.Layer{layer("/etc/unitc/web.yaml.d/a.yaml", "comand: x\n")},
		Problems: diag.List{{File: "/etc/unitc/web.yaml", What: "a directory"}},
	}, library.Full)
	if len(file.Problems) != 1 || file.Problems[0].What != "a directory" || file.Name != "web" {
		t.Errorf("%q has problems %s", file.Name, file.Problems)
	}
}
