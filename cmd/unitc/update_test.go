// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/store"
)

// One broken definition keeps no other container from its update; who asks for
// it by name is told.
func TestUpdatePassesBrokenDefinitionsBy(t *testing.T) {
	dir := t.TempDir()
	for path, content := range map[string]string{
		"run/web/plan.json": "{}", "run/bad/plan.json": "{}", "run/gone/plan.json": "{}",
		"units/.unitc": `{"version":1
,"web.json":{"version":1,"service":{"name":"web","image":"nginx"}}
,"bad.json":{"version":1,"problems":[{"what":"wrong"}]}
}
`,
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := store.Open(dir + "/store")
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	a := &app{stderr: &said, unitDir: dir + "/units", host: live.Host{State: dir + "/run"}}
	a.connect = func(context.Context) (units.Bus, error) { return &fakeBus{}, nil }
	cmd := &cobra.Command{}
	all, err := a.containers(cmd, s, nil)
	if err != nil || len(all) != 1 || all[0].Unit != "web.service" {
		t.Errorf("%v, %v", all, err)
	}
	if !strings.Contains(said.String(), "the definition of bad has faults") {
		t.Errorf("said: %s", &said)
	}
	if _, err := a.containers(cmd, s, []string{"bad"}); err == nil {
		t.Error("by its name it is no error")
	}
}
