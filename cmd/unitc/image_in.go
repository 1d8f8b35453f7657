// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/progress"
	"github.com/unitc/unitc/internal/image"
	"github.com/unitc/unitc/internal/store"
)

// openStore opens the store of the host, or of --root.
func (a *app) openStore() (*store.Store, error) { return store.Open(a.root + store.DefaultDir()) }

// withStore is a verb that works on the store alone.
func (a *app) withStore(f func(s *store.Store, args []string) error) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		s, err := a.openStore()
		if err != nil {
			return err
		}
		return f(s, args)
	}
}

// transfer are the options of the verbs that move images.
type transfer struct {
	authFile, registries, policyFile string
	asJSON, quiet                    bool
}

func (t *transfer) flags(cmd *cobra.Command) {
	t.files(cmd)
	f := cmd.Flags()
	f.BoolVar(&t.asJSON, "json", false, "print progress as JSON, an event a line")
	f.BoolVarP(&t.quiet, "quiet", "q", false, "print no progress")
}

func (t *transfer) files(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.authFile, "authfile", "", "take credentials from `FILE`")
	f.StringVar(&t.registries, "registries-conf", "", "read `FILE` instead of registries.conf")
	f.StringVar(&t.policyFile, "signature-policy", "", "read `FILE` instead of policy.json")
}

// withClient runs f with a client that shows its progress; a signal ends it
// in good order, and the next attempt goes on from there.
func (a *app) withClient(t transfer, f func(context.Context, *image.Client) error) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	sink := progress.For(a.stderr, a.stdout, t.asJSON, t.quiet)
	defer sink.Close()
	c := image.NewClient(s)
	c.AuthFile, c.RegistriesFile, c.PolicyFile, c.Progress = t.authFile, t.registries, t.policyFile, sink.Event
	if err = f(ctx, c); err != nil {
		progress.Fail(sink, err)
	}
	return err
}

func (a *app) pull() *cobra.Command {
	var t transfer
	var o image.PullOptions
	cmd := &cobra.Command{
		Use:   "pull [OPTION…] IMAGE…",
		Short: "fetch images from registries",
		Long: `Fetch images from registries, also if there are newer ones than those here;
--policy missing asks for nothing that is present. A pull that was broken off
goes on where it broke.`,
		Example: "  unitc pull nginx:1.27\n  unitc pull --policy daily quay.io/org/app",
		Args:    some("the name of an image"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withClient(t, func(ctx context.Context, c *image.Client) error {
				for _, name := range args {
					img, err := c.Pull(ctx, name, o)
					if err != nil {
						return err
					}
					if !t.asJSON {
						fmt.Fprintln(a.stdout, img.Digest)
					}
				}
				return nil
			})
		},
	}
	t.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Policy, "policy", image.PullAlways, "missing, always, never, daily, weekly or every_12h")
	f.StringVar(&o.Platform, "platform", "", "fetch for `OS/ARCH` instead of this machine")
	return cmd
}

func (a *app) load() *cobra.Command {
	var t transfer
	var o image.LoadOptions
	cmd := &cobra.Command{
		Use:   "load [OPTION…] FILE|DIR|-|containers-storage:IMAGE",
		Short: "take images from an archive, or what podman has",
		Long: `Take images from an OCI layout (a directory or a tar), from what docker save or
podman save wrote, or, with --rootfs, from the tar of a root file system.
Archives may be compressed with gzip or zstd; - is standard input.
containers-storage:IMAGE is an image that podman has; without IMAGE, all of them.`,
		Example: "  docker save nginx | unitc load -\n  unitc load containers-storage:nginx\n  unitc load --rootfs --name localhost/debian debian.tar",
		Args:    exactly(1, "an archive"),
		RunE: func(_ *cobra.Command, args []string) error {
			if o.RootFS && o.Name == "" {
				return usagef("load --rootfs: --name says what the image is called")
			}
			return a.withClient(t, func(ctx context.Context, c *image.Client) error {
				loaded, err := a.loadFrom(ctx, c, args[0], o)
				for _, l := range loaded {
					if len(l.Names) == 0 {
						l.Names = []string{l.Image.Digest}
					}
					for _, n := range l.Names {
						if !t.asJSON {
							fmt.Fprintln(a.stdout, n)
						}
					}
				}
				return err
			})
		},
	}
	t.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "", "call the image `NAME`")
	f.BoolVar(&o.RootFS, "rootfs", false, "the archive is a root file system")
	f.StringArrayVar(&o.Cmd, "cmd", nil, "with --rootfs: the `WORD`s of the default command")
	f.StringArrayVar(&o.Env, "env", nil, "with --rootfs: a default variable `NAME=VALUE`")
	f.StringVar(&o.Platform, "platform", "", "choose `OS/ARCH` instead of this machine's")
	return cmd
}

func (a *app) loadFrom(ctx context.Context, c *image.Client, from string, o image.LoadOptions) ([]image.Loaded, error) {
	if from == "-" {
		return c.LoadReader(ctx, a.stdin, o)
	}
	return c.Load(ctx, from, o)
}
