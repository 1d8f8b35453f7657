// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/cli/units"
)

var update = flag.Bool("update", false, "write the golden parts of the scripts anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"unitc": func() { os.Exit(runWithFakes(os.Args[1:])) }})
}

// runWithFakes is the command with a systemd of the script's own, so that the
// scripts give the same on every machine: UNITC_TEST_UNITS is a file of units
// and their properties; without it there is no systemd.
func runWithFakes(args []string) int {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, unitDir: os.Getenv("UNITC_TEST_UNIT_DIR")}
	a.host = live.Host{State: os.Getenv("UNITC_TEST_STATE"), Cgroups: os.Getenv("UNITC_TEST_CGROUPS"), Proc: "/proc"}
	a.now = func() time.Time { return time.Unix(7300, 0) }
	file := os.Getenv("UNITC_TEST_UNITS")
	a.booted = func() error {
		if file == "" {
			return units.ErrNoSystemd
		}
		return nil
	}
	a.connect = func(context.Context) (units.Bus, error) {
		if err := a.booted(); err != nil {
			return nil, err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		bus := &fakeBus{}
		return bus, json.Unmarshal(data, bus)
	}
	return a.run(args)
}

// fakeBus answers from a file, as systemd would.
type fakeBus struct {
	Units      []dbus.UnitStatus
	Properties map[string]map[string]any // by unit, then by name
	Dead       bool
}

func (b *fakeBus) Close() {}

func (b *fakeBus) ListServices(context.Context) ([]dbus.UnitStatus, error) {
	if b.Dead {
		return nil, errors.New("read unix @->/run/systemd/private: EOF")
	}
	return b.Units, nil
}

func (b *fakeBus) GetUnitPropertyContext(_ context.Context, unit, name string) (*dbus.Property, error) {
	v, ok := b.Properties[unit][name]
	if !ok {
		return nil, godbus.Error{Name: "org.freedesktop.DBus.Error.UnknownProperty"}
	}
	switch x := v.(type) {
	case float64:
		v = uint64(x)
	case string:
		if n, err := strconv.ParseUint(x, 10, 64); err == nil {
			v = n
		}
	}
	return &dbus.Property{Name: name, Value: godbus.MakeVariant(v)}, nil
}

func (b *fakeBus) GetUnitTypePropertyContext(ctx context.Context, unit, _, name string) (*dbus.Property, error) {
	return b.GetUnitPropertyContext(ctx, unit, name)
}

func (b *fakeBus) KillUnitWithTarget(_ context.Context, unit string, who dbus.Who, signal int32) error {
	return b.told(fmt.Sprintf("kill %s %s %d", unit, who, signal), unit)
}

func (b *fakeBus) FreezeUnit(_ context.Context, unit string) error {
	return b.told("freeze "+unit, unit)
}

func (b *fakeBus) ThawUnit(_ context.Context, unit string) error { return b.told("thaw "+unit, unit) }

func (b *fakeBus) GetManagerProperty(name string) (string, error) {
	v, ok := b.Properties["systemd"][name]
	if !ok {
		return "", errors.New("no property " + name)
	}
	return fmt.Sprintf("%q", v), nil
}

// told writes down what systemd was asked for. A unit "denied" is not ours to
// change, one without properties does not exist.
func (b *fakeBus) told(what, unit string) error {
	if b.Properties[unit] == nil {
		return godbus.Error{Name: "org.freedesktop.systemd1.NoSuchUnit", Body: []any{"Unit " + unit + " not loaded."}}
	}
	if strings.Contains(unit, "denied") {
		return godbus.Error{Name: "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", Body: []any{"Interactive authentication required."}}
	}
	fmt.Fprintln(os.Stderr, "systemd: "+what)
	return nil
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TMPDIR", e.WorkDir)
			// Where testscript has put unitc: for scripts without any other program.
			dir, _, _ := strings.Cut(e.Getenv("PATH"), ":")
			e.Setenv("UNITC_DIR", dir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": status},
	})
}

// A terminal that nobody has resized shows all of `unitc help`.
func TestHelpFitsAScreen(t *testing.T) {
	var out strings.Builder
	if got := run([]string{"help"}, nil, &out, &out); got != 0 {
		t.Fatalf("exit status %d: %s", got, out.String())
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) > 24 {
		t.Errorf("%d lines, a screen has 24", len(lines))
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > 80 {
			t.Errorf("%d columns, a screen has 80: %s", n, line)
		}
	}
}

// status N COMMAND…: the command must exit with this very status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d\nstderr: %s", got, want, ts.ReadFile("stderr"))
	}
}
