// SPDX-License-Identifier: Apache-2.0

package updater

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/reference"
	"github.com/unitc/unitc/internal/store"
)

// world is a host: what each image is, which of them are bad, and what was
// asked of systemd.
type world struct {
	t          *testing.T
	store      *store.Store
	newest     string
	bad        map[string]bool
	dependents []string
	down       map[string]bool
	asked      []string
	outcomes   []Outcome
	ended      []string
	pulls      int
	interrupt  func() // while a unit restarts
	killed     string // while this image is watched
	stopping   bool
	asking     func() // who needs the containers
	awaited    []string
}

const app = "example.org/app:1"

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(t.TempDir() + "/store")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: s, newest: digest("a"), bad: map[string]bool{}, down: map[string]bool{}}
	w.Pull(t.Context(), app, "", false)
	return w
}

func (w *world) name() store.Name {
	w.t.Helper()
	ref, err := reference.Parse(app)
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := w.store.LookupName(ref)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) Newest(context.Context, string, string) (string, error) { return w.newest, nil }

func (w *world) Pull(_ context.Context, _, _ string, later bool) (store.Image, error) {
	w.t.Helper()
	w.pulls++
	ref, err := reference.Parse(app)
	if err != nil {
		return store.Image{}, err
	}
	img := store.Image{Digest: w.newest, ID: w.newest}
	n := store.NewName(ref, w.newest, time.Unix(0, 0))
	if later {
		n = n.Later()
	}
	return img, w.store.PutImage(img, n)
}

func (w *world) Start(_ context.Context, unit string) error {
	w.asked = append(w.asked, "start "+unit)
	w.down[unit] = false
	return nil
}

func (w *world) Restart(_ context.Context, unit string) error {
	w.asked = append(w.asked, "restart "+unit+" "+w.name().Image[7:8])
	return nil
}

func (w *world) Watch(ctx context.Context, _ []string, _ time.Duration) ([]string, error) {
	if w.killed == w.name().Image {
		w.down["needs-it.service"] = true
		panic("killed")
	}
	if w.interrupt != nil {
		w.interrupt()
		return nil, ctx.Err()
	}
	if w.bad[w.name().Image] {
		for _, unit := range w.dependents {
			w.down[unit] = true
		}
		return nil, errors.New("it did not stay up")
	}
	return w.ended, nil
}

func (w *world) Dependents(context.Context, []string) ([]string, error) {
	if w.asking != nil {
		w.asking()
	}
	return w.dependents, nil
}

func (w *world) IsActive(_ context.Context, unit string) (bool, error) { return !w.down[unit], nil }

func (w *world) AwaitJobs(_ context.Context, units []string) error {
	w.awaited = append(w.awaited, units...)
	return nil
}

func (w *world) Stopping(context.Context) bool { return w.stopping }

func (w *world) run(change func(*Updater), running ...string) error {
	w.t.Helper()
	w.asked, w.outcomes = nil, nil
	u := &Updater{Store: w.store, Systemd: w, Registry: w, Report: func(o Outcome) { w.outcomes = append(w.outcomes, o) }}
	if change != nil {
		change(u)
	}
	return u.Run(w.t.Context(), containers(running...))
}

func containers(running ...string) []Container {
	var all []Container
	for i, r := range running {
		all = append(all, Container{
			Unit: string(rune('a'+i)) + ".service", Running: digest(r), Service: &definition.Service{Image: app, Update: definition.UpdateRegistry},
		})
	}
	return all
}

// An update that is interrupted says nothing of the image: it is not rejected,
// nothing goes back, and the next update goes on.
func TestUpdateThatIsInterrupted(t *testing.T) {
	w := newWorld(t)
	w.newest = digest("b")
	ctx, interrupt := context.WithCancel(t.Context())
	w.interrupt = interrupt
	u := &Updater{Store: w.store, Systemd: w, Registry: w, Report: func(o Outcome) { w.outcomes = append(w.outcomes, o) }}
	if err := u.Run(ctx, containers("a")); err == nil || !strings.Contains(err.Error(), "the next `unitc update` goes on") {
		t.Errorf("%v", err)
	}
	w.expect(Failed, "restart a.service b")
	if n := w.name(); n.Rejected != "" || n.Image != digest("b") || n.Previous != digest("a") {
		t.Errorf("the name is %+v", n)
	}
	w.interrupt = nil
	if err := w.run(nil, "a"); err != nil {
		t.Error(err)
	}
	w.expect(Updated, "restart a.service b")
}

