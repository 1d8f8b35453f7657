// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"TERM": "SIGTERM", "sigterm": "SIGTERM", "15": "SIGTERM", "RTMIN": "SIGRTMIN", "SIGRTMIN+3": "SIGRTMIN+3", "37": "SIGRTMIN+3", "RTMAX-1": "SIGRTMIN+29",
		"": "", "0": "", "65": "", "32": "", "TERMINATE": "", "RTMIN+99": "", "RTMIN-1": "",
	} {
		if got, ok := Name(in); got != want && ok || ok != (want != "") {
			t.Errorf("%q is %q, %v", in, got, ok)
		}
	}
}

// Numbers are the kernel's.
func TestNumbers(t *testing.T) {
	for _, name := range Names {
		if name == "" || name == "IO" { // SIGPOLL has the same number
			continue
		}
		if n, ok := Number("SIG" + name); !ok || unix.SignalNum("SIG"+name) != unix.Signal(n) {
			t.Errorf("SIG%s is %d, the kernel's is %d", name, n, unix.SignalNum("SIG"+name))
		}
	}
	if n, ok := Number("SIGRTMIN+3"); n != 37 || !ok {
		t.Errorf("SIGRTMIN+3 is %d", n)
	}
	if _, ok := Number(strings.TrimPrefix("SIGTERM", "SIG")); ok {
		t.Error("a short name has a number")
	}
}
