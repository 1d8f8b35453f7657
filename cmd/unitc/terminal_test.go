// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Errors repeat what others have made up, as names of files in a container or of keys in
// a project from elsewhere: nothing of that steers the terminal on which they are shown.
func TestErrorsSteerNoTerminal(t *testing.T) {
	var out strings.Builder
	a := &app{stderr: &out}
	a.complain(fmt.Errorf("web:/srv/\x1b]0;owned\a\x9b: %w", errors.New("two\n\tlines\u202e and \u009bmore")))
	if got, want := out.String(), "unitc: web:/srv/�]0;owned��: two\n\tlines� and �more\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// JSON has what an image says of itself in another form, and means the same.
func TestJSONSteersNoTerminal(t *testing.T) {
	var out strings.Builder
	a := &app{stdout: &out}
	said := map[string]string{"label": "\x1b[2J\u009b1mö\x7f\u0085"}
	if err := a.printJSON(said); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"label\": \"\\u001b[2J\\u009b1mö\\u007f\\u0085\"\n}\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	read := map[string]string{}
	if err := json.Unmarshal([]byte(out.String()), &read); err != nil || read["label"] != said["label"] {
		t.Errorf("it is read as %q, %v", read, err)
	}
}
