// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/image"
	"github.com/unitc/unitc/internal/store"
)

// imageRow is an image as the lists show it.
type imageRow struct {
	Names   []string  `json:"names"`
	Digest  string    `json:"digest"`
	ID      string    `json:"id"`
	Size    int64     `json:"size"` // bytes of the compressed layers
	Layers  int       `json:"layers"`
	Created time.Time `json:"created,omitzero"`
	Pulled  time.Time `json:"pulled,omitzero"`
	Units   []string  `json:"units,omitempty"` // that run it
	// Platform is the image's, as in "linux/arm64".
	Platform string `json:"platform,omitempty"`
}

func (a *app) images() *cobra.Command {
	asJSON, quiet := false, false
	cmd := &cobra.Command{
		Use:   "images [OPTION…]",
		Short: "list images",
		Args:  exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			rows, err := a.imageRows()
			if err != nil {
				return err
			}
			switch {
			case asJSON:
				return a.printJSON(rows)
			case quiet:
				for _, r := range rows {
					fmt.Fprintln(a.stdout, r.Digest)
				}
				return nil
			}
			t := terminal.Table{Header: []string{"IMAGE", "ID", "SIZE", "BUILT", "RUN BY"}, Shrink: []int{0, 4}, Drop: []int{3, 1, 4}}
			for _, r := range rows {
				for _, n := range orUnnamed(r.Names) {
					if r.Platform != "" && !strings.HasPrefix(r.Platform, "linux/"+runtime.GOARCH) {
						n += " (" + r.Platform + ")"
					}
					t.Add(n, shortDigest(r.ID), image.FormatBytes(r.Size), ago(r.Created, a.now()), strings.Join(r.Units, " "))
				}
			}
			return t.Write(terminal.Of(a.stdout))
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print digests only")
	return cmd
}

func (a *app) imageRows() ([]imageRow, error) {
	s, err := a.openStore()
	if err != nil {
		return nil, err
	}
	images, err := s.Images()
	if err != nil {
		return nil, err
	}
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	users, err := s.Users()
	if err != nil {
		return nil, err
	}
	rows := []imageRow{}
	for _, img := range images {
		r := imageRow{Names: []string{}, Digest: img.Digest, ID: img.ID, Size: img.Size(), Layers: len(img.Layers), Created: img.Created, Units: users[img.Digest], Platform: img.Platform()}
		for _, n := range names {
			if n.Image == img.Digest && !slices.Contains(r.Names, n.Ref) {
				r.Names = append(r.Names, n.Ref)
				r.Pulled = n.Time
			}
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(x, y imageRow) int {
		return strings.Compare(orUnnamed(x.Names)[0], orUnnamed(y.Names)[0])
	})
	return rows, nil
}

func orUnnamed(names []string) []string {
	if len(names) == 0 {
		return []string{"-"}
	}
	return names
}

func shortDigest(digest string) string {
	s := strings.TrimPrefix(digest, "sha256:")
	return s[:min(len(s), 12)]
}

func (a *app) history() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		ValidArgsFunction: a.completer(a.imageNames),
		Use:               "history IMAGE",
		Short:             "print how an image was made, as it says itself",
		Args:              exactly(1, "the name of an image"),
		RunE: a.withStore(func(s *store.Store, args []string) error {
			steps, err := image.NewClient(s).History(args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(steps)
			}
			t := terminal.Table{Header: []string{"LAYER", "SIZE", "MADE", "BY"}, Shrink: []int{3}, Drop: []int{2, 0}}
			for _, step := range steps {
				layer, size := "-", "-"
				if step.Layer != "" {
					layer, size = shortDigest(step.Layer), image.FormatBytes(step.Size)
				}
				made := time.Time{}
				if step.Created != nil {
					made = *step.Created
				}
				t.Add(layer, size, ago(made, a.now()), step.CreatedBy+step.Comment)
			}
			return t.Write(terminal.Of(a.stdout))
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) df() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "df [--json]",
		Short: "print what the store takes of the disk",
		Args:  exactly(0, "no argument"),
		RunE: a.withStore(func(s *store.Store, _ []string) error {
			u, err := s.Usage()
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(u)
			}
			t := terminal.Table{Header: []string{"WHAT", "COUNT", "SIZE", "CAN GO", "WITH"}, Drop: []int{4, 1}}
			for _, r := range u {
				t.Add(r.What, fmt.Sprint(r.Count), image.FormatBytes(r.Bytes), image.FormatBytes(r.Reclaimable), r.With)
			}
			return t.Write(terminal.Of(a.stdout))
		}),
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
