// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"cmp"
	"path"
	"slices"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

// secretsDir is where Compose puts secrets.
const secretsDir = "/run/secrets"

// defaultFileMode is Compose's.
const defaultFileMode = 0o444

// Grants are a service's secrets and configs, in the order of Plan.Files.
func Grants(s *definition.Service) []definition.Grant { return slices.Concat(s.Secrets, s.Configs) }

// files are the places of secrets and configs; their contents are read by the
// helper and stand in no plan.
func (b *builder) files() error {
	for i, g := range Grants(b.s) {
		dir := secretsDir
		if i >= len(b.s.Secrets) {
			dir = "/"
		}
		f := plan.File{Destination: cmp.Or(g.Target, path.Join(dir, g.Source)), UID: cmp.Or(g.UID, "0"), GID: cmp.Or(g.GID, "0"), Mode: cmp.Or(g.Mode, defaultFileMode)}
		if err := noNUL("secrets", f.Destination, f.UID, f.GID); err != nil {
			return err
		}
		b.plan.Files = append(b.plan.Files, f)
	}
	if len(b.s.Secrets) > 0 {
		// Programs that know systemd's credentials find their secrets by it (K-7).
		b.setEnv("CREDENTIALS_DIRECTORY", secretsDir)
	}
	return nil
}

// setEnv sets what the container interface promises, unless the definition
// says otherwise.
func (b *builder) setEnv(name, value string) {
	if slices.ContainsFunc(b.s.Environment, func(e definition.Env) bool { return e.Name == name }) {
		return
	}
	b.spec.Process.Env = append(b.spec.Process.Env, name+"="+value)
}
