// SPDX-License-Identifier: Apache-2.0

// Package idrange gives each unit a range of 65,536 user and group ids of its
// own. A unit's place is a hash of its name, so it is the same at every start
// and nothing has to be kept on disk; a claim below /run settles collisions
// for the time of the boot. It never gives out what nspawn, /etc/subuid,
// /etc/subgid or a user of the host has.
package idrange

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/waiting"
)

// Size of a range, in ids: what an image made elsewhere expects.
const Size = 65536

// The ids that systemd sets aside for containers (UIDS-GIDS of systemd,
// "Container UID range").
const (
	first = 524288
	last  = 1879048191
	slots = (last + 1 - first) / Size
)

// Range is Size ids of the host, from Start.
type Range struct{ Start uint32 }

// Host is where the allocator looks; tests put other paths.
type Host struct {
	Claims  string   // directory of this boot's claims
	Subids  []string // files of name:start:count
	Passwds []string // files whose third field is an id
	Nspawn  string   // nspawn's lock files, named by first id
}

// Default is the running host.
func Default() Host {
	return Host{
		Claims:  "/run/unitc/.ids",
		Subids:  []string{"/etc/subuid", "/etc/subgid"},
		Passwds: []string{"/etc/passwd", "/etc/group"},
		Nspawn:  "/run/systemd/nspawn-uid",
	}
}

// Claim gives the unit's range, the one it had before in this boot if it had
// one. Two claims at once are settled by a lock on the directory.
func (h Host) Claim(unit string) (Range, error) {
	if err := os.MkdirAll(h.Claims, 0o700); err != nil {
		return Range{}, fmt.Errorf("claiming an id range: %w", err)
	}
	mine := filepath.Join(h.Claims, filepath.Base(unit))
	if r, err := h.claimed(mine, unit); err == nil {
		return r, nil
	}
	dir, err := os.Open(h.Claims)
	if err != nil {
		return Range{}, fmt.Errorf("claiming an id range: %w", err)
	}
	defer dir.Close() // and with it the lock
	if err := waiting.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return Range{}, fmt.Errorf("locking %s: %w", h.Claims, err)
	}
	if r, err := h.claimed(mine, unit); err == nil {
		return r, nil
	}
	starts, err := h.candidates(unit)
	if err != nil {
		return Range{}, err
	}
	for start := range starts {
		number := filepath.Join(h.Claims, strconv.FormatUint(uint64(start), 10))
		err := os.Symlink(unit, number)
		if errors.Is(err, fs.ErrExist) {
			// A claim that was killed before its second link is still ours.
			if owner, err := os.Readlink(number); err != nil || owner != unit {
				continue
			}
		} else if err != nil {
			return Range{}, fmt.Errorf("claiming an id range: %w", err)
		}
		// A former one that is somebody else's by now.
		if former, err := os.Readlink(mine); err == nil && former != filepath.Base(number) {
			_ = os.Remove(filepath.Join(h.Claims, filepath.Base(former)))
		}
		if err := os.Remove(mine); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Range{}, fmt.Errorf("claiming an id range: %w", err)
		}
		if err := os.Symlink(filepath.Base(number), mine); err != nil {
			return Range{}, fmt.Errorf("claiming an id range: %w", err)
		}
		return Range{start}, nil
	}
	return Range{}, errors.New("no free range of 65,536 ids is left between 524288 and 1879048191; look at /etc/subuid, or write `userns_mode: host`")
}

// Peek gives the range that a claim would give now, and takes nothing: for
// those who show a plan. Other users' claims may not be readable to them.
func (h Host) Peek(unit string) (Range, error) {
	if r, err := h.claimed(filepath.Join(h.Claims, filepath.Base(unit)), unit); err == nil {
		return r, nil
	}
	starts, err := h.candidates(unit)
	if err != nil {
		return Range{}, err
	}
	for start := range starts {
		owner, err := os.Readlink(filepath.Join(h.Claims, strconv.FormatUint(uint64(start), 10)))
		if err != nil || owner == unit {
			return Range{start}, nil
		}
	}
	return Range{}, errors.New("no free range of 65,536 ids is left")
}

