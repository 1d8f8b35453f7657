// SPDX-License-Identifier: Apache-2.0

// Package launch is the helper: what ExecStart= and ExecStopPost= of a
// generated unit run. Start reads the resolved definition beside the unit,
// makes the plan, has the runtime fork the payload and systemd make its scope,
// says READY=1 and becomes the log relay or exits. Clean, and Sweep for those whose
// remains can wait, are idempotent and leave nothing behind, whatever the helper
// died of.
package launch

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/resolved/load"
	"github.com/unitc/unitc/internal/runtime"
)

// scopeTimeout bounds the wait for systemd's scope job. It is shorter than the
// default TimeoutStartSec= (90 s), so that the cause is told by us.
const scopeTimeout = 60 * time.Second

// starter is one start on its way.
type starter struct {
	path, instance string
	stateDir       string
	notify         *notifier
	resolved       []byte // the definition as it was read
	service        *definition.Service
	plan           *plan.Plan
	launch         *runtime.Launch
	stdio          [3]*os.File
	session        *sessionConn   // somebody waits for this container; nil = nobody
	streams        *[3]*os.File   // of the session, nil without
	logs           *os.File       // read end of the payload's log pipe; nil = no relay
	cgroup         *os.File       // service placement: the leaf to be born in
	manager        *cgroupsd.Call // to systemd; nil = it is called when the child is there
	begun          runtime.Begun
	child          *program.Child
	guard          *program.Child  // of a payload that runs before READY=1; nil = none
	answered       time.Duration   // that was waited for systemd's answer
	network        *network.Claim  // nil = it is connected to none
	making         chan error      // the networks; nil = that has not begun
	connecting     chan error      // nil = that has not begun
	payload        int             // main PID, once it is known
	contents       [][]byte        // of the plan's files
	beside         neighbours      // the containers whose namespaces it joins
	relay          *relayFiles     // of our own relay, nil without one
	proxy          *os.File        // the socket that the payload knows as NOTIFY_SOCKET
	attach         *os.File        // the socket of those who join the payload's streams
	console        *os.File        // the socket over which another runtime hands a terminal
	bundle         *runtime.Bundle // another runtime's, nil with our own
	where          whereabouts
	watch          *stopwatch
	netWatch       *stopwatch // of what runs beside the steps
	sockets        int        // descriptors from firstSocket on that the payload gets
}

// startStep is one named action of the helper.
type startStep struct {
	name string
	exit int
	do   func(*starter) error
}

