// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cacheDir is outside the checkout, so that clean checkouts share it.
func cacheDir() string {
	if dir := os.Getenv("UNITC_LAB_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/unitc-lab"
}

// mountpoint is an empty directory which runs mount on, each in a mount
// namespace of its own: nothing of that shows, or stays, outside.
func mountpoint() string { return filepath.Join(cacheDir(), "mnt") }

// cached returns the path of the named entry, made by build when it is absent.
// build works in a temporary directory that is renamed when it is whole, so an
// interrupted build leaves nothing that looks finished; the lock makes runs
// that start together build once.
func cached(name string, build func(dir string) error) (string, error) {
	final := filepath.Join(cacheDir(), name)
	if os.Chtimes(final, time.Time{}, time.Now()) == nil {
		return final, nil
	}
	if err := os.MkdirAll(mountpoint(), 0o755); err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(cacheDir(), name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	temp := final + ".new"
	// The lock is ours, so whoever left this behind is gone.
	if err := os.RemoveAll(temp); err != nil {
		return "", err
	}
	if err := os.Mkdir(temp, 0o755); err != nil {
		return "", err
	}
	if err := build(temp); err != nil {
		os.RemoveAll(temp)
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	prune(name)
	return final, os.Rename(temp, final)
}

// prune removes entries of the same kind that nobody has used for a week: other
// checkouts may be at other recipes, but not for ever.
func prune(name string) {
	kind := name[:strings.LastIndex(name, "-")+1]
	entries, _ := filepath.Glob(filepath.Join(cacheDir(), kind+"*"))
	for _, entry := range entries {
		info, err := os.Stat(entry)
		if err == nil && info.IsDir() && time.Since(info.ModTime()) > 7*24*time.Hour {
			os.RemoveAll(entry)
			os.Remove(entry + ".lock")
		}
	}
}

func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

func cmdClean([]string) error { return os.RemoveAll(cacheDir()) }
