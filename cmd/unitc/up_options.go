// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/definition"
)

// upOptions are those of docker compose up that change what is done.
type upOptions struct {
	pull                 string
	recreate, noRecreate bool
	noStart, noBuild     bool
	orphans              bool
	detach, wait         bool // are always so
}

func (o *upOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.pull, "pull", definition.PullMissing, "fetch images: `POLICY` missing or always")
	f.BoolVar(&o.recreate, "force-recreate", false, "restart what runs also where nothing has changed")
	f.BoolVar(&o.noRecreate, "no-recreate", false, "leave what runs as it is")
	f.BoolVar(&o.noStart, "no-start", false, "install and start nothing")
	f.BoolVar(&o.noBuild, "no-build", false, "build no image, also where it is missing")
	f.BoolVar(&o.orphans, "remove-orphans", false, "stop what runs of services that the file no longer has")
	f.BoolVarP(&o.detach, "detach", "d", true, "is always so: systemd runs them")
	f.BoolVar(&o.wait, "wait", true, "is always so")
}

func (o *upOptions) check() error {
	switch {
	case o.pull != definition.PullMissing && o.pull != definition.PullAlways:
		return usagef("up --pull %s: write missing or always, or pull_policy: in the definition", o.pull)
	case o.recreate && o.noRecreate:
		return usagef("up: --force-recreate does not go with --no-recreate")
	case !o.detach:
		return usagef("up: systemd runs them; unitc logs -f NAME shows what they write")
	case !o.wait:
		return usagef("up: it waits until they are up; systemctl start --no-block NAME.service does not")
	}
	return nil
}

// composeFiles are names that docker compose looks for, in its order.
var composeFiles = []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}

// aFile names the file here that docker compose would take.
func aFile(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		for _, name := range composeFiles {
			if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
				return usagef("%s: name the file: unitc %[1]s %s", cmd.Name(), name)
			}
		}
	}
	return some("the file of a definition")(cmd, args)
}

// pullAll fetches the images of what is about to be started, those too that are here.
func (a *app) pullAll(list []*catalog.Candidate) error {
	ctx, stop := untilInterrupted(context.Background())
	defer stop()
	var done []wantedImage
	for _, c := range list {
		for i := range c.File.Services {
			s := &c.File.Services[i]
			w := wantedImage{s.Image, definition.PullAlways, s.Platform}
			if s.Image == "" || s.Build != nil || !s.StartsWithProject() || s.Pull() == definition.PullNever || slices.Contains(done, w) {
				continue
			}
			var status statusError
			switch err := a.pullFor(ctx, w); {
			case errors.As(err, &status):
				return statusError(exitFailed) // it has said why
			case err != nil:
				return err
			}
			done = append(done, w)
		}
	}
	return nil
}
