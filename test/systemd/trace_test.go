// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// reads are the places that the generator may look at: definitions, the
// directories of unit files, and what Go's runtime and G-4 need.
var reads = []string{
	"/etc/unitc", "/run/unitc/definitions", "/usr/lib/unitc/definitions",
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
	"/dev/kmsg", "/proc/self/fd",
	"/run/unitc", // what runs without a definition
	// The runtime, for memory and processor limits; no GODEBUG stops that.
	"/sys/kernel/mm/transparent_hugepage", "/proc/self/cgroup", "/proc/self/mountinfo", "/sys/fs/cgroup",
}

var (
	openCall   = regexp.MustCompile(`\bopen(?:at)?\((?:AT_FDCWD<[^>]*>|\d+<([^>]*)>), "([^"]*)", ([A-Z_|]+)`)
	changeCall = regexp.MustCompile(`\b(?:mkdir|unlink|symlink|link|rename|mknod|fchmod|fchown)(?:at2?)?\((.*)`)
	descriptor = regexp.MustCompile(`\d+<([^>]*)>`)
)

// G-3, G-5, G-6: the generator opens nothing outside its directories and
// definitions, writes nothing outside its output directory, starts nothing and
// talks to nobody.
//
//lab:once
func TestGeneratorKeepsToItsDirectories(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"web.yaml", working+"restart: always\nvolumes: [/srv/x:/x]\nenv_file: /etc/environment\n")
	t.Cleanup(func() { os.Remove(definitions + "web.yaml.d") }) // empty by then
	place(t, definitions+"web.yaml.d/10-a.yaml", "hostname: ${NAME}\n")
	place(t, definitions+"web.env", "NAME=w\n")
	place(t, definitions+".env", "OTHER=w\n")
	place(t, definitions+"link.yaml", "-> web.yaml")
	place(t, definitions+"zero.yaml", "-> /dev/zero")
	place(t, definitions+"broken.yaml", "x: y\n")
	place(t, "/etc/systemd/system/taken.service", "[Service]\nExecStart=/bin/true\n")
	place(t, definitions+"taken.yaml", working)

	out, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	must(t, "strace", "-f", "-qq", "-y", "-s", "4096", "-e", "trace=%file,%network,%process,/^(open|mk|un|sym|link|rename|write|fch).*", "-o", trace, generator, out)
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	opens := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		_, call, _ := strings.Cut(line, " ")
		call = strings.TrimSpace(call)
		switch name, _, _ := strings.Cut(call, "("); name {
		case "execve":
			if !strings.Contains(call, generator) {
				t.Errorf("it starts a program: %s", call)
			}
		case "socket", "connect", "sendto", "sendmsg", "bind", "fork", "vfork":
			t.Errorf("it talks to somebody: %s", call)
		case "openat", "open":
			opens++
			checkOpen(t, call, out)
		case "write":
			checkPlace(t, call, descriptor.FindStringSubmatch(call), out)
		}
		if match := changeCall.FindStringSubmatch(call); match != nil {
			checkPlace(t, call, descriptor.FindStringSubmatch(call), out)
		}
	}
	if opens < 20 {
		t.Errorf("%d files opened: the trace was not understood", opens)
	}
}

func checkOpen(t *testing.T, call, out string) {
	t.Helper()
	match := openCall.FindStringSubmatch(call)
	if match == nil {
		t.Errorf("a call that this test cannot read: %s", call)
		return
	}
	path := match[2]
	if !filepath.IsAbs(path) {
		path = filepath.Join(match[1], path)
	}
	writes := strings.Contains(match[3], "O_WRONLY") || strings.Contains(match[3], "O_RDWR") || strings.Contains(match[3], "O_CREAT")
	switch {
	case path == out || strings.HasPrefix(path, out+"/"):
	case writes && path != "/dev/kmsg":
		t.Errorf("it writes outside of its directory: %s", call)
	case !slices.ContainsFunc(reads, func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }):
		t.Errorf("it reads what it should not: %s", call)
	}
}

// checkPlace holds a change to descriptors below the output directory.
func checkPlace(t *testing.T, call string, match []string, out string) {
	t.Helper()
	if match == nil || match[1] != out && !strings.HasPrefix(match[1], out+"/") && match[1] != "/dev/kmsg" {
		t.Errorf("it changes something outside of its directory: %s", call)
	}
}

// G-5, G-6: with everything but the output directory read-only and /var gone,
// the generator writes what it always writes.
//
//lab:once
func TestGeneratorOnReadOnlySystem(t *testing.T) {
	cleanReload(t)
	place(t, definitions+"web.yaml", working+"restart: always\n")
	place(t, definitions+"broken.yaml", "x: y\n")
	normal, confined := "/run/gen-normal", "/run/gen-confined"
	for _, dir := range []string{normal, confined} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	must(t, generator, normal)
	must(t, "unshare", "-m", "sh", "-ec", `
		mount --make-rprivate /
		mount -t tmpfs -o mode=000,ro none /var
		mount --bind `+confined+` `+confined+`
		for m in / /run /tmp /dev /dev/shm; do
			mountpoint -q $m || continue
			mount -o remount,bind,ro $m
		done
		! touch /run/x /etc/x /tmp/x 2>/dev/null
		exec `+generator+` `+confined)
	tree := must(t, "sh", "-c", "cd "+normal+" && find . | sort && cat *.service .unitc | sed s,"+normal+",OUT,g")
	if got := must(t, "sh", "-c", "cd "+confined+" && find . | sort && cat *.service .unitc | sed s,"+confined+",OUT,g"); got != tree || !strings.Contains(got, "web.service") {
		t.Errorf("confined it writes\n%s\nand else\n%s", got, tree)
	}
}
