// SPDX-License-Identifier: Apache-2.0

// Package builder has a program that is installed make images of their sources, as the
// Compose Build Specification says: podman, buildah or docker, whose options are the
// same ones.
package builder

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
)

// kinds of programs, the first that is installed is taken.
var kinds = []string{"podman", "buildah", "docker"}

// Builder is such a program.
type Builder struct {
	Path string
	kind string
}

// Find finds the program of a name or path, "" for any.
func Find(name string) (*Builder, error) {
	if name == "" {
		for _, kind := range kinds {
			if path, err := exec.LookPath(kind); err == nil {
				return &Builder{path, kind}, nil
			}
		}
		return nil, fmt.Errorf("none of %s is installed, which build images; install one, or bring the image in with `unitc load` or `unitc pull`", strings.Join(kinds, ", "))
	}
	kind := filepath.Base(name)
	if !slices.Contains(kinds, kind) {
		return nil, fmt.Errorf("%s: unitc speaks to %s", name, strings.Join(kinds, ", "))
	}
	path, err := exec.LookPath(name)
	return &Builder{path, kind}, err
}

// Options are those of one call.
type Options struct {
	NoCache, Pull bool
	// Platform is the service's, "" = this machine's.
	Platform string
	// Dir is an empty directory that nobody else may read, for files of the call.
	Dir string
}

// command ends in good order where ctx does: what runs for a Dockerfile ends with it.
func (b *Builder) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.Path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Command is the call that builds an image under a name.
func (b *Builder) Command(ctx context.Context, name string, d *definition.Build, o Options) (*exec.Cmd, error) {
	args := []string{"build", "--tag", name}
	add := func(option string, values ...string) {
		for _, v := range values {
			if v != "" {
				args = append(args, option, v)
			}
		}
	}
	file, err := dockerfile(d, o.Dir)
	if err != nil {
		return nil, err
	}
	add("--file", file)
	for _, a := range d.Args {
		if a.Value != nil {
			args = append(args, "--build-arg", a.Name+"="+*a.Value)
		}
	}
	for _, l := range d.Labels {
		args = append(args, "--label", l.Key+"="+l.Value)
	}
	for _, h := range d.ExtraHosts {
		add("--add-host", h.Name+":"+h.Address)
	}
	for _, u := range d.Ulimits {
		add("--ulimit", fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard))
	}
	for _, c := range d.Contexts {
		add("--build-context", c.Key+"="+c.Value)
	}
	add("--target", d.Target)
	add("--network", d.Network)
	add("--cache-from", d.CacheFrom...)
	add("--cache-to", d.CacheTo...)
	add("--ssh", d.SSH...)
	add("--platform", platform(d, o))
	if d.ShmSize > 0 {
		add("--shm-size", fmt.Sprintf("%db", d.ShmSize))
	}
	if d.NoCache || o.NoCache {
		args = append(args, "--no-cache")
	}
	if d.Pull || o.Pull {
		args = append(args, b.pull())
	}
	for i := range d.Secrets {
		file, err := secretFile(&d.Secrets[i], o.Dir)
		if err != nil {
			return nil, err
		}
		add("--secret", "id="+secretID(&d.Secrets[i])+",src="+file)
	}
	return b.command(ctx, append(args, "--", d.Context)), nil
}

// dockerfile is what the builder reads, "" for its own choice. A context that is a
// directory has to be there.
func dockerfile(d *definition.Build, dir string) (string, error) {
	local := filepath.IsAbs(d.Context)
	if local {
		st, err := os.Stat(d.Context)
		if err == nil && !st.IsDir() {
			err = &os.PathError{Op: "reading", Path: d.Context, Err: unix.ENOTDIR}
		}
		if err != nil {
			return "", fmt.Errorf("the context: %w; write the directory of the sources as build: {context: …}", err)
		}
	}
	switch {
	case d.Inline != "":
		file := filepath.Join(dir, "Dockerfile")
		return file, os.WriteFile(file, []byte(d.Inline), 0o600)
	case d.File != "" && local && !filepath.IsAbs(d.File):
		return filepath.Join(d.Context, d.File), nil
	}
	return d.File, nil
}

// pull has the builder look for newer images of what it builds on. The word alone means
// "missing" to podman 5 and buildah 1.36, which is what they do anyway; docker knows no
// other.
func (b *Builder) pull() string {
	if b.kind == "docker" {
		return "--pull"
	}
	return "--pull=always"
}

// platform is what to build for, "" for this machine.
func platform(d *definition.Build, o Options) string {
	if len(d.Platforms) > 0 {
		return d.Platforms[0]
	}
	return o.Platform
}

// secretID is what a Dockerfile calls a secret.
func secretID(g *definition.Grant) string {
	if g.Target != "" {
		return filepath.Base(g.Target)
	}
	return g.Source
}

func secretFile(g *definition.Grant, dir string) (string, error) {
	switch {
	case g.File != "":
		return g.File, nil
	case g.Content != nil:
		file := filepath.Join(dir, "secret-"+secretID(g))
		return file, os.WriteFile(file, []byte(*g.Content), 0o600)
	}
	return "", fmt.Errorf("the secret %s is no file, which builders read; write `file:` or `content:` for it", g.Source)
}

// Export writes an image that was built as an archive.
func (b *Builder) Export(ctx context.Context, name string, to io.Writer, words io.Writer, o Options) error {
	args := []string{"save", name}
	switch b.kind {
	case "podman":
		args = []string{"save", "--quiet", "--format", "oci-archive", name}
	case "buildah":
		// It writes to no pipe.
		file := filepath.Join(o.Dir, "image.tar")
		if err := b.run(ctx, []string{"push", "--quiet", name, "oci-archive:" + file}, words, words); err != nil {
			return err
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(to, f)
		return err
	}
	return b.run(ctx, args, to, words)
}

func (b *Builder) run(ctx context.Context, args []string, out, words io.Writer) error {
	cmd := b.command(ctx, args)
	cmd.Stdout, cmd.Stderr = out, words
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", b.kind, strings.Join(args, " "), err)
	}
	return nil
}
