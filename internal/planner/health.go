// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
)

// Docker's defaults of a health check.
const (
	defaultInterval      = 30 * time.Second
	defaultTimeout       = 30 * time.Second
	defaultStartInterval = 5 * time.Second
	defaultRetries       = 3
	// leastInterval keeps a definition from having a core run checks only.
	leastInterval = 10 * time.Millisecond
)

// NotifyPlace is where a payload finds the socket of its own readiness (K-10).
const NotifyPlace = "/run/host/notify"

// NotifySocket is that socket in the unit's directory below /run.
const NotifySocket = "notify"

// health decides what is checked, how, and what makes the unit active.
func (b *builder) health() error {
	check := b.check()
	if check != nil {
		if err := b.completeCheck(check); err != nil {
			return err
		}
		b.plan.Health = check
	}
	switch notify := b.s.System.Notify; {
	case b.s.AwaitedCompletion:
		// Others wait for its end; before that nobody waits for it.
		b.plan.Ready = plan.ReadyExit
	case notify == definition.NotifyContainer:
		b.plan.Ready = plan.ReadyContainer
		b.notifySocket()
	case notify == definition.NotifyHealthy && check == nil:
		return &KeyError{"systemd.notify", "there is no check that could find the payload healthy", "write `healthcheck:` or `systemd: {probe: …}`"}
	case check != nil && notify != definition.NotifyStarted:
		b.plan.Ready = plan.ReadyHealthy
	}
	return nil
}

// check is the one that the definition asks for: its probe, its healthcheck, or
// the image's.
func (b *builder) check() *plan.Health {
	if p := b.s.System.Probe; p != nil {
		return &plan.Health{Kind: p.Kind, Target: p.Target, Command: p.Command, TLS: p.TLS}
	}
	own := b.s.Healthcheck
	if own != nil && own.Disable {
		return nil
	}
	// Docker too takes each key that a definition leaves out from the image.
	var h definition.Healthcheck
	if i := b.f.Image; i != nil && i.Healthcheck != nil {
		h = *i.Healthcheck
	}
	if own != nil && len(own.Test) > 1 {
		h.Test = own.Test
	}
	if len(h.Test) < 2 || !slices.Contains([]string{"CMD", "CMD-SHELL"}, h.Test[0]) {
		return nil
	}
	return &plan.Health{
		Kind: definition.ProbeExec, Command: b.testCommand(h.Test),
		Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries,
	}
}

// testCommand turns ["CMD", …] and ["CMD-SHELL", …] into what is run.
func (b *builder) testCommand(test []string) []string {
	if test[0] == "CMD-SHELL" {
		shell := []string{"/bin/sh", "-c"}
		// As Docker does, also for a test of the definition's own: the image may have no /bin/sh.
		if i := b.f.Image; i != nil && len(i.Shell) > 0 {
			shell = i.Shell
		}
		return slices.Concat(shell, test[1:])
	}
	return test[1:]
}

// completeCheck fills in times: the definition's, then the image's, then
// Docker's.
func (b *builder) completeCheck(h *plan.Health) error {
	own := b.s.Healthcheck
	if own == nil {
		own = &definition.Healthcheck{}
	}
	h.Interval = max(cmp.Or(own.Interval, h.Interval, defaultInterval), leastInterval)
	h.Timeout = max(cmp.Or(own.Timeout, h.Timeout, defaultTimeout), leastInterval)
	h.StartPeriod = cmp.Or(own.StartPeriod, h.StartPeriod)
	h.StartInterval = max(cmp.Or(own.StartInterval, h.StartInterval, defaultStartInterval), leastInterval)
	h.Retries = cmp.Or(own.Retries, h.Retries, defaultRetries)
	switch b.s.Restart.Policy {
	case definition.RestartAlways, definition.RestartUnlessStopped, definition.RestartOnFailure:
		h.Restart = true
	}
	for _, d := range b.s.System.Service {
		h.Restart = h.Restart || d.Name == "Restart" && d.Value != "no"
		h.OwnTimeout = h.OwnTimeout || d.Name == "TimeoutStartSec" || d.Name == "TimeoutSec"
	}
	if h.Kind == definition.ProbeLog && b.plan.Logging != definition.LogJournald {
		return &KeyError{"systemd.probe", "the payload's output does not pass the relay, which would look for the line",
			"drop `logging: driver:`, or write another kind of probe"}
	}
	return noNUL("healthcheck", append([]string{h.Target, h.TLS.CA, h.TLS.ServerName}, h.Command...)...)
}

// notifySocket gives the payload a socket that is not systemd's (V-3).
func (b *builder) notifySocket() {
	dir := realm.Run + "/" + strings.TrimSuffix(b.plan.Unit, ".service")
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{
		Destination: NotifyPlace, Type: "bind", Source: dir + "/" + NotifySocket, Options: []string{"bind", "nosuid", "nodev", "noexec", "rprivate"},
	})
	p := b.spec.Process
	p.Env = append(slices.DeleteFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, "NOTIFY_SOCKET=") }), "NOTIFY_SOCKET="+NotifyPlace)
	if b.f.WatchdogUSec != "" {
		p.Env = append(p.Env, "WATCHDOG_USEC="+b.f.WatchdogUSec)
	}
}
