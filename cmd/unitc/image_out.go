// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/image"
)

func (a *app) save() *cobra.Command {
	var t transfer
	out, format := "-", ""
	cmd := &cobra.Command{
		ValidArgsFunction: a.completer(a.imageNames),
		Use:               "save [OPTION…] IMAGE…",
		Short:             "write images to an archive",
		Long: `Write images to a tar that is an OCI layout and that docker load and podman load
read as well, or, with --format dir, to a directory. The same images give the
same bytes.`,
		Example: "  unitc save -o nginx.tar nginx:1.27",
		Args:    some("the name of an image"),
		RunE: func(_ *cobra.Command, args []string) error {
			switch format {
			case "tar", "dir":
			default:
				return usagef("save --format %s: write tar or dir", format)
			}
			return a.withClient(t, func(ctx context.Context, c *image.Client) error {
				if format == "dir" {
					return c.SaveDir(ctx, out, args)
				}
				return a.toOutput(out, func(w io.Writer) error { return c.SaveTar(ctx, w, args) })
			})
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "-", "write to `PATH` instead of standard output")
	cmd.Flags().StringVar(&format, "format", "tar", "tar or dir")
	return cmd
}

// toOutput writes to standard output, unless that is a terminal, or to a file;
// no half file is left behind.
func (a *app) toOutput(path string, write func(io.Writer) error) error {
	if path == "-" {
		if f, ok := a.stdout.(*os.File); ok {
			if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
				return usagef("standard output is a terminal; use -o")
			}
		}
		return write(a.stdout)
	}
	f, err := os.CreateTemp(dirOf(path), ".unitc-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// fromInput reads standard input or a file.
func (a *app) fromInput(path string, read func(io.Reader) error) error {
	if path == "-" {
		return read(a.stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return read(f)
}

func dirOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i+1]
	}
	return "."
}

func (a *app) push() *cobra.Command {
	var t transfer
	cmd := &cobra.Command{
		ValidArgsFunction: a.completer(a.imageNames),
		Use:               "push [OPTION…] IMAGE [NAME]",
		Short:             "send an image to a registry",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactly(1, "an image, and a name if it is another")(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withClient(t, func(ctx context.Context, c *image.Client) error {
				return c.Push(ctx, args[0], args[len(args)-1])
			})
		},
	}
	t.flags(cmd)
	return cmd
}