// candidates gives the starts of ranges that no other program has, beginning
// with the one that the unit's name leads to: it is likely to get that again.
func (h Host) candidates(unit string) (iter.Seq[uint32], error) {
	taken, err := h.taken()
	if err != nil {
		return nil, err
	}
	hash := fnv.New64a()
	hash.Write([]byte(unit))
	return func(yield func(uint32) bool) {
		for i := range uint64(slots) {
			start := uint32(first + (hash.Sum64()+i)%slots*Size)
			if !taken.overlaps(start) && !h.nspawnHas(start) && !yield(start) {
				return
			}
		}
	}, nil
}

// claimed reads an earlier claim: both links must agree, so that a start
// killed between the two makes a new one.
func (h Host) claimed(mine, unit string) (Range, error) {
	number, err := os.Readlink(mine)
	if err != nil {
		return Range{}, err
	}
	owner, err := os.Readlink(filepath.Join(h.Claims, filepath.Base(number)))
	if err != nil || owner != unit {
		return Range{}, errors.Join(err, fs.ErrNotExist)
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n < first || n > last || n%Size != 0 {
		return Range{}, fs.ErrNotExist
	}
	if h.othersChanged(mine) {
		taken, err := h.taken()
		if err != nil {
			return Range{}, err
		}
		if taken.overlaps(uint32(n)) {
			return Range{}, fs.ErrNotExist
		}
		// It need not be looked at again.
		_ = unix.UtimesNanoAt(unix.AT_FDCWD, mine, nil, unix.AT_SYMLINK_NOFOLLOW)
	}
	return Range{uint32(n)}, nil
}

// othersChanged tells whether ids may have been given to somebody since a claim: a
// user that has been made since has subordinate ids, with which they could signal
// what runs under them.
func (h Host) othersChanged(mine string) bool {
	var claim, other unix.Stat_t
	if err := unix.Lstat(mine, &claim); err != nil {
		return true
	}
	for _, file := range slices.Concat(h.Subids, h.Passwds) {
		// The time of a change is the kernel's, and nobody's to set.
		if err := unix.Stat(file, &other); err == nil && other.Ctim.Nano() >= claim.Ctim.Nano() {
			return true
		}
	}
	return false
}

func (h Host) nspawnHas(start uint32) bool {
	_, err := os.Stat(filepath.Join(h.Nspawn, strconv.FormatUint(uint64(start), 10)))
	return err == nil
}

// span is ids from first to last.
type span struct{ first, last uint64 }

type spans []span

func (s spans) overlaps(start uint32) bool {
	end := uint64(start) + Size - 1
	for _, t := range s {
		if uint64(start) <= t.last && t.first <= end {
			return true
		}
	}
	return false
}

// taken collects what others have been given on this host. Lines that mean
// nothing are passed over: these files belong to other programs.
func (h Host) taken() (spans, error) {
	var all spans
	for _, file := range h.Subids {
		err := fields(file, func(f []string) {
			if len(f) < 3 {
				return
			}
			start, err1 := strconv.ParseUint(f[1], 10, 32)
			count, err2 := strconv.ParseUint(f[2], 10, 33)
			if err1 == nil && err2 == nil && count > 0 {
				all = append(all, span{start, start + count - 1})
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for _, file := range h.Passwds {
		err := fields(file, func(f []string) {
			if len(f) < 3 {
				return
			}
			if id, err := strconv.ParseUint(f[2], 10, 32); err == nil && id >= first && id <= last {
				all = append(all, span{id, id})
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func fields(path string, each func([]string)) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the ranges of others: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if line := lines.Text(); !strings.HasPrefix(line, "#") {
			each(strings.Split(line, ":"))
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}
