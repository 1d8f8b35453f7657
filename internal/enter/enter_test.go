// SPDX-License-Identifier: Apache-2.0

package enter

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOwnIDs(t *testing.T) {
	dir := t.TempDir()
	files := func(uids, gids string) {
		subuidFile, subgidFile = filepath.Join(dir, "subuid"), filepath.Join(dir, "subgid")
		for path, text := range map[string]string{subuidFile: uids, subgidFile: gids} {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() { subuidFile, subgidFile = "/etc/subuid", "/etc/subgid" })
	files("other:1:65536\n# x\n4711:100000:65000\nroot:0:65536\n4711:200000:1000\n4711:-1:5\n4711:300000:x\n4711:4294967290:100\n", "4711:100000:65536\n")
	ids, err := OwnIDs(4711)
	if err != nil || !slices.Equal(ids.UIDs, []Range{{100000, 65000}, {200000, 1000}}) || !slices.Equal(ids.GIDs, []Range{{100000, 65536}}) {
		t.Errorf("%v: %v", ids, err)
	}
	if got := strings.Join(mapping(4711, ids.UIDs), " "); got != "0 4711 1 1 100000 65000 65001 200000 1000" {
		t.Errorf("the map is %q", got)
	}
	var few *FewError
	files("4711:100000:65536\n", "4711:100000:1000\n")
	if _, err := OwnIDs(4711); !errors.As(err, &few) || few.File != subgidFile || few.Count != 1000 || !strings.Contains(err.Error(), "usermod --add-subuids") {
		t.Errorf("of too few groups: %v", err)
	}
	files("other:100000:65536\n", "other:200000:65536\n")
	if _, err := OwnIDs(4711); err == nil || !strings.Contains(err.Error(), "usermod --add-subuids 265536-331071 --add-subgids 265536-331071 4711`") {
		t.Errorf("the range that nobody has: %v", err)
	}
	if err := os.Remove(subuidFile); err != nil {
		t.Fatal(err)
	}
	if _, err := OwnIDs(4711); !errors.As(err, &few) || few.Count != 0 {
		t.Errorf("without a file: %v", err)
	}
}

// The kernel takes no id twice.
func TestDisjoint(t *testing.T) {
	for _, c := range []struct{ list, want []Range }{
		{[]Range{{100, 50}, {100, 50}}, []Range{{100, 50}}},
		{[]Range{{100, 50}, {120, 50}}, []Range{{100, 50}, {150, 20}}},
		{[]Range{{120, 10}, {100, 50}}, []Range{{120, 10}, {100, 20}, {130, 20}}},
		{[]Range{{1, 100}}, []Range{{1, 41}, {43, 58}}},
		{[]Range{{42, 1}, {42, 2}}, []Range{{43, 1}}},
		{nil, nil},
	} {
		if got := disjoint(42, c.list); !slices.Equal(got, c.want) {
			t.Errorf("of %v %v is left, want %v", c.list, got, c.want)
		}
	}
	var many []Range
	for i := range 400 {
		many = append(many, Range{1000 + 10*i, 5})
	}
	if got := disjoint(42, many); len(got) != maxRanges {
		t.Errorf("%d ranges, want the %d that a namespace can have", len(got), maxRanges)
	}
}

func TestShared(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() {
		subuidFile, subgidFile, passwdFile, groupFile = "/etc/subuid", "/etc/subgid", "/etc/passwd", "/etc/group"
	})
	subuidFile, subgidFile, passwdFile, groupFile = dir+"/subuid", dir+"/subgid", dir+"/passwd", dir+"/group"
	place := func(files map[string]string) {
		for path, text := range files {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	place(map[string]string{subuidFile: "4711:100000:65536\nother:165536:65536\n", subgidFile: "4711:100000:65536\n", passwdFile: "root:x:0:0::/:\nweb:x:4711:4711::/:\n", groupFile: "web:x:4711:\nlate:x:165536:\n"})
	if faults, err := Shared(4711); err != nil || len(faults) > 0 {
		t.Errorf("nothing is shared: %q, %v", faults, err)
	}
	place(map[string]string{subuidFile: "4711:100000:65536\nother:165535:65536\n", groupFile: "late:x:100000:\n"})
	faults, err := Shared(4711)
	if want := []string{"100000-165535 of " + subuidFile + " are other's too, by " + subuidFile, "100000-165535 of " + subgidFile + " are late's too, by " + groupFile}; err != nil || !slices.Equal(faults, want) {
		t.Errorf("shared are %q, want %q: %v", faults, want, err)
	}
}

// A user may stand in the files by name and by number.
func TestOwnAreNotShared(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() {
		subuidFile, subgidFile, passwdFile, groupFile = "/etc/subuid", "/etc/subgid", "/etc/passwd", "/etc/group"
	})
	subuidFile, subgidFile, passwdFile, groupFile = dir+"/subuid", dir+"/subuid", dir+"/passwd", dir+"/passwd"
	for path, text := range map[string]string{subuidFile: "root:100000:65536\n0:165000:10\n", passwdFile: ""} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if faults, err := Shared(0); err != nil || len(faults) > 0 {
		t.Errorf("one's own are shared: %q, %v", faults, err)
	}
}

// A namespace within the user's own has the same ids.
func TestSameIDs(t *testing.T) {
	if got := string(sameIDs("         0       1500          1\n         1     100000      65536\n")); got != "0 0 1\n1 1 65536\n" {
		t.Errorf("the map is %q", got)
	}
}
