// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/syntax/library"
)

// parse reads an input with the whole library.
func parse(in Input) definition.File {
	in.Library = library.Full
	return Parse(in)
}

func parseText(name, text string) Input {
	return Input{Name: name, Dir: "/etc/unitc", Layers: []Layer{{Path: name + ".yaml", Data: []byte(text)}}}
}

// bombs are files that are small to write and large to read.
func bombs() map[string]string {
	var laughs, wide strings.Builder
	laughs.WriteString("x-a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&laughs, "x-a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	wide.WriteString("x-a: &a [" + strings.Repeat("1,", 10_000) + "1]\nvolumes: [" + strings.Repeat("*a,", 10_000) + "*a]\n")
	long := strings.Repeat("x-b: &b [*a]\n", (10<<20)/13)
	merges := "x-m0: &m0 {k0: v}\n"
	for i := 1; i < 3000; i++ {
		merges += fmt.Sprintf("x-m%d: &m%d {<<: [*m%d, *m%d], k%d: v}\n", i, i, i-1, i-1, i)
	}
	return map[string]string{
		"laughs":      laughs.String() + "rootfs: host\nvolumes: *a39\n",
		"wide":        wide.String(),
		"ten MB":      "x-a: &a 1\n" + long,
		"merges":      merges,
		"brackets":    "a: " + strings.Repeat("[", 1<<19),
		"braces":      "a: " + strings.Repeat("{", 9_000),
		"nested maps": strings.Repeat("{a: ", 9_000) + "1" + strings.Repeat("}", 9_000),
		"dashes":      "a:\n  " + strings.Repeat("- ", 9_000) + "x",
		"questions":   strings.Repeat("? ", 9_000) + "x",
		"commas":      "a: [" + strings.Repeat("a,", 1<<19-10) + "a]",
		"list":        "a: [" + strings.Repeat("a,", 99_000) + "a]",
		"keys":        manyKeys(60_000),
		"same keys":   strings.Repeat("environment: {}\n", 60_000),
		"one string":  "command: '" + strings.Repeat("x", 1<<20-20) + "'",
		"plain lines": "command: a" + strings.Repeat("\n b", 150_000/2),
		"comments":    strings.Repeat("# c\n", 190_000) + "rootfs: host\n",
		"anchors":     strings.Repeat("- &a x\n", 60_000),
		"tags":        "a: " + strings.Repeat("!x ", 10_000) + "b",
		"quotes":      "a: \"" + strings.Repeat(`\x41`, 200_000),
		"colons":      strings.Repeat(":", 190_000),
		"cycle":       "a: &a [*a]\nb: &b {c: *b}\n<<: &m {<<: *m}\n",
		"self key":    "&a a: *a\n? &k [*k]\n: v\n",
		"unclosed":    strings.Repeat("a: 'x\n", 60_000),
		"bad at end":  strings.Repeat("a: b\n", 12_000) + "]\n",
		"deep blocks": deepBlocks(),
		"percent":     "%YAML 1.1\n%TAG ! tag:x,2000:\n---\na: !b c\n",
		"directives":  strings.Repeat("%A b\n", 100_000) + "---\na: b",
		"env":         "environment: [" + strings.Repeat("a=b,", 40_000) + "]",
		"unknown":     manyKeys(30_000) + "rootfs: host",
		"binary":      "a: !!binary " + strings.Repeat("x", 1<<19),
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "comman%d: x\n", i)
	}
	return b.String()
}

func deepBlocks() string {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// cpuTime is what this process has used: other processes do not slow it.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestBombs holds every hostile file to its time and memory.
func TestBombs(t *testing.T) {
	for name, text := range bombs() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := cpuTime(t)
			file := parse(parseText("web", text))
			took := cpuTime(t) - start
			runtime.ReadMemStats(&after)
			if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 256 {
				t.Errorf("allocated %d MiB", allocated)
			}
			if took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			if !file.Problems.HasErrors() && name != "comments" {
				t.Error("no error")
			}
			if len(file.Services) != 1 || file.Services[0].Name != "web" {
				t.Errorf("services = %v", file.Services)
			}
			t.Logf("%v, %d MiB allocated, %d problems, first: %.200s", took, (after.TotalAlloc-before.TotalAlloc)>>20, len(file.Problems), file.Problems.String())
		})
	}
}
