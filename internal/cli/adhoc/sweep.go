// SPDX-License-Identifier: Apache-2.0

package adhoc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
)

// mark is in every unit that is made here, so that no other is taken for one.
const mark = "# Made by unitc run."

// sweepAge is how old a directory is before it may be one that was left: a
// program that was killed may have asked systemd for a start just before.
const sweepAge = time.Minute

// hold keeps others from taking a directory for one that was left, as long as
// this process lives.
func hold(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("flock %s: %w", dir, err)
	}
	return f, nil
}

// Sweep removes what programs have left that were killed between making a unit
// and its start; a unit that has started removes its files itself.
func Sweep() {
	dirs, _ := filepath.Glob(Prefix() + "*")
	for _, dir := range dirs {
		if name := strings.TrimPrefix(dir, Prefix()); wasLeft(dir, name) {
			unit := realm.RuntimeUnits() + "/" + name + ".service"
			if text, err := os.ReadFile(unit); err == nil && bytes.Contains(text, []byte(mark)) {
				_ = os.Remove(unit)
			}
			_ = os.RemoveAll(dir)
		}
	}
}

// wasLeft tells whether nobody uses a directory: neither who has made it nor a
// unit, which has one of its own below /run/unitc.
func wasLeft(dir, name string) bool {
	info, err := os.Stat(dir)
	if err != nil || time.Since(info.ModTime()).Abs() < sweepAge {
		return false
	}
	if _, err := os.Stat(filepath.Dir(dir) + "/" + name); err == nil {
		return false
	}
	held, err := hold(dir)
	if err != nil {
		return false
	}
	held.Close()
	return true
}
