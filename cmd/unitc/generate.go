// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/terminal"
)

func (a *app) generate() *cobra.Command {
	dryRun, all := false, false
	cmd := &cobra.Command{
		Use:   "generate --dry-run [--all] [DIR]",
		Short: "print the units that definitions become",
		Long: `Print the units and links that the generator would write for the definitions of
the search path, or of one directory. Nothing is written: systemd runs the
generator itself, at boot and at systemctl daemon-reload.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("generate: want at most one directory, got %d; usage: %s", len(args), cmd.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if !dryRun {
				return usagef("generate: only --dry-run is done here; `systemctl daemon-reload` has systemd run the generator")
			}
			run := catalog.DryRun{Root: a.root}
			if len(args) == 1 {
				dir, err := filepath.Abs(args[0])
				if err != nil {
					return err
				}
				if err := isDirectory("generate", dir); err != nil {
					return err
				}
				run.Dirs = []string{dir}
			}
			out, err := run.Run()
			if err != nil {
				return err
			}
			fmt.Fprint(a.stderr, terminal.CleanText(out.Problems.String()))
			return writeTree(terminal.Of(a.stdout), out.Files, all)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "write nothing, print")
	cmd.Flags().BoolVar(&all, "all", false, "print the resolved definitions too, with their environment values")
	return cmd
}

// writeTree prints files as systemctl cat does, each under its path.
func writeTree(w terminal.Screen, files []catalog.File, all bool) error {
	for i, f := range files {
		if i > 0 {
			fmt.Fprintln(w)
		}
		path := catalog.OutDir() + "/" + f.Path
		switch {
		case f.Target != "":
			path += " -> " + f.Target
			f.Data = nil
		case strings.HasPrefix(f.Path, ".") && !all:
			path += fmt.Sprintf(" (mode %#o; --all prints it)", f.Mode)
			f.Data = nil
		}
		if err := writeFile(w, path, f.Data); err != nil {
			return err
		}
	}
	return nil
}

// writeFile prints one file under a header.
func writeFile(w terminal.Screen, path string, data []byte) error {
	if len(data) > 0 && !bytes.HasSuffix(data, []byte("\n")) {
		data = append(data[:len(data):len(data)], '\n')
	}
	_, err := io.WriteString(w, w.Paint(terminal.Strong, "# "+terminal.Clean(path))+"\n"+string(data))
	return err
}
