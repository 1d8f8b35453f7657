// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/resolved"
	"github.com/unitc/unitc/internal/resource"
	"github.com/unitc/unitc/internal/unitfile"
)

const (
	defaultSlice = "unitc.slice"
	defaultGrace = 10 * time.Second // docker's
	// postMortemUnit is one for all: unitc.slice keeps it loaded, while systemd
	// would load an instance at each start and at each look at what has stopped.
	postMortemUnit = "unitc-postmortem.service"
	// sweepUnit is one for all, too, and begins a moment later what finds all that those
	// have left that have ended.
	sweepUnit = "unitc-sweep.timer"
)

// translation is one unit being written. service is nil if none was decoded.
type translation struct {
	service *definition.Service
	project []definition.Service // the services of its file
	source  string               // the file, for SourcePath=
	outDir  string
	helper  string
	broken  bool
	gone    bool // a broken one whose file is no more
	// cleans has systemd run clean-up after the end of what needs none by this
	// definition: what runs was started by another one.
	cleans bool
	unit   unit
	w      unitfile.Writer
	room   *room

	tooManyLinks bool
}

func (t *translation) fault(path, what, cure string) {
	t.unit.problems = append(t.unit.problems, t.service.Problem(path, what, cure))
}

// text writes the unit file. The unit of a broken definition keeps all that
// ends a payload which was started before it broke (G-8): only what would
// start or restart one is left out.
func (t *translation) text(problems diag.List) []byte {
	t.w = unitfile.NewWriter(t.room.free())
	t.w.Comment(generatedFrom + t.source) // G-9
	t.w.Section("Unit")
	t.unitSection(problems)
	t.w.Section("Service")
	t.launch()
	if t.service != nil {
		t.stop()
		t.restart()
		t.ready()
		t.cgroup()
		if !t.broken {
			t.credentials()
			t.pass(t.service.System.Service)
		}
	}
	return t.finish()
}

// finish gives the text written, and makes problems of what could not be.
func (t *translation) finish() []byte {
	data, _ := t.w.Bytes()
	for _, err := range t.w.Errors() {
		t.refused(err)
	}
	return t.room.keep(data)
}

// refused turns an assignment that no unit file can hold into a problem of the
// definition. Of a broken one no more is said: it says enough.
func (t *translation) refused(err error) {
	var valueErr *unitfile.ValueError
	if t.broken || !errors.As(err, &valueErr) {
		return
	}
	t.fault("systemd."+strings.ToLower(valueErr.Section)+"."+valueErr.Name, valueErr.Error(), "write it on one line of plain text")
}

func (t *translation) unitSection(problems diag.List) {
	t.w.Set("Description", t.description(problems))
	if unitfile.Printable(t.source) == t.source {
		t.w.Set("SourcePath", unitfile.EscapeSpecifiers(t.source)) // G-10
	}
	if t.broken {
		return
	}
	for _, path := range t.paths() {
		t.w.Set("RequiresMountsFor", path) // V-6
	}
	t.waitDependency()
	t.imageDependency()
	t.volumeDependencies()
	t.projectDependencies()
	t.networkDependencies()
	t.portDependencies()
	t.idleDependency()
	t.restartLimit()
	if !t.cleansUp() {
		// It says why the container has failed. No other end costs a process.
		t.w.Set("OnFailure", postMortemUnit)
	}
	if t.isSwept() {
		// Behind the end: any process in it takes half of a stop, and the kernel longer
		// to remove a bridge.
		t.w.Set("OnFailure", sweepUnit)
		t.w.Set("OnSuccess", sweepUnit)
		t.lastSweep()
	}
	t.pass(t.service.System.Unit)
}

// isSwept tells whether a sweep comes behind the end. None does behind an instance's:
// systemd, which is to forget it when it has stopped, keeps it loaded then.
func (t *translation) isSwept() bool {
	if realm.Own() == nil && t.joinsNetworks() && !t.isTemplate() {
		return true
	}
	return !t.cleansUp() && t.service.LeavesRemains()
}

// cleansUp tells whether the unit has an ExecStopPost=: one more process for
// systemd to start at each stop, which waits for a grace period of the kernel
// when it writes itself into its cgroup. What it would take away of others is swept
// up behind their end.
func (t *translation) cleansUp() bool {
	return t.cleans || t.broken || t.room.cleansAll || t.service == nil || t.service.LeavesTraces() || !t.hasRuntimeDirectory()
}

