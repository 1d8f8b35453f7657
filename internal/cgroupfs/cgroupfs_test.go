// SPDX-License-Identifier: Apache-2.0

package cgroupfs

import (
	"errors"
	"os"
	"strconv"
	"testing"
)

func TestParse(t *testing.T) {
	for lines, want := range map[string]string{
		"0::/\n": "/",
		"12:pids:/a\n1:name=systemd:/b\n0::/system.slice/x.service\n": "/system.slice/x.service",
		"3:memory:/0::/evil\n0::/good\n":                              "/good",
		"0::/a:b::c\n":                                                "/a:b::c",
		"0::/gone (deleted)\n":                                        "/gone (deleted)",
	} {
		if got, err := Parse(lines); err != nil || got != want {
			t.Errorf("Parse(%q) is %q (%v), want %q", lines, got, err, want)
		}
	}
	for _, lines := range []string{"", "1:name=systemd:/b\n", "3:memory:/0::/evil\n"} {
		if got, err := Parse(lines); !errors.Is(err, errNone) {
			t.Errorf("Parse(%q) is %q (%v), want none", lines, got, err)
		}
	}
}

func TestOf(t *testing.T) {
	mine, err := Of("self")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Of(strconv.Itoa(os.Getpid())); err != nil || got != mine {
		t.Errorf("by number %q (%v), as self %q", got, err, mine)
	}
	if _, err := Of("0"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a process that is none: %v", err)
	}
}

func TestSlicePath(t *testing.T) {
	for slice, want := range map[string]string{"unitc.slice": "/unitc.slice", "a-b-c.slice": "/a.slice/a-b.slice/a-b-c.slice", "-.slice": ""} {
		if got := SlicePath(slice); got != want {
			t.Errorf("%s lies in %s, want %s", slice, got, want)
		}
	}
}
