// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/launch"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/relay/order"
	unitcruntime "github.com/unitc/unitc/internal/runtime"
)

// checked is what came of one check.
type checked struct {
	Name     string `json:"name"`
	Healthy  bool   `json:"healthy"`
	Failure  string `json:"failure,omitempty"`
	Output   string `json:"output,omitempty"`
	Duration int64  `json:"duration_usec"`
}

func (a *app) healthcheck() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "healthcheck [--json] NAME",
		Aliases: []string{"health"},
		Short:   "make a container's health check now, once",
		Long: `Make the health check of a running container now, once, as it is made every interval,
and print its output and its result. It changes nothing: what counts failures and restarts
is the container's own round of checks, whose last result unitc ps shows. The exit status is 0 if the
check succeeds, 1 if it fails, 125 if there is none or it cannot be made.`,
		ValidArgsFunction: a.completeRunning,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && args[0] == "run" {
				return usagef("healthcheck: leave the word run out: unitc healthcheck %s", args[1])
			}
			return exactly(1, "the name of a container")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("healthcheck: nothing runs in --root %s", a.root)
			}
			c, err := a.checkOnce(cmd, args[0])
			var status statusError
			switch {
			case errors.As(err, &status):
				return err
			case err != nil && (exitStatus(err) == exitFailed):
				a.complain(err)
				return statusError(exitCannotJoin)
			case err != nil:
				return err
			}
			if err := a.writeChecked(c, asJSON); err != nil {
				return err
			}
			if !c.Healthy {
				return statusError(exitFailed)
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) writeChecked(c *checked, asJSON bool) error {
	if asJSON {
		return a.printJSON(c)
	}
	for line := range strings.Lines(c.Output) {
		fmt.Fprintln(a.stdout, terminal.Clean(strings.TrimRight(line, "\r\n")))
	}
	result := "healthy"
	if !c.Healthy {
		result = "unhealthy: " + terminal.Clean(c.Failure)
	}
	_, err := fmt.Fprintf(a.stdout, "%s: %s (%s)\n", c.Name, result, (time.Duration(c.Duration) * time.Microsecond).Round(time.Millisecond))
	return err
}

// checkOnce makes the check with the programs that make it every interval: what differs
// would be no answer to the question.
func (a *app) checkOnce(cmd *cobra.Command, word string) (*checked, error) {
	name, cfg, err := a.joinable(cmd, word)
	if err != nil {
		return nil, err
	}
	p, err := a.host.Plan(name)
	switch {
	case err != nil:
		return nil, err
	case p.Health == nil:
		return nil, fmt.Errorf("%s has no health check; write healthcheck: into its definition, or systemd: {probe: ...} for one that needs no program", name)
	case p.Health.Kind == definition.ProbeLog:
		return nil, fmt.Errorf("%s is checked by the lines that it writes, as they come; `unitc ps %s` shows the result", name, name)
	}
	// A user has power over it in its own namespace alone.
	if err := a.enter(cfg.PID); err != nil {
		return nil, err
	}
	pidfd, err := unix.PidfdOpen(cfg.PID, 0)
	if err != nil {
		return nil, unitcruntime.ErrNotRunning
	}
	payload := os.NewFile(uintptr(pidfd), "payload")
	defer payload.Close()
	// Still the process of that plan: then its namespaces and its root are, too.
	if started, err := unitcruntime.StartTime(cfg.PID); err != nil || started != cfg.StartTime {
		return nil, unitcruntime.ErrNotRunning
	}
	begun := time.Now()
	c := &checked{Name: name}
	if p.Health.Kind == definition.ProbeExec {
		err = c.run(name, p.Health, payload)
	} else {
		err = c.ask(cfg.PID, p.Health, payload)
	}
	c.Duration = time.Since(begun).Microseconds()
	return c, err
}

