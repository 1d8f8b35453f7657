// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/program"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/runtime"
)

// Exit statuses that systemd names (systemd.exec(5), "Process Exit Codes").
const (
	exitFailure          = 1
	exitConfig           = 78 // EX_CONFIG
	exitExec             = 203
	exitStdout           = 209
	exitUser             = 217
	exitCgroup           = 219
	exitNetwork          = 225
	exitNamespace        = 226
	exitRuntimeDirectory = 233
	exitCredentials      = 243
)

// brokenDefinition is a definition with faults that the generator found.
type brokenDefinition struct{ problems diag.List }

func (e *brokenDefinition) Error() string {
	var errs []string
	for _, p := range e.problems {
		if p.Severity == diag.Error {
			errs = append(errs, p.String())
		}
	}
	return strings.Join(errs, "\n")
}

// fail tells the journal and systemctl status why, lets the child go and gives
// the exit status. The child is the service's main process by then and exits
// with the same status; so the word is passed first.
func (s *starter) fail(step string, exit int, err error) int {
	s.where.end()
	var inner *program.OpError
	var outer *runtime.StepError
	switch {
	case errors.As(err, &inner):
		exit = inner.Exit
	case errors.As(err, &outer):
		exit = outer.Exit
	}
	text := realm.Words(s.explain(step, err))
	s.failSession(text)
	for line := range strings.Lines(text) {
		fmt.Fprintf(journal.Stderr, "<3>%s\n", strings.TrimSuffix(line, "\n"))
	}
	lines := []string{status(text)}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		lines = append(lines, fmt.Sprintf("ERRNO=%d", int(errno)))
	}
	// What systemd does not hear the journal has; the start fails either way.
	_ = s.notify.send(lines...)
	_ = s.notify.barrier()
	if s.child != nil {
		s.child.Abandon(exit)
	}
	return exit
}

// explain is the sentence for the operator: where, what, cure.
func (s *starter) explain(step string, err error) string {
	var broken *brokenDefinition
	if errors.As(err, &broken) {
		return broken.Error()
	}
	key, text := "", ""
	var ke *planner.KeyError
	var inner *program.OpError
	var outer *runtime.StepError
	switch {
	case errors.As(err, &ke):
		if key, text = ke.Key, ke.Error(); s.service != nil {
			text = strings.Replace(text, ke.Key, s.service.PathOf(ke.Key), 1)
		}
	case errors.As(err, &inner):
		step, text = inner.Step, err.Error()
	case errors.As(err, &outer):
		step, text = outer.Step, err.Error()
	default:
		text = step + ": " + err.Error()
	}
	if h := s.hint(step, err); h != nil {
		if h.key != "" {
			key = h.key
		}
		text += "; " + h.cure
	}
	if s.service == nil {
		return text
	}
	return place(&s.service.Source, key) + ": error: " + text
}

// place is the file:line:col of a key, or of the definition where the key's
// own place is not known.
func place(src *definition.Source, key string) string {
	for k := key; k != ""; {
		if p, ok := src.Lines.At(k); ok {
			file := p.File
			if file == "" {
				file = src.File
			}
			return fmt.Sprintf("%s:%d:%d", file, p.Line, p.Col)
		}
		i := strings.LastIndexAny(k, ".[")
		if i < 0 {
			break
		}
		k = k[:i]
	}
	if src.Line > 0 {
		return fmt.Sprintf("%s:%d:%d", src.File, src.Line, max(src.Col, 1))
	}
	return src.File
}