// The outer order of a launch (DESIGN, launch): every launch begins with
// firstSteps and ends with lastSteps, between them stand those of unitc's own
// runtime or of another one.
var (
	firstSteps = []startStep{
		{"read-definition", exitConfig, (*starter).readDefinition},
		// Before anything is opened that a second start of the helper would lose.
		{"seal-helper", exitNamespace, (*starter).sealHelper},
		// It answers while the plan is built.
		{"call-systemd", exitCgroup, (*starter).callSystemd},
		// Who waits shall hear of every fault from here on.
		{"open-session", exitStdout, (*starter).openSession},
		{"build-plan", exitConfig, (*starter).buildPlan},
		{"begin-namespaces", exitUser, (*starter).beginNamespaces},
		{"read-secrets", exitCredentials, (*starter).readSecrets},
		{"write-state", exitRuntimeDirectory, (*starter).writeState},
		{"bind-notify-socket", exitRuntimeDirectory, (*starter).openProxy},
		{"bind-attach-socket", exitRuntimeDirectory, (*starter).bindAttachSocket},
		{"claim-network", exitNetwork, (*starter).claimNetwork},
		{"open-logs", exitStdout, (*starter).openLogs},
		{"prepare-cgroup", exitCgroup, (*starter).prepareCgroup},
	}
	ownSteps = []startStep{
		// Before its program is there: systemd moves it while that is compiled.
		{"clone-payload", exitNamespace, (*starter).clonePayload},
		// While the child is still in the service's cgroup (S-9).
		{"send-mainpid", exitFailure, (*starter).sendMainPID},
		{"request-scope", exitCgroup, (*starter).requestScope},
		{"prepare-runtime", exitNamespace, (*starter).prepareRuntime},
		// It mounts from here on, and waits at its gate.
		{"start-payload", exitNamespace, (*starter).startPayload},
		{"run-hooks", exitNamespace, (*starter).runHooks},
		{"start-scope", exitCgroup, (*starter).startScope},
		{"join-scope", exitCgroup, (*starter).joinScope},
		// It has begun with the request for the scope, while systemd makes that.
		{"connect-network", exitNetwork, (*starter).connectNetwork},
		// Opened by systemd meanwhile, which nothing of the unit waits for.
		{"await-resolver", exitNetwork, (*starter).awaitResolver},
		{"start-pasta", exitNetwork, (*starter).startPasta},
		// The interfaces that rules name are there, and nothing of the payload's runs.
		{"load-nftables", exitNetwork, (*starter).loadRules},
		// A stop that comes later reaches the payload itself; the relay must live on.
		{"ignore-stop-signals", exitFailure, (*starter).ignoreStopSignals},
		{"release-payload", exitFailure, (*starter).releasePayload},
		{"await-exec", exitExec, (*starter).awaitExec},
		{"post-start-hooks", exitFailure, (*starter).postStart},
	}
	lastSteps = []startStep{
		// While the payload is held: its process is still the one that was made.
		{"prepare-relay", exitFailure, (*starter).prepareRelay},
		{"send-ready", exitFailure, (*starter).sendReady},
		{"tell-session", exitFailure, (*starter).tellSession},
		{"report-former-end", exitFailure, (*starter).reportFormer},
		{"become-relay", exitExec, (*starter).becomeRelay},
	}
)

// Start runs a launch and gives the helper's exit status. It returns only when
// there is no relay to become or when the start failed.
func Start(path, instance string) int {
	s := &starter{path: path, instance: instance, stateDir: ownDirectory(), watch: newStopwatch(), netWatch: &stopwatch{on: os.Getenv("UNITC_TRACE") == "1"}}
	var err error
	if s.notify, err = openNotifier(); err != nil {
		return s.fail("open-notify-socket", exitFailure, err)
	}
	s.where.step.Store(&firstSteps[0].name)
	s.where.begin(s.notify)
	if status := s.run(firstSteps); status != 0 {
		return status
	}
	between := ownSteps
	if s.plan.Runtime != "" {
		between = foreignSteps
	}
	return s.run(slices.Concat(between, lastSteps))
}

func (s *starter) run(steps []startStep) int {
	for _, step := range steps {
		s.where.step.Store(&step.name)
		reach(step.name)
		if err := s.watch.time(step.name, func() error { return step.do(s) }); err != nil {
			return s.fail(step.name, step.exit, err)
		}
	}
	return 0
}

func (s *starter) readDefinition() error {
	resolved, data, err := load.Definition(s.path)
	if err != nil {
		return err
	}
	s.resolved = data
	if resolved.Problems.HasErrors() || resolved.Service == nil {
		return &brokenDefinition{resolved.Problems}
	}
	s.service = resolved.Service
	s.service.Instance = s.instance
	return nil
}

func (s *starter) buildPlan() error {
	facts, beside, err := gather(s.service)
	if err != nil {
		return err
	}
	s.beside = beside
	noteBundle(facts.Bundle)
	if facts.Sockets, facts.SocketNames, err = takeSockets(); err != nil {
		return err
	}
	s.sockets = facts.Sockets
	// From here on it is the payload's alone: others than root walk what the start makes.
	umask := uint32(unix.Umask(0o022))
	facts.Umask = &umask
	s.plan, err = planner.Build(s.service, facts)
	return err
}

