// SPDX-License-Identifier: Apache-2.0

// Command show prints what it was started with.
package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/unitc/unitc/internal/entry"
	"github.com/unitc/unitc/internal/slack"
)

func main() {
	// Without this the linker itself has no memory profile made.
	runtime.MemProfile(nil, false)
	runtime.LockOSThread() // it is the first one, which /proc/self is
	began := ownSlack()
	slack.Restore()
	var files syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files)
	entry.RestoreLimits()
	if len(os.Args) > 1 && os.Args[1] == "-exec" {
		_ = syscall.Exec("/bin/sh", []string{"sh", "-c", "ulimit -Sn; ulimit -Hn"}, nil)
	}
	_ = json.NewEncoder(os.Stdout).Encode(struct {
		Args, Env      []string
		Processors     int
		PageSize       int // of the auxiliary vector
		Slack          int // ns
		Restored       int // the slack of what it starts
		MemProfileRate int
		Files          uint64 // that may be open
	}{os.Args, os.Environ(), runtime.GOMAXPROCS(0), os.Getpagesize(), began, ownSlack(), runtime.MemProfileRate, files.Cur})
}

func ownSlack() int {
	text, _ := os.ReadFile("/proc/self/timerslack_ns")
	ns, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return ns
}
