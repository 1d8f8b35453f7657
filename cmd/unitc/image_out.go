// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/atomicfile"
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
			switch {
			case format != "tar" && format != "dir":
				return usagef("save --format %s: write tar or dir", format)
			case format == "dir" && out == "-":
				return usagef("save --format dir: name the directory, by -o")
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
// no half file is left behind. A device or a FIFO is written to and not replaced.
func (a *app) toOutput(path string, write func(io.Writer) error) error {
	if path == "-" {
		if f, ok := a.stdout.(*os.File); ok && isTerminal(f) {
			return usagef("standard output is a terminal; use -o")
		}
		return write(a.stdout)
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return replaceFile(path, nil, write)
	case err != nil:
		return err
	case st.IsDir():
		return usagef("%s is a directory; name a file in it", path)
	case st.Mode().IsRegular():
		// What a link leads to is replaced, and not the link.
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		return replaceFile(path, st, write)
	case st.Mode()&(fs.ModeDevice|fs.ModeCharDevice) == fs.ModeDevice:
		return usagef("%s is a block device; write to standard output, and from there to it if that is meant", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if isTerminal(f) {
		return usagef("%s is a terminal; name a file", path)
	}
	return write(f)
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// replaceFile puts a file in its place as a whole. Its mode is that of the one before,
// or what the umask leaves: data may be nobody else's to read.
func replaceFile(path string, before fs.FileInfo, write func(io.Writer) error) error {
	f, err := atomicfile.Create(path, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	if before != nil {
		if err := f.Chmod(before.Mode().Perm()); err != nil {
			return err
		}
	}
	if err := write(f); err != nil {
		return err
	}
	return f.Replace()
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
