// SPDX-License-Identifier: Apache-2.0

// Package progress shows the events of a pull or load where somebody looks: a
// line for each layer on a terminal, STATUS= under systemd, JSON for programs,
// plain lines otherwise. It decides nothing.
package progress

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/image"
)

// Sink receives events one at a time. Close is called after the last.
type Sink interface {
	Event(image.Event)
	Close()
}

// For chooses: JSON where it is asked for, else what stderr is, and systemd as
// well where it listens.
func For(stderr, stdout io.Writer, asJSON, quiet bool) Sink {
	var sinks several
	switch screen := terminal.Of(stderr); {
	case asJSON:
		sinks = append(sinks, &jsonSink{json.NewEncoder(stdout)})
	case quiet:
	case screen.Width > 0:
		sinks = append(sinks, newScreen(screen, time.Now))
	default:
		sinks = append(sinks, &plain{w: stderr})
	}
	if path := os.Getenv("NOTIFY_SOCKET"); path != "" {
		sinks = append(sinks, newStatus(path, time.Now))
	}
	return sinks
}

type several []Sink

func (s several) Event(e image.Event) {
	for _, sink := range s {
		sink.Event(e)
	}
}

func (s several) Close() {
	for _, sink := range s {
		sink.Close()
	}
}

type jsonSink struct{ *json.Encoder }

func (j *jsonSink) Event(e image.Event) { _ = j.Encode(e) } // the reader is gone: so is the need

func (j *jsonSink) Close() {}

// plain is for logs: what begins and ends, not what is under way.
type plain struct{ w io.Writer }

func (p *plain) Event(e image.Event) {
	if line := sentence(e); line != "" {
		fmt.Fprintln(p.w, terminal.Clean(line))
	}
}

func (p *plain) Close() {}

func sentence(e image.Event) string {
	layer := fmt.Sprintf("layer %d of %d (%s)", e.Layer, e.Layers, short(e.Digest))
	switch e.Kind {
	case image.EventResolve, image.EventWarning:
		return e.Text
	case image.EventRetry:
		return "trying again: " + e.Text
	case image.EventWait:
		if e.Text != "" {
			return e.Text
		}
		return layer + ": another process is fetching it"
	case image.EventExists:
		return layer + ": present"
	case image.EventDone:
		return layer + ": " + image.FormatBytes(e.Total) + " fetched and unpacked"
	case image.EventImage:
		return e.Image + ": " + e.Digest
	}
	return ""
}

func short(digest string) string {
	s := strings.TrimPrefix(digest, "sha256:")
	return s[:min(len(s), 12)]
}

// sum is what is known of all layers together.
type sum struct {
	layers  map[int]*layer
	total   int
	current string
}

type layer struct {
	digest         string
	current, total int64
	begun          time.Time
	base           int64 // bytes that were here at the beginning
	state          string
	done           bool
}

func (s *sum) add(e image.Event, now time.Time) *layer {
	s.current = e.Image
	if e.Layer == 0 {
		return nil
	}
	s.total = e.Layers
	l := s.layers[e.Layer]
	if l == nil {
		l = &layer{digest: e.Digest}
		s.layers[e.Layer] = l
	}
	l.total = e.Total
	switch e.Kind {
	case image.EventStart:
		l.current, l.base, l.begun, l.state = e.Current, e.Current, now, ""
	case image.EventBytes:
		l.current, l.state = e.Current, ""
	case image.EventWait:
		l.state = "waiting for another process"
	case image.EventRetry:
		l.state = "trying again"
	case image.EventExists:
		l.done, l.current, l.state = true, e.Total, "present"
	case image.EventDone:
		l.done, l.current, l.state = true, e.Total, "done"
	}
	return l
}

// figures: layers that are done, bytes here, bytes in all.
func (s *sum) figures() (done int, current, total int64) {
	for _, l := range s.layers {
		current, total = current+l.current, total+l.total
		if l.done {
			done++
		}
	}
	return done, current, total
}

// status tells systemd, at most once a second. A pull may take longer than any
// TimeoutStartSec=; each sign of life extends it.
type status struct {
	conn *net.UnixConn
	sum  sum
	now  func() time.Time
	last time.Time
}

const extend = 2 * time.Minute

func newStatus(path string, now func() time.Time) Sink {
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return several{} // status is a courtesy; the pull is what counts
	}
	return &status{conn: conn, sum: sum{layers: map[int]*layer{}}, now: now}
}

func (s *status) Event(e image.Event) {
	now := s.now()
	s.sum.add(e, now)
	if e.Kind != image.EventImage && now.Sub(s.last) < time.Second {
		return
	}
	s.last = now
	fmt.Fprintf(s.conn, "EXTEND_TIMEOUT_USEC=%d\nSTATUS=%s\n", extend.Microseconds(), terminal.Clean(s.text(e)))
}

func (s *status) text(e image.Event) string {
	done, current, total := s.sum.figures()
	switch {
	case e.Kind == image.EventImage:
		return "pulled " + e.Image
	case s.sum.total == 0:
		return "pulling " + e.Image + ": " + sentence(e)
	}
	return fmt.Sprintf("pulling %s: %d/%d layers, %d of %d MB", e.Image, done, s.sum.total, current/1e6, (total+999_999)/1e6)
}

func (s *status) Close() { s.conn.Close() }

// failPatience bounds the wait for systemd at the end.
const failPatience = 5 * time.Second

// fail leaves the reason as the unit's status, where those look who waited for it.
// systemd has to read it before this process ends (sd_notify(3), BARRIER=1).
func (s *status) fail(err error) {
	fmt.Fprintf(s.conn, "STATUS=%s\n", terminal.Clean(strings.ReplaceAll(err.Error(), "\n", " | ")))
	r, w, pipeErr := os.Pipe()
	if pipeErr != nil {
		return
	}
	defer r.Close()
	_, _, sendErr := s.conn.WriteMsgUnix([]byte("BARRIER=1"), unix.UnixRights(int(w.Fd())), nil)
	w.Close()
	if sendErr == nil && r.SetReadDeadline(time.Now().Add(failPatience)) == nil {
		_, _ = r.Read(make([]byte, 1))
	}
}

// Fail tells systemd why there will be no image; others are told by the command.
func Fail(s Sink, err error) {
	sinks, _ := s.(several)
	for _, sink := range sinks {
		if s, is := sink.(*status); is {
			s.fail(err)
		}
	}
}
