// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/image"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func events() []image.Event {
	e := func(kind string, layer int, current, total int64) image.Event {
		return image.Event{Kind: kind, Image: "docker.io/library/nginx:1.27", Digest: digest, Layer: layer, Layers: 3, Current: current, Total: total}
	}
	return []image.Event{
		{Kind: image.EventResolve, Image: "docker.io/library/nginx:1.27", Text: "asking docker.io for docker.io/library/nginx:1.27"},
		e(image.EventExists, 1, 10e6, 10e6), e(image.EventStart, 2, 0, 40e6), e(image.EventStart, 3, 8e6, 18e6),
		e(image.EventBytes, 2, 20e6, 40e6), {Kind: image.EventWarning, Text: "odd \x1b[2J"}, e(image.EventDone, 3, 18e6, 18e6),
		{Kind: image.EventImage, Image: "docker.io/library/nginx:1.27", Digest: digest, Layers: 3},
	}
}

// clock moves a second with each look.
func clock() func() time.Time {
	t := time.Unix(1000, 0)
	return func() time.Time { t = t.Add(time.Second); return t }
}

func TestStatus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := newStatus(path, clock())
	for _, e := range events() {
		s.Event(e)
	}
	s.Close()
	var last, all string
	buf := make([]byte, 4096)
	for range events() {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		last = string(buf[:n])
		all += last
	}
	if want := "EXTEND_TIMEOUT_USEC=120000000\nSTATUS=pulled docker.io/library/nginx:1.27\n"; last != want {
		t.Errorf("the last message is %q, want %q", last, want)
	}
	for _, want := range []string{"STATUS=pulling docker.io/library/nginx:1.27: 1/3 layers, 38 of 68 MB\n", "2/3 layers, 48 of 68 MB"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in\n%s", want, all)
		}
	}
	if strings.Contains(all, "\x1b") {
		t.Error("a control character got through")
	}
}

// What stands on the terminal in the end: emulated as far as it is used.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(terminal.Screen{Writer: &out, Width: 60}, clock())
	for _, e := range events() {
		s.Event(e)
	}
	got := strings.Join(emulate(t, out.String()), "\n")
	want := strings.Join([]string{
		"asking docker.io for docker.io/library/nginx:1.27", "odd �[2J",
		"docker.io/library/nginx:1.27: " + digest[:29],
		"0123456789ab    10.0 MB of   10.0 MB  present",
		"0123456789ab    20.0 MB of   40.0 MB  3.3 MB/s  6s left",
		"0123456789ab    18.0 MB of   18.0 MB  done",
	}, "\n")
	if got != want {
		t.Errorf("the terminal shows\n%s\nwant\n%s", got, want)
	}
}

func emulate(t *testing.T, s string) []string {
	t.Helper()
	var lines []string
	row := 0
	for _, part := range strings.SplitAfter(s, "\n") {
		for strings.HasPrefix(part, "\x1b[") {
			var n int
			if _, err := fmt.Sscanf(part, "\x1b[%dA", &n); err != nil {
				t.Fatalf("unexpected %q", part)
			}
			row -= n
			_, part, _ = strings.Cut(part, "A")
		}
		text := strings.TrimPrefix(part, "\r")
		if !strings.HasSuffix(text, "\x1b[K\n") {
			if text != "" {
				t.Fatalf("unexpected %q", text)
			}
			continue
		}
		for len(lines) <= row {
			lines = append(lines, "")
		}
		lines[row] = strings.TrimSuffix(text, "\x1b[K\n")
		row++
	}
	return lines
}

func TestPlainAndJSON(t *testing.T) {
	var plainOut, jsonOut bytes.Buffer
	for _, s := range []Sink{For(&plainOut, nil, false, false), For(nil, &jsonOut, true, false)} {
		for _, e := range events() {
			s.Event(e)
		}
		s.Close()
	}
	if !strings.Contains(plainOut.String(), "layer 3 of 3 (0123456789ab): 18.0 MB fetched and unpacked\n") || strings.Contains(plainOut.String(), "\x1b") {
		t.Errorf("plain:\n%s", plainOut.String())
	}
	if n := strings.Count(jsonOut.String(), "\n"); n != len(events()) || !strings.Contains(jsonOut.String(), `{"event":"bytes","image":"docker.io/library/nginx:1.27"`) {
		t.Errorf("JSON:\n%s", jsonOut.String())
	}
}
