// SPDX-License-Identifier: Apache-2.0

package units

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/definition"
)

// Unit is one container as systemd sees it.
type Unit struct {
	Name        string    `json:"name"` // web
	Unit        string    `json:"unit"` // web.service
	Description string    `json:"description,omitempty"`
	Definition  string    `json:"definition"`
	Image       string    `json:"image,omitempty"`
	State       string    `json:"state"` // running, paused, starting, restarting, stopping, exited, failed, stopped
	Active      string    `json:"active_state"`
	Sub         string    `json:"sub_state,omitempty"`
	Health      string    `json:"health,omitempty"` // healthy, unhealthy and why; "" = nothing checks
	Since       time.Time `json:"since,omitzero"`
	Result      string    `json:"result,omitempty"` // of a failed one: exit-code, signal, oom-kill, …
	ExitStatus  int       `json:"exit_status,omitempty"`
	Memory      uint64    `json:"memory_bytes,omitempty"`
	MemoryLimit uint64    `json:"memory_limit_bytes,omitempty"`
	CPU         uint64    `json:"cpu_usec,omitempty"` // since the start
	MainPID     uint32    `json:"main_pid,omitempty"`
	Ports       []string  `json:"ports,omitempty"`
}

// askers bounds the questions on their way. PID 1 answers one after another;
// more in flight only fill its queue.
const askers = 8

// Question is what a listing wants to know.
type Question struct {
	// Wanted tells of which states; nil = of all.
	Wanted func(state string) bool
	// Names are those that are asked for; nil = all.
	Names []string
	// MainPID asks systemd once more for each unit.
	MainPID bool
	Host    live.Host

	clock Clock
}

// listed is a unit that is shown, and the file that it has of the generator.
type listed struct {
	g Generated // a copy: a template's instances may have been launched with another definition each
	k dbus.UnitStatus
}

