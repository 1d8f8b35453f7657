// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
)

// withoutMounts takes mounts at and below places out of the configuration, so
// that what the image has there is used.
func withoutMounts(s *specs.Spec, places ...string) {
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool {
		return slices.ContainsFunc(places, func(p string) bool { return m.Destination == p || strings.HasPrefix(m.Destination, p+"/") })
	})
}

// pathAttacks are about names that the attacker has made.
var pathAttacks = []attack{
	{"racing-mount-destination", "2021-30465, 2024-45310, 2026-41568, 2026-42306",
		"threads exchange a directory of a shared volume with a link to the host while mounts are made below it", "in-root", nil, "",
		func(t *testing.T, c *target) bool { return raceMounts(t, c.hostIDs()) }},
	{"mount-through-a-link", "2019-18837, 2022-23648, 2024-5154, 2025-9566, 2025-24965",
		"a mount's destination is a link of the image to the host", "in-root", nil, "",
		func(t *testing.T, c *target) bool {
			d := decoy(t)
			c.hostIDs().link(d, "srv")
			c.service.Volumes = []definition.Volume{{Type: definition.VolumeTmpfs, Target: "/srv/made/deep"}}
			_, _ = c.start("cwd")
			return touched(t, d)
		}},
	{"dev-is-a-link", "2026-41579, 2026-47766, 2026-88265", "the image's /dev is a link to the host, where nodes and links would be made", "in-root,own-dev", nil, "",
		func(t *testing.T, c *target) bool {
			d := decoy(t)
			c.hostIDs().link(d, "dev")
			c.spec = func(s *specs.Spec) { withoutMounts(s, "/dev") }
			_, _ = c.start("cwd")
			return touched(t, d)
		}},
	{"console-through-a-link", "2025-52565, 2026-88264", "the image's /dev is a link to the host, where /dev/console would be made", "in-root,own-dev", nil, "",
		func(t *testing.T, c *target) bool {
			d := decoy(t)
			c.hostIDs().link(d, "dev")
			c.spec = func(s *specs.Spec) {
				withoutMounts(s, "/dev/shm", "/dev/mqueue")
				s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev" })
				s.Process.Terminal = true
			}
			_, _ = c.start("cwd")
			_, err := os.Lstat(d + "/console")
			return err == nil
		}},
	{"null-is-a-link", "2025-31133, 2025-54867, 2025-62161, 2025-62596", "the image's /dev/null is a link to a sysctl, which a masked path then shows and lets be written", "own-null", nil, "",
		func(t *testing.T, c *target) bool {
			c.hostIDs().link("/proc/sys/kernel/domainname", "dev/null")
			c.spec = func(s *specs.Spec) {
				withoutMounts(s, "/dev")
				s.Linux.MaskedPaths = []string{"/proc/keys"}
			}
			return c.see("write=/proc/keys", "read=/proc/sys/kernel/domainname")["read=/proc/sys/kernel/domainname"] == "pwned\n"
		}},
	{"racing-null", "2025-31133, 2025-54867", "threads exchange the image's /dev/null with that link while paths are masked", "own-null", nil, "",
		func(t *testing.T, c *target) bool { return raceNull(t, c) }},
	{"racing-console", "2025-52565, 2025-62161, 2026-88264", "threads exchange the image's /dev with a link to the host while /dev/console is made", "in-root,own-dev", nil, "",
		func(t *testing.T, c *target) bool { return raceConsole(t, c) }},
	{"procfs-redirect", "2025-52881, 2019-16884", "the image's own /proc takes what the runtime writes about the process", "private-procfs", nil, "",
		func(t *testing.T, c *target) bool {
			c.hostIDs().write("proc/self/oom_score_adj", "fake")
			c.spec = func(s *specs.Spec) {
				withoutMounts(s, "/proc")
				s.Linux.ReadonlyPaths, s.Linux.Sysctl = nil, nil
				score := 500
				s.Process.OOMScoreAdj = &score
			}
			c.see("cwd")
			return contents(t, c.root+"/proc/self/oom_score_adj") != "fake"
		}},
	{"mount-over-proc", "2019-16884, 2019-19921", "a volume is mounted over /proc/sys", "refuse-proc", nil, "",
		func(t *testing.T, c *target) bool {
			fake := t.TempDir()
			must(t, os.Mkdir(fake+"/kernel", 0o755))
			must(t, os.WriteFile(fake+"/kernel/core_pattern", []byte("fake"), 0o644))
			c.hostIDs().service.Volumes = []definition.Volume{{Type: definition.VolumeBind, Source: fake, Target: "/proc/sys"}}
			seen, err := c.start("read=/proc/sys/kernel/core_pattern")
			return err == nil && seen["read=/proc/sys/kernel/core_pattern"] == "fake"
		}},
	{"proc-is-a-link", "2019-19921, 2023-27561, 2023-28642", "the image's /proc is a link, so that what is read-only and masked lies elsewhere", "readonly-paths,verify-privileges", nil, "",
		func(t *testing.T, c *target) bool {
			must(t, os.Mkdir(c.root+"/tmp/fake", 0o777))
			c.hostIDs().link("/tmp/fake", "proc")
			seen, err := c.start("open-w=/proc/sys/kernel/core_pattern", "open-w=/tmp/fake/sys/kernel/core_pattern")
			return err == nil && (seen["open-w=/proc/sys/kernel/core_pattern"] == "ok" || seen["open-w=/tmp/fake/sys/kernel/core_pattern"] == "ok")
		}},
	{"names-through-a-link", "2024-9341, 2024-9407, 2024-1753", "the image's /etc/passwd is a link to the host's", "in-root", nil, "",
		func(t *testing.T, c *target) bool {
			d := decoy(t)
			must(t, os.WriteFile(d+"/passwd", []byte("root:x:0:0::/home/of-the-host:/bin/sh\n"), 0o644))
			c.hostIDs().link(d+"/passwd", "etc/passwd")
			seen, err := c.start("env")
			return err == nil && strings.Contains(seen["env"], "of-the-host")
		}},
	{"endless-names", "2026-47262, 2025-4437", "the image's /etc/passwd is of a size that nobody can read", "name-file-limit", nil, "",
		func(t *testing.T, c *target) bool {
			c.write("etc/passwd", "web:x:5:5::/:/bin/sh\n")
			must(t, os.Truncate(c.root+"/etc/passwd", 64<<20))
			_, err := c.start("cwd")
			return err == nil || !strings.Contains(err.Error(), "10 MiB")
		}},
	{"hostile-home", "2022-4318", "a home directory of the image's that is no path", "clean-home", nil, "",
		func(t *testing.T, c *target) bool {
			c.write("etc/passwd", "root:x:0:0::no/path:/bin/sh\n")
			return strings.Contains(c.one("env"), "HOME=no/path")
		}},
	{"nul-in-a-home", "2022-4318", "a home directory of the image's has a NUL byte, so that nothing can be started", "clean-home", nil, "",
		func(t *testing.T, c *target) bool {
			c.write("etc/passwd", "root:x:0:0::/\x00LD_PRELOAD=/evil.so:/bin/sh\n")
			seen, err := c.start("env")
			return err != nil || !strings.Contains(seen["env"]+"\n", "HOME=/\n") || strings.Contains(seen["env"], "evil")
		}},
	{"copy-out-of-the-host", "2024-9675, 2024-11218", "a tmpfs that begins with a copy has a link of the image to the host for its destination", "copy-in-root", nil, "",
		func(t *testing.T, c *target) bool {
			d := decoy(t)
			c.hostIDs().link(d, "srv")
			must(t, os.MkdirAll(c.root+d, 0o755)) // so that the destination is there, inside
			c.spec = func(s *specs.Spec) {
				s.Mounts = append(s.Mounts, specs.Mount{Destination: "/srv", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
			}
			seen, err := c.start("read=/srv/secret", "read="+d+"/secret")
			return err == nil && (seen["read=/srv/secret"] == "of the host" || seen["read="+d+"/secret"] == "of the host")
		}},
	{"directory-through-a-link", "2026-55686", "the working directory is to be made below a link of the image to the host", "",
		func(c *target) {
			c.service.Volumes = []definition.Volume{{Type: definition.VolumeBind, Source: c.dir, Target: "/host"}}
		}, "what the link leads to is a volume, and the payload makes it",
		func(t *testing.T, c *target) bool {
			d := c.dir + "/decoy"
			must(t, os.Mkdir(d, 0o777))
			must(t, os.WriteFile(d+"/secret", []byte("of the host"), 0o644))
			probe := "create=made"
			if c.loose {
				probe = "create=/host/decoy/made"
			} else {
				c.link(d, "work")
				c.service.WorkingDir = "/work/made"
			}
			_, _ = c.hostIDs().start(probe)
			return touched(t, d)
		}},
}

// raceMounts starts containers that share a volume with an attacker and tells
// whether one has made anything on the host.
func raceMounts(t *testing.T, c *target) bool {
	shared, d := t.TempDir(), decoy(t)
	link, dir := shared+"/link", shared+"/dir"
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Symlink(d, link))
	defer exchange(link, dir)()
	c.service.Volumes = []definition.Volume{
		{Type: definition.VolumeBind, Source: shared, Target: "/vol"},
		{Type: definition.VolumeTmpfs, Target: "/vol/dir/a/b"},
	}
	for end := c.until(); time.Now().Before(end); {
		_, _ = c.start("create=/vol/dir/a/b/inside")
		if touched(t, d) {
			return true
		}
		// What a start made inside the volume goes, so that the next races again.
		_ = os.RemoveAll(dir + "/a")
		_ = os.RemoveAll(link + "/a")
	}
	return false
}

// exchange has threads swap two names until the function that it gives is called.
func exchange(a, b string) func() {
	var attackers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		attackers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
				}
			}
		})
	}
	return func() { close(stop); attackers.Wait() }
}