// An update that is killed while it watches an image that is bad, or on its way back
// from it, leaves that to the next one, which nobody tells of the containers: they do
// not run.
func TestUpdateThatIsKilled(t *testing.T) {
	for name, c := range map[string]struct {
		when  string // the image of the restart behind which it is killed
		asked []string
	}{
		"watching":   {"b", []string{"restart a.service a", "start needs-it.service"}},
		"going back": {"a", []string{"start needs-it.service"}},
	} {
		w := newWorld(t)
		w.newest, w.bad[digest("b")], w.dependents = digest("b"), true, []string{"needs-it.service"}
		w.killed = digest(c.when)
		func() {
			defer func() { _ = recover() }()
			_ = w.run(nil, "a")
		}()
		w.killed = ""
		if err := w.run(nil); err == nil != (name == "going back") {
			t.Errorf("%s: %v", name, err)
		}
		w.expect(RolledBack, c.asked...)
		if n := w.name(); n.Image != digest("a") || n.Rejected != digest("b") || n.Trial != nil || n.Target != "" {
			t.Errorf("%s: the name is %+v", name, n)
		}
		if err := w.run(nil); err != nil || len(w.outcomes) > 0 {
			t.Errorf("%s: %v, %+v", name, err, w.outcomes)
		}
	}
}

// An update that is killed when it has fetched an image, and before the way back from it
// is written down, leaves the name as it was: a boot then starts what ran.
func TestUpdateThatIsKilledBehindThePull(t *testing.T) {
	w := newWorld(t)
	w.newest = digest("b")
	w.asking = func() { panic("killed") }
	func() {
		defer func() { _ = recover() }()
		_ = w.run(nil, "a")
	}()
	if n := w.name(); n.Image != digest("a") || w.pulls != 2 {
		t.Errorf("behind %d pulls the name is %+v", w.pulls, n)
	}
	w.asking = nil
	if err := w.run(nil, "a"); err != nil {
		t.Error(err)
	}
	w.expect(Updated, "restart a.service b")
	if n := w.name(); n.Image != digest("b") || n.Previous != digest("a") || n.Next != nil || n.Trial != nil || w.pulls != 2 {
		t.Errorf("behind %d pulls the name is %+v", w.pulls, n)
	}
}

// A container that ends in a shutdown says nothing of its image: the next boot judges it,
// which waits until all is on its way no more, and begins no update of its own.
func TestUpdateInAShutdown(t *testing.T) {
	w := newWorld(t)
	w.newest, w.bad[digest("b")], w.stopping = digest("b"), true, true
	if err := w.run(nil, "a"); err == nil || !strings.Contains(err.Error(), "the next boot goes on") {
		t.Errorf("%v", err)
	}
	w.expect(Failed, "restart a.service b")
	if err := w.run(func(u *Updater) { u.ResumeOnly = true }); err == nil {
		t.Error("another shutdown is no verdict either")
	}
	if n := w.name(); n.Rejected != "" || n.Image != digest("b") || n.Trial == nil {
		t.Errorf("the name is %+v", n)
	}
	w.stopping, w.bad[digest("b")], w.newest, w.awaited = false, false, digest("c"), nil
	if err := w.run(func(u *Updater) { u.ResumeOnly = true }, "b"); err != nil {
		t.Error(err)
	}
	w.expect(Updated)
	if n := w.name(); n.Image != digest("b") || n.Trial != nil || !slices.Equal(w.awaited, []string{"a.service"}) {
		t.Errorf("the name is %+v, and %q were waited for", n, w.awaited)
	}
}

func (w *world) expect(result string, asked ...string) {
	w.t.Helper()
	if len(w.outcomes) != 1 || w.outcomes[0].Result != result || !slices.Equal(w.asked, asked) {
		w.t.Errorf("asked %q, outcomes %+v; want %s, %q", w.asked, w.outcomes, result, asked)
	}
}

func TestUpdate(t *testing.T) {
	w := newWorld(t)
	if err := w.run(nil, "a", "a"); err != nil {
		t.Error(err)
	}
	w.expect(UpToDate)

	w.newest = digest("b")
	if err := w.run(func(u *Updater) { u.DryRun = true }, "a", "a"); err != nil {
		t.Error(err)
	}
	w.expect(Pending)
	if n := w.name(); n.Image != digest("a") {
		t.Errorf("a dry run has changed the name: %+v", n)
	}

	// Only what is older is restarted; the old image is kept for the way back.
	if err := w.run(nil, "a", "b"); err != nil {
		t.Error(err)
	}
	w.expect(Updated, "restart a.service b")
	// What has ended well may be meant to: it is named.
	w.ended, w.newest = []string{"a.service"}, digest("c")
	if err := w.run(nil, "b"); err != nil || !slices.Equal(w.outcomes[0].Ended, w.ended) {
		t.Errorf("%v, %+v", err, w.outcomes)
	}
	w.newest = digest("b")
	if err := w.run(nil, "c"); err != nil {
		t.Error(err)
	}
	if n := w.name(); n.Image != digest("b") || n.Previous != digest("c") {
		t.Errorf("after the update the name is %+v", n)
	}
	if _, err := w.store.Collect(store.Prune{Dangling: true}); err != nil {
		t.Error(err)
	}
	if _, err := w.store.Resolve(digest("c")); err != nil {
		t.Errorf("the image before the update: %v", err)
	}
}

