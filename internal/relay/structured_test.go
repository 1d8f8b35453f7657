// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/relay/order"
)

// FuzzObject compares the reader with the standard library's: what the one
// takes the other takes, with the same strings.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` {"a":"b"} `, `{"msg":"x\n\"\u00e9\ud83d\ude00\ud83d","n":-1.5e+3,"o":{"a":[1,{"b":null}]},"t":true}`, `{"a":01}`, `{"a":}`, `{"a" "b"}`, `{"a":"b",}`,
		`[1]`, `"x"`, `{"a":"` + "\xff" + `"}`, `{"a":"\x"}`, `{"a":+1}`, `{"a":nul}`, `{"a":1.}`, `{"a":"b"}x`, `{"a":[],"b":{}}`, `{"a":[1,]}`, "{\"a\":\"\t\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		got := map[string]value{}
		ok := object(line, func(key string, v value) bool { got[key] = v; return true })
		var want map[string]json.RawMessage
		err := json.Unmarshal(line, &want)
		if isNull := strings.TrimSpace(string(line)) == "null"; (err == nil && !isNull) != ok {
			if strings.Count(string(line), "[")+strings.Count(string(line), "{") > maxDepth {
				return // deeper than a line is read
			}
			t.Fatalf("%q: taken %v, the library says %v", line, ok, err)
		}
		if !ok {
			return
		}
		for key, raw := range want {
			var s string
			if json.Unmarshal(raw, &s) == nil && raw[0] == '"' {
				if got[key].s != s {
					t.Errorf("%q: %q is %q, want %q", line, key, got[key].s, s)
				}
			}
		}
	})
}

// What a payload may not say in the name of root it says with an X_.
func TestFieldName(t *testing.T) {
	for key, want := range map[string]string{
		"user": "USER", "http.status": "HTTP_STATUS", "_SYSTEMD_UNIT": "X_SYSTEMD_UNIT", "__CURSOR": "CURSOR", "": "", "__": "", "9lives": "X_9LIVES", "é": "",
		"MESSAGE_ID": "X_MESSAGE_ID", "message": "X_MESSAGE", "unit": "X_UNIT", "units": "UNITS", "UNITC_UNIT": "X_UNITC_UNIT", "object_pid": "X_OBJECT_PID",
		"coredump_unit": "X_COREDUMP_UNIT", "Syslog-Identifier": "X_SYSLOG_IDENTIFIER", "user_unit": "X_USER_UNIT", "job": "X_JOB", "jobs": "JOBS",
		strings.Repeat("a", 100): strings.Repeat("A", maxFieldName-2),
	} {
		if got := fieldName(key); got != want {
			t.Errorf("%q becomes %q, want %q", key, got, want)
		}
	}
}

func TestLevels(t *testing.T) {
	for word, want := range map[string]int{"info": 6, "WARN": 4, "Error": 3, "fatal": 2, "3": 3, "30": 6, "50": 3, "60": 2, "loud": -1, "-4": -1, "": -1, "debug": 7} {
		if got := level(word); got != want {
			t.Errorf("%q is %d, want %d", word, got, want)
		}
	}
}

// Lines wait for a journald that is not there, but all of them together.
func TestLinesWithoutAJournald(t *testing.T) {
	s, err := newStructured(&order.Order{Tag: "web"})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s.fd)
	s.to, s.gone = t.TempDir()+"/socket", time.Now().Add(-4800*time.Millisecond)
	begun := time.Now()
	for range 20 {
		s.line([]byte("text"))
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("twenty lines took %v", took)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: s.to}); err != nil {
		t.Fatal(err)
	}
	s.line([]byte("it is there"))
	b := make([]byte, 1000)
	if n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT); err != nil || !strings.Contains(string(b[:n]), "it is there") || !s.gone.IsZero() {
		t.Errorf("%q, %v", b[:max(n, 0)], err)
	}
}
