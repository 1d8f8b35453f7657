// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A package that was taken back to an older version meets what a newer one wrote:
// what runs is told of, entered, joined and stopped, and nothing is left.
//
//lab:once
func TestStateOfALaterVersion(t *testing.T) {
	const name = "localhost/later:1"
	root, archive := t.TempDir(), t.TempDir()+"/root.tar"
	if _, err := os.Stat("/var/lib/unitc"); os.IsNotExist(err) {
		t.Cleanup(func() { must(t, "rm", "-rf", "/var/lib/unitc") })
	}
	must(t, "sh", "-c", `mkdir "$1/bin" && cp /usr/bin/busybox "$1/bin" && ln -s busybox "$1/bin/true" && chmod 755 "$1" && tar -C "$1" -cf "$2" .`, "sh", root, archive)
	must(t, "unitc", "load", "-q", "--rootfs", "--name", name, "--cmd", "/bin/busybox", "--cmd", "sleep", "--cmd", "1000", archive)
	t.Cleanup(func() { command(t, "unitc", "rmi", "--force", name); command(t, "unitc", "prune") })
	leavesNothing(t, func() {
		t.Run("run", func(t *testing.T) {
			image := scoped.define(t, "later-image", "image: "+name+"\ninit: true\npull_policy: never\nports: [\"127.0.0.1:18099:99\"]\nhealthcheck: {test: [CMD, \"true\"], interval: 1s}\nvolumes: [later-data:/data]").start()
			bare := placement{"service", "direct"}.define(t, "later-bare", endless+"\ninit: true").start()
			changed := 0
			for _, dir := range []string{"/run/unitc", "/var/lib/unitc"} {
				if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
					if err != nil || !d.Type().IsRegular() || filepath.Ext(path) != ".json" || strings.Contains(path, "/blobs/") {
						return err
					}
					data, err := os.ReadFile(path)
					if rest, ok := bytes.CutPrefix(bytes.TrimSpace(data), []byte("{")); ok && err == nil {
						changed++
						return os.WriteFile(path, append([]byte(`{"ofALaterVersion":{"a":[1,"x"]},`), rest...), 0o600)
					}
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
			if changed < 6 {
				t.Errorf("only %d files have a member more", changed)
			}
			for _, c := range []*container{image, bare} {
				must(t, "unitc", "exec", c.name, "/bin/busybox", "true")
				if out := must(t, "unitc", "ps", c.name); !strings.Contains(out, "running") {
					t.Error(out)
				}
				must(t, "unitc", "inspect", c.name)
				must(t, "unitc", "stats", "--no-stream", c.name)
				must(t, "unitc", "diff", c.name)
			}
			must(t, "unitc", "port", image.name)
			must(t, "unitc", "network", "inspect", "unitc0")
			must(t, "unitc", "volume", "inspect", "later-data")
			must(t, "unitc", "images")
			must(t, "unitc", "prune")
			must(t, "unitc", "doctor")
			second := scoped.define(t, "later-second", endless+"\ninit: true\nports: [\"127.0.0.1:18098:98\"]").start()
			must(t, "systemctl", "restart", image.unit())
			image.stop()
			bare.stop()
			second.stop()
			must(t, "unitc", "volume", "rm", "later-data")
		})
	})
}
