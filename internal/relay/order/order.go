// SPDX-License-Identifier: Apache-2.0

// Package order is what the helper tells the relay: values and descriptors.
// The helper writes an order and starts the relay; but for the end of the start
// nothing else passes between the two. The form is NAME=VALUE with a NUL behind each, because the
// relay is resident once for each container and must not link a decoder.
package order

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Descriptors with which the relay is started, as far as an order needs them.
// They are high: the low numbers are the Go runtime's own.
const (
	Logs    = 0   // read end of the payload's log pipe, or its terminal's other end
	Journal = 1   // the service's journal stream; 2 is the same
	Text    = 100 // the order itself
	Notify  = 101 // connected to systemd's notify socket
	Payload = 102 // pidfd of the payload's first process
	Root    = 103 // O_PATH of the payload's root directory
	Proxy   = 104 // the bound socket that the payload knows as NOTIFY_SOCKET
	Attach  = 105 // the listening socket of `unitc attach`
	Input   = 106 // the payload's standard input, for writing, non-blocking
	Helper  = 107 // to the helper: a byte says that signals are taken, its end that the start is over, or the relay's turn; a byte back that systemd knows, see Awaits
)

// What READY=1 waits for.
const (
	ReadySent      = ""          // nothing: the helper has sent it
	ReadyHealthy   = "healthy"   // the first check that succeeds
	ReadyContainer = "container" // the payload's own word
	ReadyExit      = "exit"      // the payload's end with status 0
)

// Awaits tells whether READY=1 is the relay's to send while the payload runs: without
// the relay nobody would.
func Awaits(ready string) bool { return ready == ReadyHealthy || ready == ReadyContainer }

// Forms of the log.
const (
	LogNone = ""     // the payload's output does not pass the relay
	LogCopy = "copy" // byte by byte
	LogJSON = "json" // an object a line, whose keys become fields
	LogDrop = "drop" // read, so that the payload can go on, and kept nowhere
)

// Kinds of probe.
const (
	ProbeExec = "exec"
	ProbeFile = "file"
	ProbeHTTP = "http" // https too
	ProbeLog  = "log"
	ProbeTCP  = "tcp"
	ProbeUnix = "unix"
)

// ProbeFailed is the exit status with which the helper says that a check could
// not be run; its output says why. No check that ran exits with it (exec(1)'s
// own statuses end at 255, Docker knows 0, 1 and 2).
const ProbeFailed = 254

// Order is all that the relay is to do.
type Order struct {
	Unit   string // web.service
	Dir    string // the unit's directory below /run
	Helper string // path of the launch helper, which runs what is run inside
	Prober string // path of the program that probes over TLS
	Cgroup string // directory of the payload's cgroup
	// Network is the directory of the cgroup whose processes end with the payload, as
	// they hold ports of the host's; "" = somebody else ends them.
	Network string
	Ready   string
	Log     string
	Tag     string // SYSLOG_IDENTIFIER of structured lines
	// Terminal says that Logs is a terminal; Attach that others may join.
	Terminal, Attach bool

	Probe  string // a kind, "" = none
	Target string // what it asks: a path, an address, a URL, an expression
	CA     string // of an https URL: a file of the payload with authorities, "" = anyone will do
	Name   string // of an https URL: the name in the certificate, "" = the URL's host

	Interval, Timeout, StartPeriod, StartInterval time.Duration
	Retries                                       int
	// Restart tells systemd of a payload that has become unhealthy.
	Restart bool
	// PostStart has the helper run the commands of post_start before anything
	// is checked.
	PostStart bool
	// Extend asks systemd for the time that the first success may take.
	Extend bool
}

// fields is the one list of names, for both directions.
func (o *Order) fields() []struct {
	name string
	text *string
	span *time.Duration
	num  *int
	flag *bool
} {
	type field = struct {
		name string
		text *string
		span *time.Duration
		num  *int
		flag *bool
	}
	return []field{
		{name: "unit", text: &o.Unit}, {name: "dir", text: &o.Dir}, {name: "helper", text: &o.Helper}, {name: "prober", text: &o.Prober}, {name: "cgroup", text: &o.Cgroup},
		{name: "network", text: &o.Network},
		{name: "ready", text: &o.Ready}, {name: "log", text: &o.Log}, {name: "tag", text: &o.Tag},
		{name: "terminal", flag: &o.Terminal}, {name: "attach", flag: &o.Attach},
		{name: "probe", text: &o.Probe}, {name: "target", text: &o.Target}, {name: "ca", text: &o.CA}, {name: "name", text: &o.Name},
		{name: "interval", span: &o.Interval}, {name: "timeout", span: &o.Timeout},
		{name: "start_period", span: &o.StartPeriod}, {name: "start_interval", span: &o.StartInterval},
		{name: "retries", num: &o.Retries}, {name: "restart", flag: &o.Restart}, {name: "extend", flag: &o.Extend}, {name: "post_start", flag: &o.PostStart},
	}
}

// Encode gives the order's text. No value has a NUL: the planner refuses them.
func (o *Order) Encode() []byte {
	var b []byte
	for _, f := range o.fields() {
		b = append(append(b, f.name...), '=')
		switch {
		case f.text != nil:
			b = append(b, *f.text...)
		case f.span != nil:
			b = strconv.AppendInt(b, int64(*f.span), 10)
		case f.num != nil:
			b = strconv.AppendInt(b, int64(*f.num), 10)
		case f.flag != nil:
			b = strconv.AppendBool(b, *f.flag)
		}
		b = append(b, 0)
	}
	return b
}

// Decode is the reverse; what it does not know is an error, as helper and relay
// are of one build.
func Decode(text []byte) (*Order, error) {
	o := &Order{}
	fields := o.fields()
next:
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(text), "\x00"), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		for _, f := range fields {
			if f.name != name {
				continue
			}
			var n int64
			var err error
			switch {
			case f.text != nil:
				*f.text = value
			case f.span != nil:
				n, err = strconv.ParseInt(value, 10, 64)
				*f.span = time.Duration(n)
			case f.num != nil:
				*f.num, err = strconv.Atoi(value)
			case f.flag != nil:
				*f.flag, err = strconv.ParseBool(value)
			}
			if err != nil {
				return nil, fmt.Errorf("order %s: %w", name, err)
			}
			continue next
		}
		return nil, fmt.Errorf("order: unknown field %q", name)
	}
	return o, nil
}