// List asks systemd for all our units in one call. Details are read from files,
// also with a thousand of them, and systemd is asked again only for what it
// alone knows: how a failed one ended, since when others are in their state.
func List(ctx context.Context, bus Bus, generated []Generated, q Question) ([]Unit, error) {
	q.clock = ReadClock()
	cgroups := make(chan map[string]string, 1)
	go func() { cgroups <- q.Host.FindCgroups() }() // while PID 1 makes its list
	known, err := bus.ListServices(ctx)
	if err != nil {
		return nil, err
	}
	var found []listed
	add := func(g *Generated, k dbus.UnitStatus) {
		named := q.Names == nil || slices.Contains(q.Names, strings.TrimSuffix(k.Name, ".service"))
		if named && (q.Wanted == nil || q.Wanted(state(&k))) {
			found = append(found, listed{*g, k})
		}
	}
	seen := map[string]bool{}
	for _, k := range known {
		g := find(generated, k.Name)
		if name, isService := strings.CutSuffix(k.Name, ".service"); g == nil && isService {
			// One that was launched without a generated unit.
			if q.Host.Launched(name) {
				g = &Generated{Name: k.Name}
			}
		}
		if g != nil && k.LoadState != "not-found" {
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
	for _, name := range q.Names {
		// An instance of a template is no file.
		unit := name + ".service"
		if g := find(generated, unit); g != nil && g.Name != unit && !seen[unit] {
			add(g, dbus.UnitStatus{Name: unit, ActiveState: "inactive", SubState: "dead"})
		}
	}
	slices.SortFunc(found, func(a, b listed) int {
		return strings.Compare(strings.TrimSuffix(a.k.Name, ".service"), strings.TrimSuffix(b.k.Name, ".service"))
	})
	list, asked := q.look(found, <-cgroups)
	return list, q.askDetails(ctx, bus, asked)
}

// share is how many units are worth a thread of their own.
const share = 100

// look reads the files of all units, on two processors where there are many;
// asked are those of which systemd alone knows the rest.
func (q *Question) look(found []listed, cgroups map[string]string) (list []Unit, asked []*Unit) {
	list = make([]Unit, len(found))
	rest := make([]bool, len(found))
	parts := min(runtime.GOMAXPROCS(0), 2, len(found)/share+1)
	var wg sync.WaitGroup
	for part := range parts {
		wg.Go(func() {
			survey := live.Survey{Host: q.Host}
			defer survey.Close()
			for i := part * len(found) / parts; i < (part+1)*len(found)/parts; i++ {
				list[i] = newUnit(&survey, found[i])
				rest[i] = list[i].State != "stopped" && list[i].State != waiting && !q.lookAt(&survey, &list[i], live.PayloadOf(cgroups, list[i].Name, scopeOf))
			}
		})
	}
	wg.Wait()
	for i := range list {
		if rest[i] {
			asked = append(asked, &list[i])
		}
	}
	return list, asked
}

func newUnit(s *live.Survey, l listed) Unit {
	name := strings.TrimSuffix(l.k.Name, ".service")
	// What was launched says all, also where the file says something else by now.
	if l.k.ActiveState == "inactive" || !l.g.readLaunched(s, name) {
		l.g.read()
	}
	ports := l.g.Ports
	if l.g.open && l.k.ActiveState == "active" {
		if taken := takenPorts(name); taken != nil {
			ports = taken
		}
	}
	return Unit{
		Name: name, Unit: l.k.Name, Description: l.k.Description,
		Definition: l.g.Source, Image: l.g.Image, Ports: ports,
		State: state(&l.k), Active: l.k.ActiveState, Sub: l.k.SubState,
	}
}

// waiting is a unit whose start is queued behind another's: of its image, its
// dependencies, or what it waits for.
const waiting = "waiting"

// States are all words for what a unit does.
var States = []string{"running", "paused", waiting, "starting", "restarting", "stopping", "exited", "failed", "stopped"}

// state is one word for systemd's.
func state(k *dbus.UnitStatus) string {
	active, sub := k.ActiveState, k.SubState
	switch {
	case (active == "inactive" || active == "failed") && k.JobType == "start":
		return waiting
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
func (q *Question) askDetails(ctx context.Context, bus Bus, asked []*Unit) error {
	if len(asked) == 0 {
		return nil
	}
	work := make(chan *Unit)
	errs := make(chan error, askers)
	var wg sync.WaitGroup
	for range min(askers, len(asked)) {
		wg.Go(func() {
			var first error
			for u := range work {
				talk := conversation{Question: q, ctx: ctx, bus: bus, unit: u}
				talk.details()
				if first == nil {
					first = talk.err
				}
			}
			errs <- first
		})
	}
	for _, u := range asked {
		work <- u
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

// lookAt fills in what stands in files: the payload and its limits are in cgroup,
// "" if it has none. false: systemd alone knows the rest.
func (q *Question) lookAt(survey *live.Survey, u *Unit, cgroup string) (all bool) {
	if started, ok := survey.Started(u.Name); ok && u.State == "running" && q.clock.Shown(started) {
		u.Since, all = started, !q.MainPID
	}
	if u.State == "failed" {
		return false
	}
	u.Health = survey.Health(u.Name)
	if cgroup == "" {
		return all
	}
	s := survey.Summary(cgroup)
	for _, n := range []struct{ from, into *uint64 }{{s.CPU, &u.CPU}, {s.Memory, &u.Memory}, {s.MemoryLimit, &u.MemoryLimit}} {
		if n.from != nil {
			*n.into = *n.from
		}
	}
	if u.State == "running" && s.Frozen {
		u.State = "paused"
	}
	return all
}

// conversation is about one unit; after an error it is over.
type conversation struct {
	*Question
	ctx  context.Context
	bus  Bus
	unit *Unit
	err  error
}

// details asks for what no file tells.
func (q *conversation) details() {
	u := q.unit
	if u.Since.IsZero() {
		q.since()
	}
	if u.State == "failed" {
		u.Result, _ = q.ask(u.Unit, "Service", "Result").(string)
		u.ExitStatus = int(number(q.ask(u.Unit, "Service", "ExecMainStatus")))
		return
	}
	if q.MainPID {
		u.MainPID = uint32(number(q.ask(u.Unit, "Service", "MainPID")))
	}
}

func (q *conversation) since() {
	stamp := "StateChangeTimestamp"
	if q.unit.Active == "active" {
		stamp = "ActiveEnterTimestamp"
	}
	usec := number(q.ask(q.unit.Unit, "", stamp))
	if usec == 0 {
		return
	}
	q.unit.Since = time.UnixMicro(int64(usec))
	if !q.clock.Shown(q.unit.Since) {
		usec = number(q.ask(q.unit.Unit, "", stamp+"Monotonic"))
		q.unit.Since = q.clock.At(q.unit.Since, time.Duration(usec)*time.Microsecond)
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
func (q *conversation) ask(unit, kind, name string) any {
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
