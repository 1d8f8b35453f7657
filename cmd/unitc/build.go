// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/builder"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/reference"
)

// buildOptions are those of the builder and of what is built.
type buildOptions struct {
	program       string
	noCache, pull bool
}

func (a *app) buildVerb() *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build [OPTION…] NAME|FILE [SERVICE…]",
		Short: "build images by podman, buildah or docker",
		Long: `Build the images of services as their build: says, by podman, buildah or docker, and
take them into the store. What runs goes on with its image until unitc apply or a
restart. unitc up builds what is missing. Without SERVICE all are built that start
with the project.`,
		Example:           "  unitc build blog\n  unitc build --pull ./compose.yaml web",
		Args:              some("the name or file of a definition"),
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("build: the builder works for no --root; use `unitc load --root %s`", a.root)
			}
			list, err := a.buildable(args[0], args[1:])
			if err != nil {
				return err
			}
			return a.buildAll(list, o, a.stdout)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.program, "builder", "", "the `PROGRAM`: podman, buildah or docker, the first that is installed by default")
	f.BoolVar(&o.noCache, "no-cache", false, "build all anew")
	f.BoolVar(&o.pull, "pull", false, "look for newer images of what it is built on")
	return cmd
}

// buildable are the services of a definition that have build:, by name those that
// are asked for.
func (a *app) buildable(arg string, names []string) ([]definition.Service, error) {
	var services []definition.Service
	if strings.Contains(arg, "/") || strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml") {
		c, err := a.candidate(arg, "")
		if err != nil {
			return nil, err
		}
		services = c.File.Services
	} else {
		found, err := catalog.Find("", arg)
		if err != nil {
			return nil, err
		}
		for i := range found.Services {
			if problems := found.File.ProblemsOf(&found.Services[i]); problems.HasErrors() {
				return nil, &catalog.BrokenError{Problems: problems}
			}
		}
		services = found.Services
	}
	return meantToBuild(arg, services, names)
}

// meantToBuild are the services that are asked for, or without a name those that start
// with the project.
func meantToBuild(arg string, services []definition.Service, names []string) (list []definition.Service, err error) {
	for _, name := range names {
		i := slices.IndexFunc(services, func(s definition.Service) bool { return s.Name == name || s.Key == name })
		switch {
		case i < 0:
			return nil, usagef("build: %s has no service %s", arg, name)
		case services[i].Build == nil:
			return nil, usagef("build: the service %s of %s has no build:", name, arg)
		}
		list = append(list, services[i])
	}
	if len(names) > 0 {
		return list, nil
	}
	var others []string
	for _, s := range services {
		switch {
		case s.Build == nil:
		case s.StartsWithProject() || len(services) == 1:
			list = append(list, s)
		default:
			others = append(others, s.Key)
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case len(others) > 0:
		return nil, usagef("build: no service of %s that starts with it has build:; name one of %s", arg, strings.Join(others, ", "))
	}
	return nil, usagef("build: no service of %s has build:", arg)
}

// buildMissing builds what unitc up is about to start and has no image of.
func (a *app) buildMissing(list []*catalog.Candidate, all bool) error {
	var missing []definition.Service
	for _, c := range list {
		for _, s := range c.File.Services {
			if s.Build != nil && (s.StartsWithProject() || strings.HasSuffix(s.Name, "@")) && (all || s.Build.Always || !a.hasImage(s.Image)) {
				missing = append(missing, s)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return a.buildAll(missing, buildOptions{}, a.stderr)
}

func (a *app) hasImage(name string) bool {
	s, err := a.openStore()
	if err != nil {
		return false
	}
	_, err = s.Resolve(name)
	return err == nil
}

// buildAll builds each image once, and takes it into the store as soon as it is there.
func (a *app) buildAll(list []definition.Service, o buildOptions, names io.Writer) error {
	b, err := builder.Find(o.program)
	if err != nil {
		return fmt.Errorf("building %s of %s: %w", list[0].Image, list[0].Name, err)
	}
	// A signal ends the builder, and what is beside the image is taken away.
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	seen := map[string]bool{}
	for i := range list {
		s := &list[i]
		if seen[s.Image] {
			continue
		}
		seen[s.Image] = true
		if err := a.buildOne(ctx, b, s, o, names); err != nil {
			return fmt.Errorf("building %s of %s: %w", s.Image, s.Name, err)
		}
	}
	return nil
}

func (a *app) buildOne(ctx context.Context, b *builder.Builder, s *definition.Service, o buildOptions, names io.Writer) error {
	ref, err := reference.Parse(s.Image)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "unitc-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	options := builder.Options{NoCache: o.noCache, Pull: o.pull, Platform: s.Platform, Dir: dir}
	fmt.Fprintf(a.stderr, "Building '%s' of '%s'.\n", s.Image, s.Build.Context)
	cmd, err := b.Command(ctx, ref.String(), s.Build, options)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = a.stderr, a.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", b.Path, err)
	}
	if err := a.takeBuilt(ctx, b, s, ref.String(), options, names); err != nil {
		return err
	}
	for _, tag := range s.Build.Tags {
		name, err := a.self(ctx, "tag", s.Image, tag)
		if err != nil {
			return err
		}
		name.Stderr = a.stderr
		if err := name.Run(); err != nil {
			return fmt.Errorf("unitc tag %s %s: %w", s.Image, tag, err)
		}
	}
	return nil
}

// takeBuilt has the builder's archive flow into unitc load, whose store it is.
func (a *app) takeBuilt(ctx context.Context, b *builder.Builder, s *definition.Service, built string, o builder.Options, names io.Writer) error {
	load := []string{"load", "--quiet", "--name", s.Image}
	if s.Platform != "" {
		load = append(load, "--platform", s.Platform)
	}
	take, err := a.self(ctx, append(load, "-")...)
	if err != nil {
		return err
	}
	archive, into, err := os.Pipe()
	if err != nil {
		return err
	}
	take.Stdin, take.Stdout, take.Stderr = archive, names, a.stderr
	err = take.Start()
	archive.Close()
	if err != nil {
		into.Close()
		return err
	}
	exportErr := b.Export(ctx, built, into, a.stderr, o)
	into.Close()
	err = take.Wait()
	switch {
	case err != nil && exportErr != nil: // the one that failed first took the other along
		return fmt.Errorf("%w; unitc load: %w", exportErr, err)
	case err != nil:
		return fmt.Errorf("unitc load: %w", err)
	}
	return exportErr
}

// self is this program again, which enters a user's namespace where the store is a
// user's.
func (a *app) self(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if a.user {
		args = append([]string{"--user"}, args...)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	return cmd, nil
}