// beginNamespaces has nothing to gain where systemd makes a scope: that takes
// longer, and is to be asked for first.
func (s *starter) beginNamespaces() error {
	if s.plan.Scope != nil || s.plan.Runtime != "" {
		return nil
	}
	return s.begun.BeginNamespaces(s.plan)
}

func (s *starter) prepareCgroup() error {
	if s.plan.Scope != nil {
		return nil
	}
	dir, err := cgroupsd.OwnDelegated()
	if err != nil {
		return err
	}
	defer dir.Close()
	if s.cgroup, err = cgroupsd.Leaf(dir); err != nil {
		return err
	}
	s.warnOfControllers()
	return s.giveCgroup(dir)
}

// giveCgroup lets a payload that asks for it make cgroups of its own.
func (s *starter) giveCgroup(unit *os.File) error {
	uid, gid, wanted := s.plan.CgroupOwner()
	if !wanted {
		return nil
	}
	if realm.Own() != nil {
		uid, gid = -1, -1 // it is the user's, who is root inside
	}
	return cgroupsd.Give(unit, s.cgroup, uid, gid)
}

func (s *starter) callSystemd() error {
	if s.service.System.Cgroup != definition.CgroupService {
		s.manager = cgroupsd.Dial()
	}
	return nil
}

func (s *starter) runtimeOptions() runtime.Options {
	return runtime.Options{
		Stdio:       s.stdio,
		ID:          strings.TrimSuffix(s.plan.Unit, ".service"),
		Bundle:      cmp.Or(s.plan.Bundle, s.stateDir),
		AttachPoint: s.stateDir + "/root",
		CgroupDir:   s.cgroup,
		Contents:    s.contents,
		PreserveFDs: s.sockets,
		OwnPID:      s.plan.OwnPID,
		Sibling:     true,
		// A user's helper is root of their own namespace alone.
		InUserNamespace: realm.Own() != nil,
		MoveDevices:     moveDevices,
		Gated:           true, // systemd must know its main PID before that can exit
		Before:          s.before,
		StopAt:          os.Getenv(killAt),
		Begun:           s.begun,
	}
}

// before is called before each step of the runtime.
func (s *starter) before(step string) {
	s.manager.Continue()
	s.where.step.Store(&step)
	s.watch.mark(step)
	reach(step)
}

func (s *starter) prepareRuntime() error {
	var err error
	s.launch, err = runtime.Prepare(s.plan, s.runtimeOptions())
	if err == nil {
		s.noteNosuid()
		s.noteUnmapped()
	}
	return err
}

// clonePayload leaves to startPayload what can be cloned only with its program.
func (s *starter) clonePayload() error {
	if err := s.begun.BeginPayload(s.plan, s.runtimeOptions()); err != nil || s.begun.Child == nil {
		return err
	}
	s.child, s.payload = s.begun.Child, s.begun.Child.PID
	return nil
}

func (s *starter) startPayload() error {
	child, err := s.launch.Start()
	if err != nil {
		return err
	}
	s.child, s.payload = child, child.PID
	if s.begun.Child != nil {
		return nil
	}
	if err := s.sendMainPID(); err != nil {
		return err
	}
	return s.requestScope()
}

// sendMainPID also tells the other runtimes'.
func (s *starter) sendMainPID() error {
	if s.payload == 0 {
		return nil
	}
	err := s.notify.send(fmt.Sprintf("MAINPID=%d", s.payload), status("setting up the container"))
	if err == nil && s.plan.Scope == nil {
		err = s.notify.mark()
	}
	return err
}

// awaitMainPID: one that has ended by the time systemd reads of it is not taken,
// and its exit status is lost. Who has made the payload's scope has read it.
func (s *starter) awaitMainPID() error {
	if s.plan.Scope != nil {
		return nil
	}
	return s.notify.await(statePatience)
}

func (s *starter) runHooks() error {
	err := s.launch.RunHooks(s.child)
	if err == program.ErrStopped {
		reach(os.Getenv(killAt))
	}
	return err
}

