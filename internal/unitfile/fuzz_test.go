// SPDX-License-Identifier: Apache-2.0

package unitfile

import (
	"strings"
	"testing"
)

func FuzzExec(f *testing.F) {
	for _, s := range hostile {
		f.Add("/bin/"+s, s)
	}
	f.Fuzz(func(t *testing.T, path, arg string) {
		if strings.ContainsRune(path+arg, 0) || len(path)+len(arg) > 1<<16 {
			return // no argument of execve(2) holds a NUL
		}
		checkExec(t, "/"+path, []string{arg, arg})
		checkWord(t, arg)
	})
}

// Whatever Set accepts is exactly one assignment with the same value.
func FuzzSet(f *testing.F) {
	for _, s := range hostile {
		f.Add("Description", s)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		var w Writer
		w.Section("Unit")
		w.Set("First", "1")
		w.Set(name, value)
		w.Set("Last", "1")
		data, err := w.Bytes()
		list, parseErr := parseFile(string(data))
		if parseErr != nil {
			t.Fatalf("%q: %v", data, parseErr)
		}
		switch {
		case err != nil && len(list) == 2:
		case err == nil && len(list) == 3 && list[1].name == name && list[1].value == strings.TrimSpace(value):
		default:
			t.Errorf("%q=%q (%v) became %q", name, value, err, data)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) {
			return // no file name holds a NUL
		}
		escaped := EscapeName(s)
		if back, err := UnescapeName(escaped); err != nil || back != s {
			t.Errorf("%q escaped is %q, which reads back as %q (%v)", s, escaped, back, err)
		}
		if s != "" && len(escaped) < 200 && NameKind(escaped+".service") != Plain {
			t.Errorf("%q escaped is %q, no unit name", s, escaped)
		}
		if path, err := EscapePath("/" + s); err == nil && len(path) < 200 && NameKind(path+".mount") != Plain {
			t.Errorf("path %q escaped is %q, no unit name", s, path)
		}
	})
}
