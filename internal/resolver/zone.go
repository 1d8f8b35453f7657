// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/unitc/unitc/internal/network/lease"
)

// zone is what unitc's records say, read again whenever one comes or goes.
type zone struct {
	store lease.Store
	root  string
	// over tells of a record whether its container has ended, and is yet to be swept up
	// after; nil = none has.
	over func(*lease.Record) bool

	mu       sync.Mutex
	looks    looks
	seen     map[string]state // of each network's directory
	networks map[string]*members
}

// state is what a directory's time was when it was read.
type state struct {
	changed time.Time
	// settled: the time was older than the clock's grain, so that no later change
	// can bear it too. Nor can it bear one to come, of a clock that was set back since.
	settled bool
}

// grain is longer than the tick by which the kernel stamps files.
const grain = 20 * time.Millisecond

// members are those of one network.
type members struct {
	network *lease.Network
	records []lease.Record
	byName  map[string][]int
	byAddr  map[netip.Addr]int
	there   map[string]bool // containers
}

func newZone(root string) *zone {
	return &zone{store: lease.Store{Root: root}, root: root, seen: map[string]state{}, networks: map[string]*members{}}
}

// looks bounds how often it is looked what has changed, which takes most of an answer's
// time: where thousands ask in a second, what was known a millisecond ago is as good. A record
// is there some milliseconds before its container runs.
type looks struct {
	left int
	last time.Time
}

const mostLooks, lookPause = 100, time.Millisecond

func (l *looks) take(now time.Time) bool {
	if gone := now.Sub(l.last) / lookPause; gone > 0 {
		l.left, l.last = int(min(time.Duration(l.left)+gone, mostLooks)), now
	}
	if l.left == 0 {
		return false
	}
	l.left--
	return true
}

// refresh reads what has changed: a record that is written or removed gives
// its directory a new time.
func (z *zone) refresh() {
	if !z.looks.take(time.Now()) {
		return
	}
	entries, err := os.ReadDir(z.root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // no descriptors left, say: what is known is better than nothing
	}
	there := map[string]bool{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		there[e.Name()] = true
		now := time.Now()
		info, err := os.Stat(filepath.Join(z.root, e.Name()))
		if err != nil {
			continue
		}
		changed := info.ModTime()
		if old := z.seen[e.Name()]; old.settled && old.changed.Equal(changed) {
			continue
		}
		if m, err := z.read(e.Name()); err == nil {
			z.networks[e.Name()], z.seen[e.Name()] = m, state{changed, now.Sub(changed).Abs() > grain}
		}
	}
	for name := range z.networks {
		if !there[name] {
			delete(z.networks, name)
			delete(z.seen, name)
		}
	}
}

func (z *zone) read(name string) (*members, error) {
	n, err := z.store.Network(name)
	if err != nil {
		return nil, err
	}
	records, err := z.store.Records(name)
	if err != nil {
		return nil, err
	}
	if n.Driver == lease.Pasta {
		records = nil // nobody reaches another one by it
	}
	m := &members{network: n, records: records, byName: map[string][]int{}, byAddr: map[netip.Addr]int{}, there: map[string]bool{}}
	for i := range records {
		r := &records[i]
		m.there[r.Container] = true
		links := make(map[string]string, len(r.Links))
		for name, to := range r.Links {
			links[strings.ToLower(name)] = strings.ToLower(to)
		}
		r.Links = links
		for _, name := range r.Names() {
			name = strings.ToLower(name)
			m.byName[name] = append(m.byName[name], i)
		}
		for _, a := range r.Addresses() {
			m.byAddr[a] = i
		}
	}
	return m, nil
}

// asker is who asks, and what it may see.
type asker struct {
	record   *lease.Record
	networks []*members
	internal bool // none of its networks leads out
	over     func(*lease.Record) bool
}

// who finds the container behind an address; nil = none of ours.
func (z *zone) who(client netip.Addr) *asker {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.refresh()
	var a *asker
	for _, m := range z.networks {
		if i, ok := m.byAddr[client]; ok {
			a = &asker{record: &m.records[i], over: z.over}
		}
	}
	if a == nil {
		return nil
	}
	a.internal = true
	for _, m := range z.networks {
		if m.there[a.record.Container] {
			a.networks = append(a.networks, m)
			a.internal = a.internal && m.network.Internal
		}
	}
	return a
}

// lookup gives the addresses behind a name, and whether there is such a name.
func (a *asker) lookup(name string) (addresses []netip.Addr, found bool) {
	if other := a.record.Links[name]; other != "" {
		name = other
	}
	for _, m := range a.networks {
		for _, i := range m.byName[name] {
			if a.over != nil && a.over(&m.records[i]) {
				continue
			}
			found = true
			addresses = append(addresses, m.records[i].Addresses()...)
		}
	}
	return addresses, found
}

// reverse gives the name behind an address; ours tells whether the address is
// of one of the asker's networks at all.
func (a *asker) reverse(address netip.Addr) (name string, ours bool) {
	for _, m := range a.networks {
		if i, ok := m.byAddr[address]; ok {
			return m.records[i].Container, true
		}
		for _, s := range m.network.Subnets {
			ours = ours || s.Prefix.Contains(address)
		}
	}
	return "", ours
}

// hostServers are those of the host's resolv.conf, read when it changes.
type hostServers struct {
	path string
	mu   sync.Mutex
	mark fileMark
	list []string
}

// fileMark tells one state of a file from another.
type fileMark struct {
	ino   uint64
	size  int64
	mtime time.Time
}

// local is asked where no server is named (resolv.conf(5), nameserver).
var local = []string{"127.0.0.1"}

func (h *hostServers) get() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	info, err := os.Stat(h.path)
	if err != nil {
		return local
	}
	mark := fileMark{size: info.Size(), mtime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		mark.ino = st.Ino
	}
	if mark == h.mark {
		return h.list
	}
	data, err := os.ReadFile(h.path)
	if err != nil {
		return local
	}
	h.list, _, _ = lease.ParseResolv(string(data))
	if len(h.list) == 0 {
		h.list = local
	}
	// As with the records, a later change may bear the same time.
	if h.mark = mark; now.Sub(mark.mtime).Abs() <= grain {
		h.mark = fileMark{}
	}
	return h.list
}
