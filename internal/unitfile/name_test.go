// SPDX-License-Identifier: Apache-2.0

package unitfile

import (
	"strings"
	"testing"
)

func TestNameKind(t *testing.T) {
	for name, want := range map[string]Kind{
		"web.service": Plain, "a.b.service": Plain, "-.mount": Plain, "-.slice": Plain, `a\x2db.service`: Plain, "a:b_c.timer": Plain,
		"worker@.service": Template, "worker@1.service": Instance, "a@b@c.service": Instance, "a@@.service": Instance,
		"": Invalid, "web": Invalid, ".service": Invalid, "@.service": Invalid, "@x.service": Invalid, "web.container": Invalid,
		"a b.service": Invalid, "a/b.service": Invalid, "../x.target": Invalid, "é.service": Invalid, "a\n.service": Invalid,
		"web.": Invalid, "a%b.service": Invalid,
		strings.Repeat("a", 247) + ".service": Plain, strings.Repeat("a", 248) + ".service": Invalid,
	} {
		if got := NameKind(name); got != want {
			t.Errorf("%q is %d, want %d", name, got, want)
		}
	}
}

// The pairs are what systemd-escape(1) 252 and 257 print.
func TestEscapeName(t *testing.T) {
	for plain, want := range map[string]string{
		"web": "web", "a b": `a\x20b`, "a-b": `a\x2db`, "a/b": "a-b", "/a": "-a", ".a": `\x2ea`, "a.b": "a.b", "": "",
		`a\b`: `a\x5cb`, "é": `\xc3\xa9`, "a@b": `a\x40b`, "a:b_c": "a:b_c", "%i": `\x25i`,
	} {
		if got := EscapeName(plain); got != want {
			t.Errorf("%q gives %q, want %q", plain, got, want)
		}
		if back, err := UnescapeName(want); err != nil || back != plain {
			t.Errorf("%q reads back as %q (%v)", want, back, err)
		}
	}
}

func TestEscapePath(t *testing.T) {
	for path, want := range map[string]string{
		"/": "-", "": "-", "/srv/data": "srv-data", "//srv/./data/": "srv-data", "/a-b": `a\x2db`, "/.a/b": `\x2ea-b`, "srv": "srv",
	} {
		if got, err := EscapePath(path); err != nil || got != want {
			t.Errorf("%q gives %q, want %q (%v)", path, got, want, err)
		}
	}
	if got, err := EscapePath("/a/../b"); err == nil {
		t.Errorf("a path with .. gave %q", got)
	}
	for name, want := range map[string]string{"-": "/", "srv-data": "/srv/data", `a\x2db`: "/a-b"} {
		if got, err := UnescapePath(name); err != nil || got != want {
			t.Errorf("%q gives %q, want %q (%v)", name, got, want, err)
		}
	}
	for _, name := range []string{"", "a--b", "-a", "a-", ".", "..-x", `\x2e\x2e-x`, `a\x00`, `a\x2`, `a\y`, `\`} {
		if got, err := UnescapePath(name); err == nil {
			t.Errorf("%q gave %q", name, got)
		}
	}
}

func TestMangleName(t *testing.T) {
	for plain, want := range map[string]string{"a b": `a\x20b`, "a-b": "a-b", "w@": "w@", "a/b": "a-b", "é": `\xc3\xa9`} {
		if got := MangleName(plain); got != want {
			t.Errorf("%q gives %q, want %q", plain, got, want)
		}
	}
}

func TestInstantiate(t *testing.T) {
	for _, c := range [][3]string{{"worker@.service", "1", "worker@1.service"}, {"web.service", "1", "web.service"}} {
		if got := Instantiate(c[0], c[1]); got != c[2] {
			t.Errorf("%s with %s gives %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

func TestValidPath(t *testing.T) {
	name := strings.Repeat("n", 255)
	for path, want := range map[string]bool{"/": true, "/" + name + "/x": true, "/" + name + "n": false, strings.Repeat("/"+name, 16): false, strings.Repeat("/"+name, 15): true} {
		if ValidPath(path) != want {
			t.Errorf("%d bytes: %v", len(path), !want)
		}
	}
}