// hasRuntimeDirectory: systemd-executor (v255 to 262 at least) cannot read back
// a name with a backslash in RuntimeDirectory=, and the start fails; an instance
// may have one. The helper makes the directory where systemd does not.
func (t *translation) hasRuntimeDirectory() bool {
	return !t.isTemplate() && !strings.Contains(t.unit.name, `\`)
}

// description is what `systemctl status` and the boot messages show (V-10).
func (t *translation) description(problems diag.List) string {
	if t.broken {
		return unitfile.EscapeSpecifiers(t.brokenDescription(append(problems[:len(problems):len(problems)], t.unit.problems...)))
	}
	label := t.label()
	switch {
	case label == "" && t.isTemplate():
		return "Container " + t.service.Name + "%i"
	case label == "":
		return "Container " + t.service.Name
	case t.isTemplate():
		return label // its specifiers are systemd's
	}
	return unitfile.EscapeSpecifiers(label)
}

// label is the first line of what an image calls itself, "" if it does not.
func (t *translation) label() string {
	for _, key := range []string{"org.opencontainers.image.description", "org.opencontainers.image.title"} {
		for _, label := range t.service.Labels {
			line, _, _ := strings.Cut(strings.TrimSpace(label.Value), "\n")
			if label.Key == key && line != "" {
				return strings.TrimRight(unitfile.Printable(shorten(line, 80)), `\`)
			}
		}
	}
	return ""
}

// brokenDescription names the place of the first error, so that even a list of
// units tells where to look.
func (t *translation) brokenDescription(problems diag.List) string {
	name := t.unit.stem()
	if t.service != nil {
		name = t.service.Name
	}
	place := t.source
	problems = slices.Clone(problems)
	problems.Sort()
	for _, p := range problems {
		if p.Severity == diag.Error && p.File != "" {
			if place = p.File; p.Line > 0 {
				place = fmt.Sprintf("%s:%d:%d", p.File, p.Line, max(p.Col, 1))
			}
			break
		}
	}
	what := "broken"
	if t.gone {
		what = "definition gone"
	}
	return fmt.Sprintf("Container %s (%s: %s)", unitfile.Printable(name), what, unitfile.Printable(place))
}

// paths are the host's that must be there before a start, as words of
// RequiresMountsFor=.
func (t *translation) paths() []string {
	s := t.service
	list := append(make([]string, 0, 8), s.RootFS, s.Bundle)
	switch {
	case s.RootFS == "host":
		list[0] = "/usr"
	case s.Image != "":
		list[0] = storeDir()
	}
	for _, v := range s.Volumes {
		switch v.Type {
		case definition.VolumeBind:
			list = append(list, v.Source)
		case definition.VolumeImage:
			list = append(list, storeDir())
		case definition.VolumeNamed:
			list = append(list, storeDir())
			if d := v.Declared; d != nil {
				list = append(list, d.MountPoint(), d.BindSource())
			}
		}
	}
	for _, f := range s.EnvFiles {
		list = append(list, f.Path)
	}
	for _, grants := range [][]definition.Grant{s.Secrets, s.Configs} {
		for _, g := range grants {
			list = append(list, g.File)
		}
	}
	words := make([]string, 0, len(list))
	for _, path := range list {
		// systemd reads these words without C escapes, so a path that needs one
		// cannot be said here.
		if len(path) < 2 || path[0] != '/' || unitfile.Printable(path) != path || !unitfile.ValidPath(path) {
			continue
		}
		word := unitfile.Word(path)
		if t.isTemplate() {
			// A template's strings hold specifiers already, with systemd's meanings.
			word = strings.ReplaceAll(word, "%%", "%")
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return words
}

func (t *translation) isTemplate() bool {
	return unitfile.NameKind(t.unit.name) == unitfile.Template
}

// launch is the contract with the helper (DESIGN §5).
func (t *translation) launch() {
	start := t.exec("start", resolved.Path(t.outDir, t.unit.stem()))
	if t.isTemplate() {
		start += " %i"
	}
	t.w.Set("Type", "notify") // V-1
	// The messages come from the helper and from the relay that it forks (S-9).
	t.w.Set("NotifyAccess", "all")
	t.w.Set("ExecStart", start)
	if t.service != nil && !t.broken && len(t.service.PostStart) > 0 {
		t.w.Set("ExecStartPost", execHelper(t.helper, "post-start")+" %N")
	}
	if len(t.activated()) > 0 {
		t.w.Set("ExecStop", execHelper(t.helper, "drain")+" %N")
	}
	if t.service != nil && len(t.service.PreStop) > 0 {
		// Before the stop signal, and within the same time.
		t.w.Set("ExecStop", execHelper(t.helper, "pre-stop")+" %N")
	}
	t.cleanUp()
	if t.hasRuntimeDirectory() {
		t.w.Set("RuntimeDirectory", "unitc/%N")
		t.w.Set("RuntimeDirectoryMode", "0700")
	}
	t.log() // V-10
	// The helper is one thread's work; more of Go's threads only cost start-up.
	t.w.Set("Environment", "GOMAXPROCS=1")
	t.w.Set("StandardOutput", "journal")
	t.w.Set("SyslogLevelPrefix", "no") // package journal
}

// cleanUp: V-5, V-8. It runs after every kind of end, and needs nothing that is
// left.
func (t *translation) cleanUp() {
	if !t.cleansUp() {
		return
	}
	clean := t.exec("clean") + " %N"
	if t.isSwept() {
		clean += " swept"
	}
	t.w.Set("ExecStopPost", clean)
}

// log names the lines and bounds them.
func (t *translation) log() {
	tag, options := "%N", definition.Logging{}
	if t.service != nil {
		options = t.service.Logging
	}
	if given, ok := options.Option(definition.LogTag); ok && given != "" && !t.broken {
		tag = unitfile.EscapeSpecifiers(given)
	}
	t.w.Set("SyslogIdentifier", tag)
	if every, ok := options.Option(definition.LogRateInterval); ok && !t.broken {
		t.w.Set("LogRateLimitIntervalSec", every)
	}
	if burst, ok := options.Option(definition.LogRateBurst); ok && !t.broken {
		t.w.Set("LogRateLimitBurst", burst)
	}
}

// stop: V-4. The relay ignores the stop signal and drains.
func (t *translation) stop() {
	s := t.service
	grace, signal := cmp.Or(s.StopGracePeriod, defaultGrace), cmp.Or(s.StopSignal, "SIGTERM")
	if grace < time.Millisecond {
		// "0s" is docker's word for killing at once. As a time-out it would end
		// ExecStopPost= at once too.
		grace, signal = defaultGrace, "SIGKILL"
	}
	switch {
	case s.System.Cgroup == definition.CgroupService && !s.NeedsRelay():
		// The payload's other processes are in this cgroup too: the stop signal is
		// for its first process alone, and there are no lines in a relay to spare.
		t.w.Set("KillMode", "mixed")
	case signal == "SIGKILL" && s.PID == "" && s.Bundle == "": // a bundle may share the host's
		// systemd sends the stop signal to whoever is left when the first process has
		// ended by itself, too. The others of its PID namespace end with it, and the
		// relay is to drain: the last signal is one that it ignores.
		t.w.Set("KillMode", "mixed")
		t.w.Set("FinalKillSignal", "SIGTERM")
	default:
		t.w.Set("KillMode", "control-group")
	}
	t.w.Set("KillSignal", signal)
	t.w.Set("TimeoutStopSec", span(grace))
	if status, ok := stoppedStatus(signal); ok {
		// A shell or a JVM that ends on its stop signal exits with 128+n, others
		// are killed by it: both are an orderly stop, not a failure (V-7).
		t.w.Set("SuccessExitStatus", strconv.Itoa(status)+" "+signal)
	}
}

// ready: a job is active once it has ended well. With RemainAfterExit= systemd
// takes that end as no failure of a Type=notify service, and waits for the
// READY=1 that the relay then sends.
func (t *translation) ready() {
	s := t.service
	if s.AwaitedCompletion {
		t.w.Set("RemainAfterExit", "yes")
		t.w.Set("TimeoutStartSec", "infinity") // as of Type=oneshot
	}
	if s.System.Probe != nil || s.Healthcheck != nil || s.Image != "" || len(s.PostStart) > 0 {
		// An unhealthy payload is asked to stop as ever; SIGABRT would not reach
		// the first process of a PID namespace.
		t.w.Set("WatchdogSignal", cmp.Or(s.StopSignal, "SIGTERM"))
	}
}

// credentials has systemd decrypt what is encrypted (V-9). A path that is
// relative is one of its stores of encrypted credentials, and one that is missing
// there is no failure: the helper says what to do.
func (t *translation) credentials() {
	if realm.Own() != nil {
		return // a user's systemd decrypts none before 258: the helper has it done
	}
	seen := map[string]bool{}
	for _, g := range append(t.service.Secrets[:len(t.service.Secrets):len(t.service.Secrets)], t.service.Configs...) {
		if g.File != "" || g.Environment != "" || g.Content != nil || seen[g.Name] {
			continue
		}
		seen[g.Name] = true
		name := unitfile.EscapeSpecifiers(g.Name)
		switch {
		case g.Encrypted == "":
			t.w.Set("LoadCredentialEncrypted", name+":"+name)
		case g.Encrypted[0] == '/':
			t.w.Set("LoadCredentialEncrypted", name+":"+unitfile.EscapeSpecifiers(g.Encrypted))
		default:
			t.w.Set("SetCredentialEncrypted", name+": "+g.Encrypted)
		}
	}
}

// cgroup: with the payload in the service's own cgroup the limits stand here,
// else they go to the scope at start (S-5).
func (t *translation) cgroup() {
	s := t.service
	t.w.Set("Slice", cmp.Or(s.System.Slice, defaultSlice))
	if s.System.Cgroup != definition.CgroupService {
		return
	}
	t.w.Set("Delegate", "yes")
	t.w.Set("OOMPolicy", resource.OOMPolicy(s))
	for _, d := range ownDirectives(resource.Directives(s)) {
		t.w.Set(d.Name, d.Value)
	}
}

// pass writes the operator's own directives, last, so that they win.
func (t *translation) pass(list []definition.Directive) {
	for _, d := range list {
		t.w.Set(d.Name, d.Value)
	}
}

// span writes a time as systemd.time(7) reads it.
func span(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(int64(d/time.Millisecond), 10) + "ms"
}

func shorten(s string, most int) string {
	count := 0
	for i := range s {
		if count++; count > most {
			return s[:i] + "…"
		}
	}
	return s
}