// raceConsole starts containers with a terminal while their /dev is swapped for a
// link to the host, and tells whether anything was made there.
func raceConsole(t *testing.T, c *target) bool {
	d := decoy(t)
	c.hostIDs().spec = func(s *specs.Spec) {
		withoutMounts(s, "/dev/shm", "/dev/mqueue")
		s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev" })
		s.Process.Terminal = true
	}
	must(t, os.Symlink(d, c.root+"/evil"))
	defer exchange(c.root+"/dev", c.root+"/evil")()
	for end := c.until(); time.Now().Before(end); {
		_, _ = c.start("cwd")
		if touched(t, d) {
			return true
		}
	}
	return false
}

// raceNull does so with /dev/null, which hides a masked path, and a link to a sysctl.
func raceNull(t *testing.T, c *target) bool {
	c.write("dev/null", "")
	must(t, os.Symlink("/proc/sys/kernel/domainname", c.root+"/dev/evil"))
	c.hostIDs().spec = func(s *specs.Spec) {
		withoutMounts(s, "/dev")
		s.Linux.MaskedPaths = []string{"/proc/keys"}
	}
	defer exchange(c.root+"/dev/null", c.root+"/dev/evil")()
	for end := c.until(); time.Now().Before(end); {
		seen, err := c.start("write=/proc/keys", "read=/proc/sys/kernel/domainname")
		if err == nil && seen["read=/proc/sys/kernel/domainname"] == "pwned\n" {
			return true
		}
	}
	return false
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}
