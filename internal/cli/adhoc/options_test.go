// SPDX-License-Identifier: Apache-2.0

package adhoc

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// A name is an argument of what removes a container's files in the end: one of
// several words would be several arguments.
func TestNamesThatCannotBe(t *testing.T) {
	for _, name := range []string{"", "x home", "x\ty", "x\ny", "a%n", "a$b", "a;b", "a/b", "../a", ".a", "-a", "a@b", `a\x2db`, "a'b", `a"b`, strings.Repeat("a", maxName+1)} {
		if u, err := Build(&Options{Name: name, RootFS: "host"}); err == nil || !strings.Contains(err.Error(), "--name") {
			if u != nil {
				u.Remove()
			}
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"a", "run-a2b3", "Web_1.two"} {
		if !namePattern.MatchString(name) {
			t.Errorf("%q is refused", name)
		}
	}
}

// Every line of a file of variables arrives, however long; a file that cannot be
// read is an error.
func TestFilesOfVariables(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	path := t.TempDir() + "/env"
	if err := os.WriteFile(path, []byte("# words\n\nLONG="+long+"\r\nAFTER=a=b $c\nNOT_SET_HERE\nHERE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HERE", "here")
	o := &Options{RootFS: "host", envFiles: []string{path}, env: []string{"HERE=later"}}
	data, err := o.definition()
	var d struct{ Environment map[string]string }
	if err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	if e := d.Environment; len(e) != 3 || e["LONG"] != long || e["AFTER"] != "a=b $$c" || e["HERE"] != "later" {
		t.Errorf("%d variables: %.200v", len(e), e)
	}
	for bad, want := range map[string]error{t.TempDir(): nil, path + ".none": fs.ErrNotExist} {
		_, err := (&Options{RootFS: "host", envFiles: []string{bad}}).definition()
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), "--env-file: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestUlimits(t *testing.T) {
	for text, want := range map[string]string{
		"nofile=1024:2048": `"nofile":{"hard":2048,"soft":1024}`, "core=-1": `"core":{"hard":-1,"soft":-1}`,
		"nofile": "want NAME=SOFT[:HARD]", "nofile=many": `"many" is no number`, "nofile=1:": `"" is no number`,
	} {
		data, err := (&Options{RootFS: "host", ulimits: []string{text}}).definition()
		said := string(data)
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, want) {
			t.Errorf("%s: %s", text, said)
		}
	}
}