// run has the helper run the check inside.
func (c *checked) run(name string, h *plan.Health, payload *os.File) error {
	helper := exec.Command(buildinfo.HelperPath, "probe", realm.Run+"/"+name, strconv.FormatInt(int64(h.Timeout), 10))
	helper.ExtraFiles = []*os.File{payload}
	status, output, err := c.wait(helper, nil)
	if err != nil {
		return err
	}
	switch {
	case status == order.ProbeFailed:
		// The helper's own words come last, on a line of their own.
		output = strings.TrimRight(output, "\n")
		i := strings.LastIndexByte(output, '\n')
		c.Output, c.Failure = strings.TrimRight(output[:max(i, 0)], "\n"), output[i+1:]
	default:
		c.Output, c.Healthy = output, status == 0
		if status != 0 {
			c.Failure = "exit status " + strconv.Itoa(status)
		}
	}
	return nil
}

// ask has the relay's program ask over the container's network, or look into its tree.
func (c *checked) ask(pid int, h *plan.Health, payload *os.File) error {
	o := &order.Order{Probe: h.Kind, Target: h.Target, Timeout: h.Timeout}
	if h.IsTLS() {
		o.Prober, o.CA, o.Name = buildinfo.ProbePath, h.TLS.CA, h.TLS.ServerName
	}
	text, err := launch.Memfd("order", o.Encode())
	if err != nil {
		return err
	}
	defer text.Close()
	proc := "/proc/" + strconv.Itoa(pid)
	root, err := os.OpenFile(proc+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	network, err := os.Open(proc + "/ns/net")
	if err != nil {
		return err
	}
	defer network.Close()
	relay := exec.Command(buildinfo.RelayPath, "check")
	relay.ExtraFiles = make([]*os.File, order.Helper-2) // the first is descriptor 3
	for fd, f := range map[int]*os.File{order.Text: text, order.Payload: payload, order.Root: root} {
		relay.ExtraFiles[fd-3] = f
	}
	status, output, err := c.wait(relay, network)
	if err == nil && status == order.ProbeFailed {
		err = errors.New(strings.TrimSpace(output))
	}
	c.Healthy, c.Failure = status == 0, strings.TrimSpace(output)
	return err
}

// maxCheckOutput is what is kept of a check's output, in bytes.
const maxCheckOutput = 1 << 20

// wait starts a program, in another network where one is given, and gives its status and
// its output. An interrupt is passed on, and the program waited for.
func (c *checked) wait(cmd *exec.Cmd, network *os.File) (int, string, error) {
	output := &bounded{most: maxCheckOutput}
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // of what a check has left in the background
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	if err := startInNetwork(cmd, network); err != nil {
		return 0, "", fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var interrupted os.Signal
	for {
		select {
		case interrupted = <-signals:
			_ = cmd.Process.Signal(unix.SIGINT)
		case err := <-ended:
			var exit *exec.ExitError
			if errors.Is(err, exec.ErrWaitDelay) {
				err = nil
			}
			switch {
			case interrupted != nil:
				return 0, "", statusError(128 + int(interrupted.(unix.Signal)))
			case errors.As(err, &exit) && !exit.Exited():
				return 0, "", fmt.Errorf("%s: %w", cmd.Path, err)
			case errors.As(err, &exit):
				return exit.ExitCode(), output.String(), nil
			}
			return 0, output.String(), err
		}
	}
}

// startInNetwork starts a program in a network namespace, on a thread that ends with that; nil
// is this one.
func startInNetwork(cmd *exec.Cmd, network *os.File) error {
	if network == nil {
		return cmd.Start()
	}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // for good
		if err := launch.JoinNetwork(network); err != nil {
			failed <- err
			return
		}
		failed <- cmd.Start()
	}()
	return <-failed
}

// bounded keeps the beginning of what is written.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(data []byte) (int, error) {
	n := len(data)
	_, err := b.Buffer.Write(data[:min(n, b.most-b.Len())])
	return n, err
}
