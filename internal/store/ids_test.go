// SPDX-License-Identifier: Apache-2.0

package store

import (
	"os"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/realm"
)

// A user's store is used with the ids that it was written with, and with more.
func TestSameIDs(t *testing.T) {
	run := t.TempDir()
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(realm.BecomeSystem)
	if err := realm.Become(os.Geteuid(), true, func(name string) string { return map[string]string{"HOME": run, "XDG_RUNTIME_DIR": run}[name] }); err != nil {
		t.Fatal(err)
	}
	former := idMaps
	t.Cleanup(func() { idMaps = former })
	idMaps = map[string]string{"u": run + "/uid_map", "g": run + "/gid_map"}
	s, err := Open("")
	if err == nil {
		err = s.SameIDs() // there is nothing yet, and stays nothing
	}
	if err == nil {
		err = s.Init()
	}
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(s.Dir()); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the store's mode is %v: %v", st.Mode(), err)
	}
	with := func(uids, gids string) error {
		for path, text := range map[string]string{idMaps["u"]: uids, idMaps["g"]: gids} {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return s.sameIDs()
	}
	const own, some = "         0       1500          1\n", "         1     100000      65536\n"
	refused := func(uids, gids, want string) {
		t.Helper()
		if err := with(uids, gids); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q and %q: %v, want %q", uids, gids, err, want)
		}
	}
	taken := func(uids, gids string) {
		t.Helper()
		if err := with(uids, gids); err != nil {
			t.Errorf("with %q and %q: %v", uids, gids, err)
		}
	}
	taken(own+some, own+some)
	taken(own+"1 200000 65536\n", own+some) // there is nothing in it
	taken(own+some, own+some)
	if err := os.Mkdir(s.path("layers", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	taken(own+some, own+some)
	refused(own+"1 200000 65536\n", own+some, "other ids than /etc/subuid now gives: 1 to 65536 were 100000 to 165535")
	refused(own+some, own+"1 100001 65536\n", "/etc/subgid")
	refused(own+"1 100000 65535\n", own+some, "/etc/subuid")
	taken("0 0 1\n1 1 65536\n", "0 0 65537\n") // a namespace within
	taken(own+some+"65537 300000 5\n", own+"1 100000 131072\n")
	refused(own+some, own+some, "65537 to 65541 were 300000 to 300004")
	taken(own+some+"65537 300000 5\n", own+"1 100000 131072\n")
	// Containers that start at once, as at a login, note them at once.
	for range 20 {
		if err := os.Remove(s.path("ids")); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 8)
		for range cap(failed) {
			go func() { failed <- s.sameIDs() }()
		}
		for range cap(failed) {
			if err := <-failed; err != nil {
				t.Fatalf("at once: %v", err)
			}
		}
	}
	if err := os.WriteFile(s.path("ids"), []byte("u 0 x 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(own+some, own+some, "ids: ")
}
