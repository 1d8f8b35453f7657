// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/generator"
	"github.com/unitc/unitc/internal/loader"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax/library"
)

// OutDir is where the system manager has the generator write (G-12).
func OutDir() string { return realm.Units() }

// DryRun is a run of the generator that leaves nothing behind.
type DryRun struct {
	Root   string
	Dirs   []string // nil = the search path
	OutDir string   // what the units name; "" = OutDir
	// Found may change what was found, before it is parsed; nil = nothing.
	Found func(*searchpath.Source)
	// Parsed may change what was read, before it is written; nil = nothing.
	Parsed func(*definition.File)
	Select func(*searchpath.Entry) bool
}

// Output is what the generator would write and say.
type Output struct {
	Files       []File // in byte order of their paths
	Problems    diag.List
	Definitions []definition.File

	read []searchpath.Layer // all files that made them
}

// File is one file or link, its path relative to OutDir.
type File struct {
	Path   string
	Target string // of a link
	Data   []byte
	Mode   fs.FileMode
}

// Run generates into a directory of its own, which only this user can read:
// resolved definitions hold environment values.
func (d DryRun) Run() (*Output, error) {
	dir, err := os.MkdirTemp("", "unitc-dry-run-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the dry run: %w", err)
	}
	defer os.RemoveAll(dir)
	out := &Output{}
	err = generator.Run(generator.Config{
		Root: d.Root, Dirs: d.Dirs, Select: d.Select,
		OutDir: cmp.Or(d.OutDir, OutDir()), WriteTo: dir, Helper: buildinfo.HelperPath,
		Parse: func(src searchpath.Source) definition.File {
			if d.Found != nil {
				d.Found(&src)
			}
			var named []searchpath.Layer
			src.Named = &named
			file := loader.Parse(src, library.Full)
			out.read = append(append(out.read, src.Layers...), named...)
			if d.Parsed != nil {
				d.Parsed(&file)
			}
			out.Definitions = append(out.Definitions, file)
			return file
		},
		Report: func(p diag.Problem) { out.Problems = append(out.Problems, p) },
	})
	if err != nil {
		return nil, fmt.Errorf("generating: %w", err)
	}
	return out, out.collect(dir)
}

func (o *Output) collect(dir string) error {
	return filepath.WalkDir(dir, func(path string, item fs.DirEntry, err error) error {
		if err != nil || item.IsDir() {
			return err
		}
		f := File{Path: strings.TrimPrefix(path, dir+"/")}
		if item.Type() == fs.ModeSymlink {
			f.Target, err = os.Readlink(path)
		} else {
			f.Data, err = os.ReadFile(path)
			if info, statErr := item.Info(); err == nil {
				f.Mode, err = info.Mode().Perm(), statErr
			}
		}
		o.Files = append(o.Files, f)
		return err
	})
}

// Unit is the file of a unit, nil if none of this name is generated.
func (o *Output) Unit(name string) *File {
	for i := range o.Files {
		if o.Files[i].Path == name {
			return &o.Files[i]
		}
	}
	return nil
}

// Starters are the links that start a unit with another, as paths below a
// directory of units: "multi-user.target.wants/web.service".
func (o *Output) Starters(unit string) []string {
	var list []string
	for _, f := range o.Files {
		if dir, name, ok := strings.Cut(f.Path, "/"); ok && name == unit && f.Target != "" && dir[0] != '.' {
			list = append(list, f.Path)
		}
	}
	return list
}
