// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Commit makes staged entries visible: everything is written to the disk once,
// then renamed, blobs before layers. It returns when a power cut cannot undo it.
func (s *Store) Commit(items ...Staged) error {
	for _, item := range items {
		if err := item.prepare(); err != nil {
			return fmt.Errorf("completing %s: %w", s.relPath(item.to()), err)
		}
	}
	c := &commit{items: items}
	s.commits.do(c, s.commit)
	return c.err
}

// commit is one call of Commit.
type commit struct {
	items []Staged
	err   error
}

// commitGroup lets layers that are complete at about the same time share one
// syncfs(2): those that come while it runs have the next one together. An
// fsync(2) per file would cost more than the unpacking, since ten thousand
// small files are usual, and one per layer and directory holds up those that
// are still being unpacked, because each ends the journal's transaction.
type commitGroup struct {
	mu   sync.Mutex
	next *commitRun
	run  sync.Mutex
}

type commitRun struct {
	commits []*commit
	done    chan struct{}
}

// do returns when f, begun after do was called, has seen to c.
func (g *commitGroup) do(c *commit, f func([]*commit)) {
	g.mu.Lock()
	leader := g.next == nil
	if leader {
		g.next = &commitRun{done: make(chan struct{})}
	}
	r := g.next
	r.commits = append(r.commits, c)
	g.mu.Unlock()
	if leader {
		g.run.Lock()
		g.mu.Lock()
		g.next = nil
		g.mu.Unlock()
		f(r.commits)
		g.run.Unlock()
		close(r.done)
	}
	<-r.done
}

// commit sees to a group. No layer is shown before its blob is there for good.
func (s *Store) commit(group []*commit) {
	err := s.syncFS()
	if err == nil {
		err = s.change(func() error {
			for _, dir := range []string{"blobs", "layers"} {
				if err := s.show(s.path(dir), group); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		return
	}
	for _, c := range group {
		if c.err == nil {
			c.err = err
		}
	}
}

// show renames into dir what belongs there and makes that last. What cannot be
// renamed is the fault of one commit; the others go on.
func (s *Store) show(dir string, group []*commit) error {
	shown := false
	for _, c := range group {
		for _, item := range c.items {
			if c.err != nil || filepath.Dir(item.to()) != dir {
				continue
			}
			if err := os.Rename(item.from(), item.to()); err != nil {
				c.err = fmt.Errorf("committing %s: %w", s.relPath(item.to()), err)
			}
			shown = true
		}
	}
	if !shown {
		return nil
	}
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("committing to %s: %w", s.relPath(dir), err)
	}
	return nil
}

// syncFS writes everything of the store's file system to the disk.
func (s *Store) syncFS() error {
	if err := s.disk.open(s.dir); err != nil {
		return err
	}
	return s.disk.sync()
}

// disk is the store's file system as syncfs(2) sees it.
type disk struct {
	mu  sync.Mutex
	dir *os.File
	err error
}

// open is called before the first byte is written: of an error that came before
// a descriptor was opened, and that another process was told of, the kernel says
// nothing (syncfs(2), VERSIONS).
func (d *disk) open(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir != nil {
		return nil
	}
	var err error
	d.dir, err = os.Open(dir)
	return err
}

// Close gives the store's file system free, for who wants to unmount it.
func (s *Store) Close() error {
	d := &s.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == nil {
		return nil
	}
	err := d.dir.Close()
	d.dir = nil
	return err
}

// sync writes everything to the disk. An error is told once, and nobody knows
// whose bytes were lost: nothing that this process writes is shown any more.
func (d *disk) sync() error {
	d.mu.Lock()
	dir, err := d.dir, d.err
	d.mu.Unlock() // others stage their layers meanwhile
	if err != nil {
		return err
	}
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		err = fmt.Errorf("syncfs %s: %w", dir.Name(), err)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.err = err
		return err
	}
	return nil
}
