// SPDX-License-Identifier: Apache-2.0

// Command show prints what it was started with.
package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"strings"

	_ "github.com/unitc/unitc/internal/entry"
)

func main() {
	// Without this the linker itself has no memory profile made.
	runtime.MemProfile(nil, false)
	text, _ := os.ReadFile("/proc/self/timerslack_ns")
	slack, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	_ = json.NewEncoder(os.Stdout).Encode(struct {
		Args, Env      []string
		Processors     int
		PageSize       int // of the auxiliary vector
		Slack          int // ns
		MemProfileRate int
	}{os.Args, os.Environ(), runtime.GOMAXPROCS(0), os.Getpagesize(), slack, runtime.MemProfileRate})
}
