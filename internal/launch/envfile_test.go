// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
)

// TestReadEnvFiles: what a file uses comes from the files beside the definition,
// then from environment:, then from the file; a name alone takes it from there.
func TestReadEnvFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		".env":     "BASE=base\nBOTH=dot\n",
		"blog.env": "BOTH=own ${BASE}\n",
		"a.env":    "BOTH=file\nA=${BOTH} $GIVEN ${OWN}$\nOWN=x\nB=$OWN\nBASE\nNOBODY\n",
		"raw.env":  "R=$BASE\nGIVEN\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	given := "given"
	s := &definition.Service{Source: definition.Source{File: dir + "/blog@.yaml"},
		Environment: []definition.Env{{Name: "GIVEN", Value: &given}, {Name: "NOBODY"}},
		EnvFiles:    []definition.EnvFile{{Path: dir + "/a.env"}, {Path: dir + "/none.env", Optional: true}, {Path: dir + "/raw.env", Raw: true}}}
	all, err := readEnvFiles(s)
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	var got strings.Builder
	for _, vars := range all {
		for _, v := range vars {
			got.WriteString(v.Name + "=" + *v.Value + "|")
		}
	}
	if want := "BOTH=file|A=own base given $|OWN=x|B=x|BASE=base|R=$BASE|GIVEN=given|"; got.String() != want {
		t.Errorf("read %q, want %q", got.String(), want)
	}

	// What an included file may use comes behind these.
	for name, text := range map[string]string{"outer.env": "BOTH=outer\nNEW=${BASE}-outer\n", "one.env": "NEW=inner\nLAST=1\n", "two.env": "LAST=${LAST}2$NEW\n", "c.env": "C=$BOTH $NEW $LAST\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	included := &definition.Service{Source: s.Source, EnvFiles: []definition.EnvFile{{Path: dir + "/c.env"}},
		Variables: [][]string{{dir + "/outer.env"}, {dir + "/one.env", dir + "/gone.env", dir + "/two.env"}}}
	all, err = readEnvFiles(included)
	if err != nil || len(all) != 1 || len(all[0]) != 1 || *all[0][0].Value != "own base base-outer 12base-outer" {
		t.Errorf("of an included file: %v, %v", all, err)
	}

	// NAME.env may stand elsewhere.
	elsewhere := &definition.Service{Source: s.Source, OwnVariables: dir + "/one.env", EnvFiles: included.EnvFiles}
	if all, err = readEnvFiles(elsewhere); err != nil || *all[0][0].Value != "dot inner 1" {
		t.Errorf("with another file of its own: %v, %v", all, err)
	}

	if err := os.WriteFile(dir+"/blog.env", []byte("A='open\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readEnvFiles(s); err == nil || !strings.Contains(err.Error(), "blog.env:1:1") {
		t.Errorf("with a broken file beside the definition: %v", err)
	}
	s.EnvFiles = s.EnvFiles[1:2]
	if _, err := readEnvFiles(s); err != nil {
		t.Errorf("which nobody asks for: %v", err)
	}
}
