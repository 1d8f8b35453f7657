// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
)

// hooks are processes like the payload's, with what `post_start` and `pre_stop`
// say otherwise. It comes last: the payload's process is complete by then.
func (b *builder) hooks() (err error) {
	if b.plan.PostStart, err = b.hookList("post_start", b.s.PostStart); err != nil {
		return err
	}
	if b.plan.PreStop, err = b.hookList("pre_stop", b.s.PreStop); err != nil {
		return err
	}
	if len(b.s.PreStop) > 0 {
		b.plan.StopGrace = cmp.Or(b.s.StopGracePeriod, defaultGrace)
	}
	return nil
}

func (b *builder) hookList(key string, list []definition.Hook) (all []plan.Hook, err error) {
	for i, h := range list {
		path := fmt.Sprintf("%s[%d]", key, i)
		if err := noNUL(path, append(slices.Clone(h.Command), h.User, h.WorkingDir)...); err != nil {
			return nil, err
		}
		p := *b.spec.Process
		p.Terminal, p.ConsoleSize = false, nil
		p.Args, p.Cwd = h.Command, cmp.Or(h.WorkingDir, p.Cwd)
		if p.Env, err = hookEnvironment(path, p.Env, h.Environment); err != nil {
			return nil, err
		}
		if h.Privileged {
			unconfine(&p)
		}
		all = append(all, plan.Hook{Process: &p, User: cmp.Or(h.User, b.plan.User), Unfiltered: h.Privileged})
	}
	return all, nil
}

// hookEnvironment is the payload's without what speaks of the payload's own
// descriptors and process id.
func hookEnvironment(path string, payload []string, own []definition.Env) ([]string, error) {
	env := slices.DeleteFunc(slices.Clone(payload), func(e string) bool {
		return strings.HasPrefix(e, "LISTEN_") || strings.HasPrefix(e, "NOTIFY_SOCKET=") || strings.HasPrefix(e, "WATCHDOG_")
	})
	for _, e := range own {
		if e.Name == "" || strings.ContainsAny(e.Name, "=\x00") {
			return nil, &KeyError{path, fmt.Sprintf("bad variable name %q", e.Name), "use letters, digits and _"}
		}
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, e.Name+"=") })
		if e.Value == nil {
			continue
		}
		if err := noNUL(path, *e.Value); err != nil {
			return nil, err
		}
		env = append(env, e.Name+"="+*e.Value)
	}
	return env, nil
}

// unconfine is `privileged: true` for one command: all that root can do inside
// the container's own namespaces, which it still does not leave.
func unconfine(p *specs.Process) {
	all := slices.Clone(allCapabilities)
	p.Capabilities = &specs.LinuxCapabilities{Bounding: all, Permitted: slices.Clone(all), Effective: slices.Clone(all)}
	p.NoNewPrivileges, p.ApparmorProfile, p.SelinuxLabel = false, "", ""
}
