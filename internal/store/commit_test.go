// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What comes while a sync runs shares the next one, and nobody returns before a
// sync that began after it came.
func TestCommitsShareASync(t *testing.T) {
	var g commitGroup
	running, goOn := make(chan struct{}), make(chan struct{})
	var sizes []int // written by one leader at a time
	see := func(group []*commit) {
		sizes = append(sizes, len(group))
		for _, c := range group {
			c.err = os.ErrExist
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		g.do(&commit{}, func(group []*commit) {
			close(running)
			<-goOn
			see(group)
		})
	})
	<-running
	const late = 5
	for range late {
		wg.Go(func() {
			c := &commit{}
			g.do(c, see)
			if c.err == nil {
				t.Error("it returned, and no sync has seen to it")
			}
		})
	}
	waiting := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.next == nil {
			return 0
		}
		return len(g.next.commits)
	}
	for end := time.Now().Add(time.Minute); waiting() < late; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait for the next sync, not %d", waiting(), late)
		}
	}
	close(goOn)
	wg.Wait()
	if len(sizes) != 2 || sizes[0] != 1 || sizes[1] != late {
		t.Errorf("syncs for %d commits", sizes)
	}
}

// stage makes a layer and its blob ready for a commit.
func stage(t *testing.T, s *Store, n int) *commit {
	t.Helper()
	lock, err := s.Acquire(context.Background(), hex(n), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lock.Unlock)
	l, err := s.StageLayer(lock)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.StageBlob(hex(n + 2000))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	if err := errors.Join(l.prepare(), b.prepare()); err != nil {
		t.Fatal(err)
	}
	return &commit{items: []Staged{b, l}}
}

// One of a group that cannot be shown is not the others' fault, and a layer
// whose blob cannot be shown stays where it is.
func TestCommitGroupWithAFault(t *testing.T) {
	s := open(t)
	var group []*commit
	for n := 1; n <= 4; n++ {
		group = append(group, stage(t, s, n))
	}
	// rename(2) replaces no directory that has something in it, and no directory by a file.
	if err := os.MkdirAll(filepath.Join(s.path("layers", hex(2)), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.path("blobs", hex(2003)), 0o700); err != nil {
		t.Fatal(err)
	}
	s.commit(group)
	for i, place := range []string{"", "layers/" + hex(2), "blobs/" + hex(2003), ""} {
		err := group[i].err
		if place == "" {
			if err != nil || !s.HasLayer(hex(i+1)) || !s.HasBlob(hex(i+2001)) {
				t.Errorf("layer %d: %v", i+1, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), place) {
			t.Errorf("layer %d: error %v does not name %s", i+1, err, place)
		}
	}
	if s.HasLayer(hex(3)) {
		t.Error("a layer is shown whose blob is not")
	}
}

// What could not be written once is not shown later: the kernel tells an error
// once, and not whose bytes it was about.
func TestSyncErrorStays(t *testing.T) {
	var d disk
	if err := d.open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	whole := d.dir
	if err := d.sync(); err != nil {
		t.Fatal(err)
	}
	gone, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	d.dir = gone
	if err := d.sync(); err == nil {
		t.Error("a descriptor that is closed is synced")
	}
	d.dir = whole
	if err := d.sync(); err == nil {
		t.Error("the error is forgotten")
	}
}
