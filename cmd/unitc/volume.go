// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/image"
	"github.com/unitc/unitc/internal/store"
)

func (a *app) volume() *cobra.Command {
	return withVerbs(&cobra.Command{Use: "volume VERB", Short: "list, create, move and remove volumes"},
		a.volumeList(), a.volumeCreate(), a.volumeInspect(), a.volumeRemove(), a.volumeExport(), a.volumeImport())
}

func (a *app) volumeList() *cobra.Command {
	asJSON, quiet := false, false
	cmd := &cobra.Command{
		Use:   "ls [OPTION…]",
		Short: "list volumes",
		Args:  exactly(0, "no argument"),
		RunE: a.withStore(func(s *store.Store, _ []string) error {
			all, err := s.Volumes()
			if err != nil {
				return err
			}
			t := terminal.Table{Header: []string{"VOLUME", "UNIT", "CREATED", "SIZE", "WHERE"}, Shrink: []int{4, 1}, Drop: []int{2, 1, 4}}
			for _, v := range all {
				m, err := s.MountOf(v)
				if err != nil {
					m.Source = err.Error()
				}
				t.Add(v.Name, v.Unit, ago(v.Created, a.now()), volumeSize(s, v), m.Source)
				if quiet {
					fmt.Fprintln(a.stdout, v.Name)
				}
			}
			switch {
			case asJSON:
				return a.printJSON(append([]store.Volume{}, all...))
			case quiet:
				return nil
			}
			return t.Write(terminal.Of(a.stdout))
		}),
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print names only")
	return cmd
}

// volumeSize tells how full a volume with a size is.
func volumeSize(s *store.Store, v store.Volume) string {
	u, limited, err := s.VolumeUsage(v)
	switch {
	case err != nil:
		return err.Error()
	case !limited:
		return "-"
	}
	return image.FormatBytes(u.Used) + " of " + image.FormatBytes(u.Limit)
}

func (a *app) volumeCreate() *cobra.Command {
	options, labels := keyValues{}, keyValues{}
	cmd := &cobra.Command{
		Use:   "create [OPTION…] NAME",
		Short: "create a volume (a start creates what is missing, too)",
		Args:  exactly(1, "the name of a volume"),
		RunE: a.withStore(func(s *store.Store, args []string) error {
			v := store.Volume{Name: args[0], Options: options, Labels: labels}
			if n, ok := compose.ParseBytes(options["size"]); ok {
				options["size"] = strconv.FormatInt(n, 10)
			}
			if _, err := s.MountOf(v); err != nil {
				return usagef("volume create: %w", err)
			}
			if _, err := s.Volume(v.Name); err == nil {
				return fmt.Errorf("volume %s: is there already", v.Name)
			}
			_, err := s.EnsureVolume(context.Background(), v, nil)
			return err
		}),
	}
	cmd.Flags().VarP(options, "opt", "o", "a driver option `KEY=VALUE`: type, device, o, size")
	cmd.Flags().Var(labels, "label", "a label `KEY=VALUE`")
	return cmd
}

// keyValues is an option that may be given again, each time with one KEY=VALUE. Commas
// are of the value, as in o=addr=192.0.2.1,ro.
type keyValues map[string]string

func (kv keyValues) String() string { return "" }
func (kv keyValues) Type() string   { return "KEY=VALUE" }

func (kv keyValues) Set(word string) error {
	key, value, ok := strings.Cut(word, "=")
	if !ok || key == "" {
		return errors.New("want KEY=VALUE")
	}
	kv[key] = value
	return nil
}

func (a *app) volumeInspect() *cobra.Command {
	return &cobra.Command{
		ValidArgsFunction: a.completer(a.volumeNames),
		Use:               "inspect NAME…",
		Short:             "print what is known of volumes, as JSON",
		Args:              some("the name of a volume"),
		RunE: a.withStore(func(s *store.Store, args []string) error {
			type row struct {
				store.Volume
				Mount store.Mount        `json:"mount"`
				Usage *store.VolumeUsage `json:"usage,omitempty"`
			}
			out := []row{}
			for _, name := range args {
				v, err := s.Volume(name)
				if err != nil {
					return err
				}
				m, err := s.MountOf(v)
				if err != nil {
					return err
				}
				r := row{Volume: v, Mount: m}
				u, limited, err := s.VolumeUsage(v)
				if err != nil {
					return err
				}
				if limited {
					r.Usage = &u
				}
				out = append(out, r)
			}
			return a.printJSON(out)
		}),
	}
}

func (a *app) volumeRemove() *cobra.Command {
	return &cobra.Command{
		ValidArgsFunction: a.completer(a.volumeNames),
		Use:               "rm NAME…",
		Short:             "remove volumes and their data",
		Args:              some("the name of a volume"),
		RunE: a.withStore(func(s *store.Store, args []string) error {
			var errs []error
			for _, name := range args {
				errs = append(errs, a.removeVolume(s, name))
			}
			return errors.Join(errs...)
		}),
	}
}

// removeVolume asks the kernel who has it mounted, which no bookkeeping of
// ours could know as well.
func (a *app) removeVolume(s *store.Store, name string) error {
	if _, err := s.Volume(name); err != nil {
		return err
	}
	users, err := store.Mounted(s.VolumeData(name))
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return fmt.Errorf("volume %s: %w by %s; stop it first", name, store.ErrInUse, strings.Join(users, ", "))
	}
	return s.RemoveVolume(name)
}

func (a *app) volumeExport() *cobra.Command {
	out := "-"
	cmd := &cobra.Command{
		ValidArgsFunction: a.completer(a.volumeNames),
		Use:               "export [-o FILE] NAME",
		Short:             "write a volume's data as a tar",
		Args:              exactly(1, "the name of a volume"),
		RunE: a.withStore(func(s *store.Store, args []string) error {
			if _, err := s.Volume(args[0]); err != nil {
				return err
			}
			return a.toOutput(out, func(w io.Writer) error {
				leftOut, err := image.ExportVolume(s, args[0], w)
				a.sayLeftOut(leftOut)
				return err
			})
		}),
	}
	cmd.Flags().StringVarP(&out, "output", "o", "-", "write to `FILE` instead of standard output")
	return cmd
}

func (a *app) volumeImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import NAME FILE|-",
		Short: "make a volume from a tar",
		Args:  exactly(2, "a volume and a tar"),
		RunE: a.withStore(func(s *store.Store, args []string) error {
			return a.fromInput(args[1], func(r io.Reader) error {
				leftOut, err := image.ImportVolume(context.Background(), s, args[0], r)
				a.sayLeftOut(leftOut)
				return err
			})
		}),
	}
}

func (a *app) sayLeftOut(list []string) {
	for _, what := range list {
		fmt.Fprintln(a.stderr, "left out: "+what) // quoted
	}
}