// A newer image that does not stay up is gone back from, tried once, and those
// who need the container come back.
func TestUpdateGoesBack(t *testing.T) {
	w := newWorld(t)
	w.newest, w.bad[digest("b")], w.dependents = digest("b"), true, []string{"needs-it.service"}
	if err := w.run(nil, "a"); err == nil {
		t.Error("a failed update is no error")
	}
	w.expect(RolledBack, "restart a.service b", "restart a.service a", "start needs-it.service")
	if n := w.name(); n.Image != digest("a") || n.Rejected != digest("b") || n.Target != "" {
		t.Errorf("after going back the name is %+v", n)
	}
	if err := w.run(nil, "a"); err == nil {
		t.Error("an update that is held back is no error")
	}
	w.expect(Rejected)
	w.bad[digest("b")] = false
	if err := w.run(func(u *Updater) { u.Retry = true }, "a"); err != nil {
		t.Error(err)
	}
	w.expect(Updated, "restart a.service b")
}

// Of a service with several instances the first one finds out what an image is worth;
// the others run on.
func TestUpdateOfInstances(t *testing.T) {
	w := newWorld(t)
	w.newest, w.bad[digest("b")] = digest("b"), true
	all := containers("a", "a", "a")
	three := 3
	for i := range all {
		all[i].Service.Project, all[i].Service.Key, all[i].Service.Replicas = "p", "web", &three
	}
	u := &Updater{Store: w.store, Systemd: w, Registry: w, Report: func(o Outcome) { w.outcomes = append(w.outcomes, o) }}
	if err := u.Run(t.Context(), all); err == nil {
		t.Error("a failed update is no error")
	}
	w.expect(RolledBack, "restart a.service b", "restart a.service a")
	if got := w.outcomes[0].Units; !slices.Equal(got, []string{"a.service"}) {
		t.Errorf("of %q", got)
	}

	w.bad[digest("b")] = false
	w.asked, w.outcomes, u.Retry = nil, nil, true
	if err := u.Run(t.Context(), all); err != nil {
		t.Error(err)
	}
	w.expect(Updated, "restart a.service b", "restart b.service b", "restart c.service b")
	if got := w.outcomes[0].Units; len(got) != 3 {
		t.Errorf("of %q", got)
	}
}

// x-update: check and fetch restart nothing by themselves, and what was fetched
// is what a name brings, whatever the registry has got since.
func TestUpdateByHand(t *testing.T) {
	w := newWorld(t)
	update := func(named bool, levels ...string) {
		t.Helper()
		w.asked, w.outcomes, w.pulls = nil, nil, 0
		var all []Container
		for i, level := range levels {
			all = append(all, Container{Unit: string(rune('a'+i)) + ".service", Running: digest("a"), Service: &definition.Service{Image: app, Update: level}})
		}
		u := &Updater{Store: w.store, Systemd: w, Registry: w, Named: named, Report: func(o Outcome) { w.outcomes = append(w.outcomes, o) }}
		if err := u.Run(t.Context(), all); err != nil {
			t.Error(err)
		}
	}
	means := func(image, next string) {
		t.Helper()
		n := w.name()
		got := ""
		if n.Next != nil {
			got = n.Next.Image
		}
		if next != "" {
			next = digest(next)
		}
		if n.Image != digest(image) || got != next {
			t.Errorf("the name is %+v, next %q; want %s, %s", n, got, image, next)
		}
	}
	w.newest = digest("b")
	update(false, "check")
	w.expect(Pending)
	means("a", "")
	for pulls := 1; pulls >= 0; pulls-- {
		update(false, "fetch", "check")
		w.expect(Fetched)
		means("a", "b")
		if w.pulls != pulls {
			t.Errorf("%d pulls, want %d", w.pulls, pulls)
		}
	}
	// It stays until it is wanted.
	if _, err := w.store.Collect(store.Prune{Dangling: true}); err != nil {
		t.Error(err)
	}
	if _, err := w.store.Resolve(digest("b")); err != nil {
		t.Errorf("what was fetched: %v", err)
	}
	w.newest = digest("c")
	update(true, "fetch")
	w.expect(Updated, "restart a.service b")
	means("b", "")
	if n := w.name(); n.Previous != digest("a") || w.pulls != 0 {
		t.Errorf("%d pulls, the name is %+v", w.pulls, n)
	}

	// One that is withdrawn is brought to nobody.
	w = newWorld(t)
	w.newest = digest("b")
	update(false, "fetch")
	means("a", "b")
	w.newest = digest("a")
	update(false, "fetch")
	w.expect(UpToDate)
	means("a", "")
	// Beside one that is to be restarted the name goes on, and the other waits.
	w.newest = digest("b")
	update(false, "fetch", "registry")
	w.expect(Updated, "restart b.service b")
	means("b", "")
	update(false, "fetch")
	w.expect(Fetched)
}

func TestRollback(t *testing.T) {
	w := newWorld(t)
	u := &Updater{Store: w.store, Systemd: w, Registry: w, Report: func(o Outcome) { w.outcomes = append(w.outcomes, o) }}
	if err := u.Rollback(t.Context(), app, "", containers("a")); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("without an earlier image: %v", err)
	}
	w.newest = digest("b")
	if err := w.run(nil, "a"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "b"} {
		if err := u.Rollback(t.Context(), app, "", containers("b")); err != nil {
			t.Fatal(err)
		}
		if n := w.name(); n.Image != digest(want) {
			t.Errorf("the name is %+v, want %s", n, want)
		}
	}
}
