// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Starts at the same instant never get the same address, and what they leave
// is nothing.
func TestManyTakersOfOneNetwork(t *testing.T) {
	store := Store{Root: t.TempDir() + "/networks"}
	subnet := netip.MustParsePrefix("192.0.2.0/25")
	n := &Network{Name: "n", Driver: Bridge, Subnets: []Subnet{{Prefix: subnet, Range: subnet, Gateway: Nth(subnet, 1)}}}
	records := make([]Record, 100)
	var all sync.WaitGroup
	for i := range records {
		all.Go(func() {
			l, err := store.Lock()
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Unlock()
			if err := l.PutNetwork(n); err != nil {
				t.Error(err)
				return
			}
			r := &records[i]
			r.Container, r.Network = fmt.Sprint("c", i), "n"
			r.Ports = []Port{{Protocol: "tcp", Host: netip.IPv4Unspecified(), Port: uint16(1000 + i), Target: 80}}
			if r.IPv4, err = l.Pick(n, &n.Subnets[0], r.Container); err != nil {
				t.Error(err)
				return
			}
			if err := l.Put(r); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	seen := map[netip.Addr]bool{}
	for _, r := range records {
		if seen[r.IPv4] || !subnet.Contains(r.IPv4) || r.IPv4 == Nth(subnet, 0) || r.IPv4 == Nth(subnet, 1) || r.IPv4 == Last(subnet) {
			t.Errorf("%s has %s", r.Container, r.IPv4)
		}
		seen[r.IPv4] = true
	}
	if holders, err := store.PortHolders(); err != nil || len(holders) != len(records) {
		t.Errorf("%d ports are held, %v", len(holders), err)
	}
	for i := range records {
		all.Go(func() {
			l, err := store.Lock()
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Unlock()
			if err := l.Drop(&records[i]); err != nil {
				t.Error(err)
			}
			if l.IsEmpty("n") {
				if err := l.DropNetwork("n"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if _, err := os.Stat(store.Root); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", store.Root, err)
	}
}

// What was killed while it wrote leaves a file of its container alone.
func TestDropUnfinished(t *testing.T) {
	store := Store{Root: t.TempDir()}
	l, err := store.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Unlock()
	for _, path := range []string{"n/.newweb.json", "n/.newdb.json", "n/web.json"} {
		if err := errors.Join(os.MkdirAll(l.path("n"), 0o755), os.WriteFile(l.path(path), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := l.DropUnfinished("web"); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(l.path("n"))
	if err != nil || len(left) != 2 || left[0].Name() != ".newdb.json" || left[1].Name() != "web.json" {
		t.Errorf("left are %v (%v)", left, err)
	}
}

// A container that comes back gets the address that it had; a full range is an
// error.
func TestPick(t *testing.T) {
	p := netip.MustParsePrefix("192.0.2.0/29")
	s := Subnet{Prefix: p, Range: p, Gateway: Nth(p, 1), Taken: []netip.Addr{Nth(p, 2)}}
	taken := map[netip.Addr]string{}
	first, err := s.pick("web", taken)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.pick("web", taken); err != nil || again != first {
		t.Errorf("%s, and then %s, %v", first, again, err)
	}
	for i := range 4 { // .3 to .6
		a, err := s.pick(fmt.Sprint(i), taken)
		if err != nil {
			t.Fatal(err)
		}
		taken[a] = "x"
	}
	if a, err := s.pick("late", taken); !errors.Is(err, ErrFull) {
		t.Errorf("a full range gives %s, %v", a, err)
	}
	// What somebody has for himself is given to nobody else, running or not.
	for _, other := range []string{"web", "app"} {
		own, err := s.pick(other, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := s.pick(other, nil, own); err != nil || a == own {
			t.Errorf("%s is reserved, and given out (%v)", a, err)
		}
	}
	// Nor is the address where names are answered.
	link := Subnet{Prefix: netip.MustParsePrefix("169.254.53.52/30"), Range: netip.MustParsePrefix("169.254.53.52/30"), Gateway: netip.MustParseAddr("169.254.53.54")}
	if a, err := link.pick("web", nil); !errors.Is(err, ErrFull) {
		t.Errorf("beside the resolver %s is given out, %v", a, err)
	}
}

func TestOverlaps(t *testing.T) {
	port := func(host string, number uint16) Port {
		return Port{Protocol: "tcp", Host: netip.MustParseAddr(host), Port: number}
	}
	for _, c := range []struct {
		one, other Port
		want       bool
	}{
		{port("0.0.0.0", 80), port("127.0.0.1", 80), true},
		{port("192.0.2.1", 80), port("127.0.0.1", 80), false},
		{port("0.0.0.0", 80), port("::", 80), false},
		{port("::", 80), port("2001:db8::1", 80), true},
		{port("0.0.0.0", 80), port("0.0.0.0", 81), false},
	} {
		if got := c.one.Overlaps(c.other); got != c.want || c.other.Overlaps(c.one) != got {
			t.Errorf("%s and %s: %v", c.one, c.other, got)
		}
		if p, ok := parsePortName(portName(c.one)); !ok || p != c.one {
			t.Errorf("%s is read back as %s", c.one, p)
		}
	}
}

// A copy of the descriptor, as a process has that was made meanwhile, keeps
// nobody waiting.
func TestUnlockWithACopy(t *testing.T) {
	store := Store{Root: t.TempDir() + "/networks"}
	l, err := store.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(store.Root+"/front", 0o755); err != nil { // so that the directory stays
		t.Fatal(err)
	}
	copied, err := unix.Dup(int(l.dir.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(copied)
	l.Unlock()
	dir, err := os.Open(store.Root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("locking again: %v", err)
	}
}
