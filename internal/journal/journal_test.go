// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"io"
	"os"
	"testing"
)

// Where standard error is no stream of journald's, lines go there as they are.
func TestNoJournal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if fd := connect(int(w.Fd())); fd != int(w.Fd()) {
		t.Errorf("descriptor %d for %d", fd, w.Fd())
	}
	s := &stream{fd: int(w.Fd()), open: true}
	if n, err := s.Write([]byte("<3>text\n")); n != 8 || err != nil {
		t.Error(n, err)
	}
	w.Close()
	if got, err := io.ReadAll(r); string(got) != "<3>text\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if got, want := header("web@1", "web@1.service", true), "web@1\nweb@1.service\n30\n1\n0\n0\n0\n"; got != want {
		t.Errorf("%q", got)
	}
}

// What a payload has made up, in an error of ours, speaks for nobody else: it begins no
// emergency, which journald would write to all terminals, and steers none.
func TestEntry(t *testing.T) {
	const made = "removing x\n<0>shout\x1b[2J\u009b1m\xff"
	for _, c := range []struct {
		text string
		bare bool
		want string
	}{
		{"<3>" + made + "\n", false, "<3>removing x\n<3><0>shout [2J 1m \n"},
		{"<3>" + made + "\n", true, "removing x\n<0>shout [2J 1m \n"},
		{"no priority\tand no end", false, "no priority\tand no end"},
		{"", false, ""},
	} {
		if got := string(entry([]byte(c.text), c.bare)); got != c.want {
			t.Errorf("%q, bare %v:\n%q, want\n%q", c.text, c.bare, got, c.want)
		}
	}
}
