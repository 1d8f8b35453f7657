// SPDX-License-Identifier: Apache-2.0

package main

import (
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
