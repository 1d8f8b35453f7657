// SPDX-License-Identifier: Apache-2.0

package units

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/definition"
)

// Unit is one container as systemd sees it.
type Unit struct {
	Name        string    `json:"name"` // web
	Unit        string    `json:"unit"` // web.service
	Description string    `json:"description,omitempty"`
	Definition  string    `json:"definition"`
	Image       string    `json:"image,omitempty"`
	State       string    `json:"state"` // running, starting, restarting, stopping, exited, failed, stopped
	Active      string    `json:"active_state"`
	Sub         string    `json:"sub_state,omitempty"`
	Since       time.Time `json:"since,omitzero"`
	Result      string    `json:"result,omitempty"` // of a failed one: exit-code, signal, oom-kill, …
	ExitStatus  int       `json:"exit_status,omitempty"`
	Memory      uint64    `json:"memory_bytes,omitempty"`
	MemoryLimit uint64    `json:"memory_limit_bytes,omitempty"`
	MainPID     uint32    `json:"main_pid,omitempty"`
	Ports       []string  `json:"ports,omitempty"`
}

// unlimited is how systemd says "no value" and "no limit" (sd-bus, CGROUP_LIMIT_MAX).
const unlimited = math.MaxUint64

// askers bounds the questions on their way. PID 1 answers one after another;
// more in flight only fill its queue.
const askers = 8

// List asks systemd for all our units in one call. Details are asked for, and
// files read, only of those for which wanted is true; nil wants all.
func List(ctx context.Context, bus Bus, generated []Generated, wanted func(state string) bool) ([]Unit, error) {
	known, err := bus.ListUnitsContext(ctx)
	if err != nil {
		return nil, err
	}
	scopes := map[string]bool{}
	var list []Unit
	add := func(g *Generated, k dbus.UnitStatus) {
		if wanted == nil || wanted(state(k.ActiveState, k.SubState)) {
			list = append(list, newUnit(g, k))
		}
	}
	seen := map[string]bool{}
	for _, k := range known {
		if strings.HasSuffix(k.Name, ".scope") {
			scopes[k.Name] = true
			continue
		}
		if g := find(generated, k.Name); g != nil && k.LoadState != "not-found" {
			seen[k.Name] = true
			add(g, k)
		}
	}
	for i := range generated {
		// systemd unloads what is stopped and nobody refers to.
		if g := &generated[i]; !seen[g.Name] && !strings.HasSuffix(g.Name, "@.service") {
			add(g, dbus.UnitStatus{Name: g.Name, ActiveState: "inactive", SubState: "dead"})
		}
	}
	slices.SortFunc(list, func(a, b Unit) int { return strings.Compare(a.Name, b.Name) })
	return list, askDetails(ctx, bus, list, scopes)
}

func newUnit(g *Generated, k dbus.UnitStatus) Unit {
	g.read()
	return Unit{
		Name: strings.TrimSuffix(k.Name, ".service"), Unit: k.Name, Description: k.Description,
		Definition: g.Source, Image: g.Image, Ports: g.Ports,
		State: state(k.ActiveState, k.SubState), Active: k.ActiveState, Sub: k.SubState,
	}
}

// state is one word for systemd's two.
func state(active, sub string) string {
	switch {
	case sub == "auto-restart" || sub == "auto-restart-queued":
		return "restarting"
	case active == "active" && sub == "exited":
		return "exited"
	case active == "active" || active == "reloading" || active == "refreshing":
		return "running"
	case active == "activating":
		return "starting"
	case active == "deactivating":
		return "stopping"
	case active == "failed":
		return "failed"
	}
	return "stopped"
}

// askDetails fills the units in. A unit that goes away meanwhile keeps what is
// known of it.
func askDetails(ctx context.Context, bus Bus, list []Unit, scopes map[string]bool) error {
	work := make(chan *Unit)
	errs := make(chan error, askers)
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			var first error
			for u := range work {
				q := question{ctx: ctx, bus: bus, unit: u}
				q.details(scopes)
				if first == nil {
					first = q.err
				}
			}
			errs <- first
		})
	}
	for i := range list {
		if list[i].State != "stopped" {
			work <- &list[i]
		}
	}
	close(work)
	wg.Wait()
	close(errs)
	var err error
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// question is a conversation about one unit; after an error it is over.
type question struct {
	ctx  context.Context
	bus  Bus
	unit *Unit
	err  error
}

func (q *question) details(scopes map[string]bool) {
	u := q.unit
	stamp := "StateChangeTimestamp"
	if u.Active == "active" {
		stamp = "ActiveEnterTimestamp"
	}
	if usec := number(q.ask(u.Unit, "", stamp)); usec > 0 {
		u.Since = time.UnixMicro(int64(usec))
	}
	if u.State == "failed" {
		u.Result, _ = q.ask(u.Unit, "Service", "Result").(string)
		u.ExitStatus = int(number(q.ask(u.Unit, "Service", "ExecMainStatus")))
		return
	}
	u.MainPID = uint32(number(q.ask(u.Unit, "Service", "MainPID")))
	// The payload and its limits are in the scope, unless the definition says
	// `cgroup: service`.
	holder, kind := scopeOf(u.Name), "Scope"
	if !scopes[holder] {
		holder, kind = u.Unit, "Service"
	}
	if n := number(q.ask(holder, kind, "MemoryCurrent")); n != unlimited {
		u.Memory = n
	}
	if n := number(q.ask(holder, kind, "MemoryMax")); n != unlimited {
		u.MemoryLimit = n
	}
}

// scopeOf is the scope of a unit's payload.
func scopeOf(name string) string {
	s := definition.Service{Name: name}
	if at := strings.IndexByte(name, '@'); at >= 0 {
		s.Name, s.Instance = name[:at+1], name[at+1:]
	}
	return s.ScopeName()
}

// ask gives a property's value, nil if there is none.
func (q *question) ask(unit, kind, name string) any {
	if q.err != nil {
		return nil
	}
	var p *dbus.Property
	var err error
	if kind == "" {
		p, err = q.bus.GetUnitPropertyContext(q.ctx, unit, name)
	} else {
		p, err = q.bus.GetUnitTypePropertyContext(q.ctx, unit, kind, name)
	}
	if err != nil {
		// One unit's answer may be missing, as it ends while we ask; the bus
		// itself may not.
		var refused godbus.Error
		if !errors.As(err, &refused) {
			q.err = err
		}
		return nil
	}
	return p.Value.Value()
}

func number(v any) uint64 {
	switch n := v.(type) {
	case uint64:
		return n
	case uint32:
		return uint64(n)
	case int32:
		return uint64(n)
	}
	return 0
}
