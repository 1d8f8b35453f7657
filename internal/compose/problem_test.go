// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/syntax/library"
)

// TestManyWarnings: however many variables are not set, a definition means what it
// says, and its errors are told.
func TestManyWarnings(t *testing.T) {
	for _, unset := range []int{maxProblems - 1, maxProblems, maxProblems + 1, 3 * maxProblems} {
		var text strings.Builder
		text.WriteString("services:\n  a:\n    environment:\n")
		for i := range unset {
			fmt.Fprintf(&text, "      - A%d=${V%d}\n", i, i)
		}
		parse := func(rest string) (image, user string, readOnly bool, problems diag.List) {
			f := Parse(Input{Name: "x", Layers: []Layer{{Path: "x.yaml", Data: []byte(text.String() + rest)}}, Library: library.Full})
			s := f.Services[0]
			return s.Image, s.User, s.ReadOnly, f.Problems
		}
		image, user, readOnly, problems := parse("    image: x\n    user: 5:5\n    read_only: true\n")
		if image != "x" || user != "5:5" || !readOnly || problems.HasErrors() {
			t.Errorf("with %d unset variables: image %q, user %q, read_only %v, errors %v", unset, image, user, readOnly, problems.HasErrors())
		}
		if more := "further problems are not shown"; strings.Contains(problems.String(), more) != (unset > maxProblems) {
			t.Errorf("with %d unset variables: %v", unset, problems[len(problems)-1])
		}
		for _, fault := range []string{"    image: ${GONE:?}\n", "    image: x\n    reed_only: true\n"} {
			if _, _, _, problems := parse(fault); !problems.HasErrors() {
				t.Errorf("with %d unset variables: no error for %q", unset, fault)
			}
		}
	}
}