// requestScope returns as soon as it has been said.
func (s *starter) requestScope() error {
	if s.plan.Scope == nil || s.child == nil {
		return nil
	}
	if err := s.manager.Ask(s.plan.Scope, s.child.PID); err != nil {
		return err
	}
	s.beginNetworks()
	return nil
}

func (s *starter) startScope() error {
	if s.plan.Scope == nil {
		return nil
	}
	s.beginConnect()
	ctx, cancel := context.WithTimeout(context.Background(), scopeTimeout)
	defer cancel()
	began := time.Now()
	err := s.manager.StartScope(ctx, s.plan.Scope, s.child.PID)
	s.answered = time.Since(began)
	return err
}

func (s *starter) joinScope() error {
	if s.plan.Scope == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), scopeTimeout)
	defer cancel()
	dir, err := cgroupsd.AwaitScope(ctx, s.plan.Scope, s.child.PID, s.answered)
	if err != nil {
		return err
	}
	defer dir.Close()
	leaf, err := cgroupsd.Leaf(dir)
	if err != nil {
		return err
	}
	s.cgroup = leaf
	s.warnOfControllers()
	if err := cgroupsd.Enter(leaf, s.child.PID); err != nil {
		return err
	}
	// Behind the move: no controller goes down where a process is in between (C-3).
	if err := s.giveCgroup(dir); err != nil {
		return err
	}
	return s.showLimits(dir)
}

// showLimits has the payload see what it is limited to. Another runtime has a cgroup of
// its own beside the leaf.
func (s *starter) showLimits(unit *os.File) error {
	if s.plan.Runtime != "" || !cgroupsd.HasShown(s.plan.Scope) {
		return nil
	}
	return cgroupsd.Show(unit, s.cgroup)
}

func (s *starter) releasePayload() error {
	// What was opened by their numbers was theirs.
	if err := s.beside.stillRun(); err != nil {
		return err
	}
	if err := s.awaitMainPID(); err != nil {
		return err
	}
	if !s.plan.Init { // the init itself waits
		// Where tracing is forbidden a payload that ends within a fraction of a
		// millisecond may be reported as "protocol", and one whose helper is killed
		// just now runs until the start times out; nothing else depends on it.
		_ = s.child.HoldAtExec()
	}
	if err := s.child.Open(); err != nil {
		return fmt.Errorf("releasing the payload: %w", err)
	}
	return nil
}

func (s *starter) awaitExec() error {
	s.where.child.Store(s.child)
	err := s.child.AwaitExec()
	s.where.child.Store(nil)
	if err == program.ErrStopped {
		reach(os.Getenv(killAt))
	}
	s.trace()
	return err
}

func (s *starter) postStart() error {
	if h := s.plan.Spec.Hooks; h != nil && len(h.Poststart) > 0 {
		// Nothing would hold the payload, and without READY=1 the start would go on until
		// its time-out, whether a hook fails or this process is killed.
		if err := s.guardContainer(); err != nil {
			return err
		}
		s.child.Resume() // a hook may talk to the payload
	}
	return s.launch.PostStart(s.child.PID)
}

func (s *starter) sendReady() error {
	s.where.end()
	var err error
	if s.plan.Ready == "" {
		err = s.notify.send("READY=1", "STATUS=")
	} else {
		err = s.notify.send(status(waitingFor[s.plan.Ready]))
	}
	if s.child != nil {
		// Only now may the payload run, and end.
		s.child.Resume()
	}
	s.unguard()
	return err
}

// trace prints what each step of the child took, when asked for.
func (s *starter) trace() {
	if os.Getenv("UNITC_TRACE") != "1" {
		return
	}
	times := s.child.Times()
	for i, t := range times {
		if i+1 < len(times) {
			fmt.Fprintf(journal.Stderr, "<7>step %-24s %6d µs%s\n", t.Name, (times[i+1].Start - t.Start).Microseconds(), reason(t.Name))
		}
	}
}
