// SPDX-License-Identifier: Apache-2.0

package idrange

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func testHost(t *testing.T) Host {
	d := t.TempDir()
	return Host{
		Claims: filepath.Join(d, "ids"), Subids: []string{filepath.Join(d, "subuid")},
		Passwds: []string{filepath.Join(d, "passwd")}, Nspawn: filepath.Join(d, "nspawn"),
	}
}

func claim(t *testing.T, h Host, unit string) uint32 {
	t.Helper()
	r, err := h.Claim(unit)
	if err != nil {
		t.Fatal(err)
	}
	if r.Start < first || r.Start%Size != 0 || r.Start+Size-1 > last {
		t.Fatalf("range of %s starts at %d", unit, r.Start)
	}
	return r.Start
}

func TestClaimIsStableAndOwn(t *testing.T) {
	h := testHost(t)
	seen := map[uint32]string{}
	for i := range 2000 {
		unit := fmt.Sprintf("web%d.service", i)
		start := claim(t, h, unit)
		if other := seen[start]; other != "" {
			t.Fatalf("%s and %s share %d", unit, other, start)
		}
		seen[start] = unit
		if again := claim(t, h, unit); again != start {
			t.Fatalf("%s had %d, then %d", unit, start, again)
		}
	}
	// The next boot finds no claims and gives the same place.
	other := testHost(t)
	if a, b := claim(t, h, "web0.service"), claim(t, other, "web0.service"); a != b {
		t.Fatalf("another boot gave %d for %d", b, a)
	}
}

func TestClaimAvoidsWhatOthersHave(t *testing.T) {
	h := testHost(t)
	start := claim(t, testHost(t), "web.service")
	for name, put := range map[string]func(){
		"subuid": func() {
			os.WriteFile(h.Subids[0], fmt.Appendf(nil, "# x\nbad line\nalice:%d:10\n", start+5), 0o644)
		},
		"passwd": func() { os.WriteFile(h.Passwds[0], fmt.Appendf(nil, "bob:x:%d:1::/:/bin/sh\n", start+Size-1), 0o644) },
		"nspawn": func() {
			os.MkdirAll(h.Nspawn, 0o755)
			os.WriteFile(filepath.Join(h.Nspawn, fmt.Sprint(start)), nil, 0o600)
		},
	} {
		h = testHost(t)
		put()
		if got := claim(t, h, "web.service"); got == start {
			t.Errorf("%s: gave out %d, which is taken", name, got)
		}
	}
}

func TestClaimAfterDeathBetweenTheLinks(t *testing.T) {
	h := testHost(t)
	start := claim(t, h, "web.service")
	os.Remove(filepath.Join(h.Claims, "web.service"))
	if got := claim(t, h, "web.service"); got != start {
		t.Fatalf("a claim without its name was not taken up again: %d, then %d", start, got)
	}
}

func TestClaimsAtOnce(t *testing.T) {
	h := testHost(t)
	var mu sync.Mutex
	seen := map[uint32]bool{}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			r, err := h.Claim(fmt.Sprintf("u%d", i))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[r.Start] {
				t.Errorf("u%d: %v %v", i, r, err)
			}
			seen[r.Start] = true
		})
	}
	wg.Wait()
}

func TestPeekIsWhatAClaimGives(t *testing.T) {
	h := Host{Claims: t.TempDir()}
	for _, unit := range []string{"web.service", "db.service", "worker@1.service"} {
		seen, err := h.Peek(unit)
		if err != nil {
			t.Fatal(err)
		}
		got, err := h.Claim(unit)
		if err != nil || got != seen {
			t.Errorf("%s: claim gives %v (%v), a look before it gave %v", unit, got, err, seen)
		}
		if again, err := h.Peek(unit); err != nil || again != got {
			t.Errorf("%s: a look after the claim gives %v (%v), not %v", unit, again, err, got)
		}
	}
}

// A user that is made while this machine runs gets subordinate ids that a unit has
// claimed: its next start has others, and keeps them.
func TestClaimIsGivenUpToOthers(t *testing.T) {
	h := testHost(t)
	start := claim(t, h, "web.service")
	os.WriteFile(h.Subids[0], []byte("alice:100000:65536\n"), 0o644)
	if got := claim(t, h, "web.service"); got != start {
		t.Errorf("a change elsewhere has moved it from %d to %d", start, got)
	}
	os.WriteFile(h.Subids[0], fmt.Appendf(nil, "alice:%d:65536\n", start-100), 0o644)
	seen, err := h.Peek("web.service")
	got := claim(t, h, "web.service")
	if got == start || err != nil || seen.Start != got {
		t.Errorf("it has %d, which are alice's; a look gave %v (%v)", got, seen, err)
	}
	if again := claim(t, h, "web.service"); again != got {
		t.Errorf("then it has %d instead of %d", again, got)
	}
	if links, _ := os.ReadDir(h.Claims); len(links) != 2 {
		t.Errorf("the claims are %v", links)
	}
}
