// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package entry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

type shown struct {
	Args, Env []string
	Sealed    bool
	Files     int
}

// show is a program that begins at start and prints what has become of it.
func show(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "show")
	build := exec.Command("go", "build", "-ldflags=-E "+Symbol, "-o", program, "./testdata/show")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return program
}

func started(t *testing.T, cmd *exec.Cmd) shown {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, stderr.String())
	}
	var s shown
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return s
}

func TestStartSealsForThreeVerbs(t *testing.T) {
	program := show(t)
	for _, c := range []struct {
		args   string
		sealed bool
	}{
		{"", false},
		{"run x", true},
		{"create -b /b x", true},
		{"exec x id", true},
		{"--root /r --log l create x", true},
		{"state x", false},
		{"runs execs creates", false},
		{"ru exe creat -run Run", false},
		{"run", true},
	} {
		t.Run(c.args, func(t *testing.T) {
			args := strings.Fields(c.args)
			s := started(t, exec.Command(program, args...))
			if s.Sealed != c.sealed || !slices.Equal(s.Args[1:], args) {
				t.Errorf("sealed %v, arguments %q; want %v, %q", s.Sealed, s.Args[1:], c.sealed, args)
			}
		})
	}
}

// The environment is copied by hand, argv[0] and empty words are passed on, and
// no descriptor stays.
func TestStartPassesAllOn(t *testing.T) {
	program := show(t)
	for _, n := range []int{0, 1, 2, 3, 1000} {
		cmd := exec.Command(program, "run", "", "-", "é\n")
		cmd.Args[0] = "other name"
		cmd.Env = []string{}
		for i := range n {
			cmd.Env = append(cmd.Env, fmt.Sprintf("V%d=%s", i, strings.Repeat("x", i%50)))
		}
		s := started(t, cmd)
		want := append(slices.Clone(cmd.Env), "GOMAXPROCS=1")
		if !s.Sealed || !slices.Equal(s.Env, want) || !slices.Equal(s.Args, cmd.Args) {
			t.Errorf("%d variables: sealed %v, arguments %q, environment %.200q", n, s.Sealed, s.Args, s.Env)
		}
		plain := exec.Command(program, "state")
		if open := started(t, plain).Files; s.Files != open {
			t.Errorf("%d descriptors are open, %d without the verb", s.Files, open)
		}
	}
}

// Where it may not mount, below a user namespace that owns no mounts, Go begins
// as if nothing had been tried, and Seal says what is wrong.
func TestStartGoesOnWithoutMounts(t *testing.T) {
	cmd := exec.Command(show(t), "run", "x")
	cmd.Env = []string{"A=1"}
	root := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: root, GidMappings: root}
	s := started(t, cmd)
	if s.Sealed || !slices.Equal(s.Env, cmd.Env) {
		t.Errorf("sealed %v, environment %q", s.Sealed, s.Env)
	}
}
