// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/realm"
)

// StepDescription is one step of a launch, as it is told to an operator.
type StepDescription struct {
	Name string `json:"name"`
	// Inner is true for what the payload's first process does inside its
	// namespaces, false for what the helper does before.
	Inner bool `json:"inner"`
	// Applies is false for a step that this plan does not need.
	Applies bool `json:"applies"`
	// Exit is the exit status when it fails (systemd.exec(5)).
	Exit int `json:"exit"`
	// Why says why it is there, and why there.
	Why string `json:"why,omitempty"`
	// Calls are the system calls of an inner step, one a line.
	Calls []string `json:"calls,omitempty"`
}

// standIns take the place of the outer steps that need privilege or change the
// host. What they open is only looked at, so the program is the one that a
// start would run, but for descriptor numbers.
var standIns = map[string]func(*Launch) error{
	"check-labels":          func(*Launch) error { return nil },
	"create-user-namespace": standInAnchor,
	"open-namespaces":       func(*Launch) error { return nil },
	"open-rootfs":           standInRoot,
	"open-mount-sources":    standInSources,
	"open-images":           standInImages,
	"fill-files":            standInFiles,
	"compile-seccomp":       standInFilter,
}

// StepNames are the names of all steps, the outer ones first.
func StepNames() (names []string) {
	for _, s := range outerSteps {
		names = append(names, s.name)
	}
	for _, s := range innerSteps {
		names = append(names, s.name)
	}
	return names
}

// Reason says why a step is there, and why there; "" for a name that is none.
func Reason(step string) string {
	for _, s := range innerSteps {
		if s.name == step {
			return s.why
		}
	}
	for _, s := range outerSteps {
		if s.name == step {
			return s.why
		}
	}
	return ""
}

// Describe compiles the steps of a plan without carrying anything out, and
// without privilege. The user is looked up on the way: p.Spec is complete
// afterwards.
func Describe(p *plan.Plan) ([]StepDescription, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	l := &Launch{plan: p, spec: p.Spec, opt: Options{
		Stdio: [3]*os.File{null, null, null}, Gated: true,
		AttachPoint: realm.Run + "/" + strings.TrimSuffix(p.Unit, ".service") + "/root",
	}}
	l.own(null)
	defer l.Close()
	var list []StepDescription
	for _, s := range outerSteps {
		if s.when != nil && !s.when(l) {
			list = append(list, StepDescription{Name: s.name, Exit: s.exit, Why: s.why})
			continue
		}
		do := s.do
		if standIn := standIns[s.name]; standIn != nil {
			do = standIn
		}
		if err := do(l); err != nil {
			return nil, &StepError{Step: s.name, Exit: s.exit, Err: err}
		}
		list = append(list, StepDescription{Name: s.name, Applies: applies(l, s.name), Exit: s.exit, Why: s.why})
	}
	calls := callsByStep(l.prog)
	for _, s := range innerSteps {
		lines, applies := calls[s.name]
		list = append(list, StepDescription{Name: s.name, Inner: true, Applies: applies, Exit: s.exit, Why: s.why, Calls: lines})
	}
	return list, nil
}

// applies tells whether an outer step has anything to do.
func applies(l *Launch, name string) bool {
	switch name {
	case "create-user-namespace":
		return l.anchor != nil
	case "fill-files":
		return l.filesDir != nil
	}
	return true
}

func standInFiles(l *Launch) error {
	if len(l.plan.Files) > 0 {
		l.filesDir = l.opt.Stdio[0]
	}
	return nil
}

// standInImages opens the layers as they lie there: only a mount has ids to map.
func standInImages(l *Launch) error {
	return l.findImages(func(dir string) (*os.File, error) {
		f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		return l.own(f), nil
	})
}

// standInFilter connects to nobody.
func standInFilter(l *Launch) error {
	if err := readFilter(l); err != nil || l.filter == nil || !l.filter.Listens() {
		return err
	}
	l.agent = &agent{socket: l.opt.Stdio[0]}
	return l.agent.allocate()
}

// callsByStep cuts the listing of a program at its steps.
func callsByStep(p *program.Program) map[string][]string {
	out := map[string][]string{}
	step := ""
	for _, line := range p.Listing() {
		if call, isCall := strings.CutPrefix(line, "\t"); isCall {
			out[step] = append(out[step], call)
			continue
		}
		step = strings.TrimSuffix(line, ":")
		out[step] = []string{}
	}
	return out
}

// standInRoot opens the root file system to look users up in. For those that
// are made at start an empty place is enough.
func standInRoot(l *Launch) error {
	path := "/proc/self/fdinfo"
	switch l.plan.Root.Kind {
	case plan.RootDirectory, plan.RootBundle:
		path = l.plan.Root.Path
	case plan.RootOverlay:
		path = layerWithNames(l.plan.Root)
	case plan.RootHost:
	default:
		return fmt.Errorf("unknown kind of root file system %q", l.plan.Root.Kind)
	}
	root, err := os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	l.root = l.own(root)
	return nil
}

// layerWithNames is the layer whose passwd the stacked tree shows.
func layerWithNames(r plan.Root) string {
	for _, dir := range r.Lowers {
		if unix.Faccessat(unix.AT_FDCWD, dir+"/etc/passwd", unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil {
			return dir
		}
	}
	return r.Lowers[len(r.Lowers)-1]
}

// standInSources opens what is mounted. A source that is not there yet, or
// that this user may not see, is taken for a directory.
func standInSources(l *Launch) error {
	l.sources = make([]*os.File, len(l.spec.Mounts))
	l.copies = map[int][]byte{}
	for i, m := range l.spec.Mounts {
		if m.Type != "bind" && !isBind(m.Options) {
			continue
		}
		if _, err := parseOptions(m.Options); err != nil {
			return fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err)
		}
		if slices.Contains(l.plan.Copies, m.Destination) {
			l.copies[i] = nil
			continue
		}
		f, err := os.OpenFile(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			if f, err = os.OpenFile("/", unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
				return err
			}
		}
		l.sources[i] = l.own(f)
	}
	return nil
}

// standInAnchor has this process's own namespaces in place of new ones.
func standInAnchor(l *Launch) error {
	if path := l.joined(specs.UserNamespace); path != "" && len(l.spec.Linux.UIDMappings) == 0 {
		return fmt.Errorf("the ids of the user namespace %s are known at start only", path)
	} else if path == "" && !l.hasNew(specs.UserNamespace) {
		return nil
	}
	a := &anchor{ns: map[string]*os.File{}}
	var err error
	if a.base, err = hostID(l.spec.Linux.UIDMappings, 0); err != nil {
		return err
	}
	if a.baseGID, err = hostID(l.spec.Linux.GIDMappings, 0); err != nil {
		return err
	}
	if a.user, err = os.Open("/proc/self/ns/user"); err != nil {
		return err
	}
	l.anchor = a
	for _, n := range namespaceFlag {
		if a.ns[n.file], err = os.Open("/proc/self/ns/" + n.file); err != nil {
			return err
		}
	}
	return nil
}
