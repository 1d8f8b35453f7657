// SPDX-License-Identifier: Apache-2.0

package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// configFile is an image's configuration as OCI and Docker write it.
type configFile struct {
	Created      *time.Time `json:"created,omitempty"`
	Architecture string     `json:"architecture"`
	OS           string     `json:"os"`
	Variant      string     `json:"variant,omitempty"`
	Config       struct {
		User         string              `json:"User,omitempty"`
		ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
		Env          []string            `json:"Env,omitempty"`
		Entrypoint   []string            `json:"Entrypoint,omitempty"`
		Cmd          []string            `json:"Cmd,omitempty"`
		Volumes      map[string]struct{} `json:"Volumes,omitempty"`
		WorkingDir   string              `json:"WorkingDir,omitempty"`
		Labels       map[string]string   `json:"Labels,omitempty"`
		StopSignal   string              `json:"StopSignal,omitempty"`
		Healthcheck  *store.Healthcheck  `json:"Healthcheck,omitempty"`
		Shell        []string            `json:"Shell,omitempty"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	History []History `json:"history,omitempty"`
}

// History is one step of an image's making, as its author tells it.
type History struct {
	Created    *time.Time `json:"created,omitempty"`
	CreatedBy  string     `json:"created_by,omitempty"`
	Comment    string     `json:"comment,omitempty"`
	EmptyLayer bool       `json:"empty_layer,omitempty"`
}

// maxVolumes is far above any honest image: each is a directory of the host that
// outlives the container, and a mount of each start.
const maxVolumes = 256

func parseConfig(raw []byte, layers int) (*configFile, error) {
	c := &configFile{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("%w: image configuration: %w", ErrRefused, err)
	}
	if len(c.RootFS.DiffIDs) != layers {
		return nil, fmt.Errorf("%w: image configuration: %d diff_ids for %d layers", ErrRefused, len(c.RootFS.DiffIDs), layers)
	}
	for _, id := range c.RootFS.DiffIDs {
		if err := reference.CheckDigest(id); err != nil {
			return nil, fmt.Errorf("%w: image configuration: %w", ErrRefused, err)
		}
	}
	// No system call takes these.
	for _, s := range slices.Concat([]string{c.Config.User, c.Config.WorkingDir, c.Config.StopSignal}, c.Config.Entrypoint, c.Config.Cmd) {
		if strings.ContainsRune(s, 0) {
			return nil, fmt.Errorf("%w: image configuration: a NUL byte in %q", ErrRefused, s)
		}
	}
	if n := len(c.Config.Volumes); n > maxVolumes && !protection.Off("volumes-limit") {
		return nil, fmt.Errorf("%w: image configuration: %d volumes, of which %d are allowed", ErrRefused, n, maxVolumes)
	}
	if c.OS != "" && c.OS != "linux" {
		return nil, fmt.Errorf("%w: an image for %s; containers here run Linux", ErrRefused, c.OS)
	}
	return c, nil
}

// prepared is what a container inherits. What could act on the host is dropped
// or made harmless: a variable without "=" would be taken from the caller's
// environment by some, a volume path may try to climb.
func (c *configFile) prepared() store.Config {
	in := c.Config
	out := store.Config{
		User: in.User, Entrypoint: in.Entrypoint, Cmd: in.Cmd, Labels: in.Labels,
		StopSignal: in.StopSignal, Healthcheck: in.Healthcheck, Shell: in.Shell,
		Volumes: cleanPaths(in.Volumes), ExposedPorts: slices.Sorted(maps.Keys(in.ExposedPorts)),
	}
	for _, v := range in.Env {
		if name, _, ok := strings.Cut(v, "="); ok && name != "" && !strings.ContainsRune(v, 0) {
			out.Env = append(out.Env, v)
		}
	}
	if in.WorkingDir != "" {
		out.WorkingDir = path.Clean("/" + in.WorkingDir)
	}
	return out
}

// cleanPaths resolves ".." inside the root; the root itself is no volume.
func cleanPaths(in map[string]struct{}) []string {
	set := map[string]bool{}
	for p := range in {
		if protection.Off("clean-volumes") {
			set[p] = true
		} else if p = path.Clean("/" + p); p != "/" && !strings.ContainsRune(p, 0) {
			set[p] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// chainIDs are the OCI chain ids (config.md): one for each layer, standing for
// it and all below it.
func (c *configFile) chainIDs() []string {
	var ids []string
	for i, diff := range c.RootFS.DiffIDs {
		if i == 0 {
			ids = append(ids, diff)
			continue
		}
		ids = append(ids, digestOf([]byte(ids[i-1]+" "+diff)))
	}
	return ids
}
