// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/seccomp/seccomptest"
)

var update = flag.Bool("update", false, "rewrite testdata/steps.txt")

// The order of the steps is the security argument: a change of it is a change of
// this file, with the reasons.
func TestGoldenSteps(t *testing.T) {
	var b strings.Builder
	line := func(name string, exit int, why string) { fmt.Fprintf(&b, "%-28s %d  %s\n", name, exit, why) }
	b.WriteString("in the helper\n")
	for _, s := range outerSteps {
		line(s.name, s.exit, s.why)
	}
	b.WriteString("\nin the payload's first process\n")
	for _, s := range innerSteps {
		line(s.name, s.exit, s.why)
	}
	b.WriteString("\nin the program of who joins\n")
	for _, s := range joinSteps {
		line(s.name, s.exit, "")
	}
	b.WriteString("\nin the process that joins\n")
	for _, s := range joinInner {
		line(s.name, s.exit, s.why)
	}
	got := strings.ReplaceAll(b.String(), "  \n", "\n")
	const file = "testdata/steps.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("the steps are others than in %s:\n%s", file, got)
	}
}

// Kernels without keyrings, as a filter on the caller shows one: there is nothing
// to hide, and the start goes on. A keyring that is refused stops it.
func TestKernelWithoutKeyrings(t *testing.T) {
	for errno, starts := range map[unix.Errno]bool{unix.ENOSYS: true, unix.EDQUOT: false} {
		err := seccomptest.Refusal{Calls: []string{"keyctl"}, Errno: errno}.Thread(func() error {
			c := newContainer(t)
			c.service.Command = []string{"/payload", "payload", "pid"}
			_, err := c.exec()
			return err
		})
		if (err == nil) != starts {
			t.Errorf("keyctl gives %v: %v", errno, err)
		}
	}
}

// With and without no_new_privs, an init and a terminal the filter is loaded at
// another place; each way it is there, and CAP_SYS_ADMIN is not.
func TestFilterAtEachPlace(t *testing.T) {
	for _, nnp := range []bool{true, false} {
		for _, init := range []bool{true, false} {
			c := newContainer(t)
			c.service.Init = init
			c.spec = func(p *plan.Plan) { p.Spec.Process.NoNewPrivileges = nnp }
			c.look(map[string]string{"status=Seccomp": "2", "status=CapEff": "00000000000004fb", "status=CapPrm": "00000000000004fb", "unshare": "EPERM"})
		}
	}
}
