// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/definition"
)

func (a *app) logs() *cobra.Command {
	var lines, since, until, priority, output, grep string
	var follow, reverse, boot, timestamps, noPrefix, end, catalog, quiet, noPager bool
	cmd := &cobra.Command{
		Use:   "logs [OPTION…] NAME…",
		Short: "print what containers wrote to the journal",
		Long: `Print what containers wrote, and what systemd says of them, by journalctl(1):
lines of the unit and of the scope that holds the payload. The name of a project
means all of its services, that of a template all of its instances.`,
		Example:           "  unitc logs -f web\n  unitc logs -n 50 --since -1h web db",
		Args:              some("the name of a definition"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case output != "" && (timestamps || noPrefix) || timestamps && noPrefix:
				return usagef("logs: one of --output, --timestamps and --no-log-prefix")
			case timestamps:
				output = "short-iso-precise"
			case noPrefix:
				output = "cat"
			}
			var argv []string
			for _, name := range args {
				units, err := a.journalUnits(name)
				if err != nil {
					return err
				}
				argv = append(argv, units...)
			}
			for _, o := range []struct{ flag, value string }{
				{"--lines=", lines}, {"--since=", systemdTime(since)}, {"--until=", systemdTime(until)}, {"--priority=", priority}, {"--output=", output}, {"--grep=", grep}, {"--root=", a.root},
			} {
				if o.value != "" {
					argv = append(argv, o.flag+o.value)
				}
			}
			for _, o := range []struct {
				flag string
				set  bool
			}{{"--follow", follow}, {"--reverse", reverse}, {"--boot", boot}, {"--pager-end", end}, {"--catalog", catalog}, {"--quiet", quiet}, {"--no-pager", noPager}} {
				if o.set {
					argv = append(argv, o.flag)
				}
			}
			return become("journalctl", ofSystemd(argv))
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&follow, "follow", "f", false, "go on printing new lines")
	f.StringVarP(&lines, "lines", "n", "", "print the last `N` lines, or all")
	f.StringVarP(&since, "since", "S", "", "print lines from `TIME` on (systemd.time(7))")
	f.StringVarP(&until, "until", "U", "", "print lines up to `TIME`")
	f.StringVarP(&priority, "priority", "p", "", "print lines of `PRIORITY` or worse")
	f.StringVarP(&output, "output", "o", "", "print in a `FORMAT` of journalctl")
	f.BoolVarP(&reverse, "reverse", "r", false, "print the newest lines first")
	f.BoolVarP(&boot, "boot", "b", false, "print lines of this boot only")
	f.StringVarP(&grep, "grep", "g", "", "print lines that match the regular `EXPRESSION`")
	f.BoolVarP(&end, "pager-end", "e", false, "begin at the end in the pager")
	f.BoolVarP(&catalog, "catalog", "x", false, "explain entries that have an explanation")
	f.BoolVarP(&quiet, "quiet", "q", false, "print no remarks of journalctl's")
	f.BoolVar(&noPager, "no-pager", false, "use no pager")
	f.StringVar(&lines, "tail", "", "is --lines `N`")
	f.BoolVarP(&timestamps, "timestamps", "t", false, "print times to the microsecond, with the zone")
	f.BoolVar(&noPrefix, "no-log-prefix", false, "print what they wrote, and nothing in front of it")
	cmd.MarkFlagsMutuallyExclusive("lines", "tail")
	return cmd
}

// dockerTime is a time as docker logs takes it, which systemd.time(7) reads otherwise: a
// span is of the past, a number is seconds since 1970.
var dockerTime = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ms|h|m|s))+$`)

func systemdTime(text string) string {
	switch {
	case dockerTime.MatchString(text):
		return "-" + text
	case text != "" && strings.Trim(text, "0123456789") == "" && len(text) > 4:
		return "@" + text
	}
	return text
}

// journalUnits are the options that select a container's lines.
func (a *app) journalUnits(name string) ([]string, error) {
	found, err := catalog.Find(a.root, name)
	if err != nil {
		var notFound *catalog.NotFoundError
		if errors.As(err, &notFound) {
			// What was started of it may still run.
			if s, err := a.host.Definition(strings.TrimSuffix(name, ".service")); err == nil && a.root == "" {
				return []string{"--unit=" + s.UnitName(), "--unit=" + s.ScopeName()}, nil
			}
			return nil, fmt.Errorf("%w; the lines of a definition that was removed: journalctl -u %s", err, unitArgument(name))
		}
		return nil, err
	}
	var argv []string
	services := found.Services
	if len(services) == 0 {
		services = []definition.Service{{Name: found.File.Name}} // broken, and its unit says so in the journal
	}
	for _, s := range services {
		if strings.HasSuffix(s.Name, "@") && s.Instance == "" {
			s.Instance = "*"
		}
		// What a payload with `logging: {driver: direct}` writes, and what the
		// kernel's OOM killer did, is filed under the scope.
		argv = append(argv, unitOption(s.UnitName()), unitOption(s.ScopeName()))
	}
	return argv, nil
}

func unitArgument(name string) string {
	if strings.HasSuffix(name, ".service") {
		return name
	}
	return name + ".service"
}

// become replaces this process by another program: nothing of ours stays
// resident behind it, and its exit status is passed on by itself.
func become(program string, args []string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return fmt.Errorf("looking for %s: %w; install systemd", program, err)
	}
	if err := syscall.Exec(path, append([]string{program}, args...), os.Environ()); err != nil {
		return fmt.Errorf("exec %s: %w", path, err)
	}
	return nil
}
