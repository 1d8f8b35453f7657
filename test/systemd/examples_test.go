// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each example of examples/units does what its first lines say.
//
//lab:once
func TestExamples(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", runExamples)
	})
}

func runExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/units/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("the examples are %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		place(t, definitions+filepath.Base(file), string(text))
	}
	must(t, "unitc", "check", "--strict")
	reload(t)
	t.Cleanup(func() {
		for _, file := range files {
			os.Remove(definitions + filepath.Base(file))
		}
		reload(t)
	})
	for name, example := range map[string]struct{ start, stop, log, page string }{
		"hello":        {"hello.service", "hello.service", "hello from a container that systemd runs", ""},
		"web":          {"web.service", "web.service", "", "http://127.0.0.1:8080/GPL-3"},
		"worker":       {"worker@1.service worker@2.service", "worker@*.service", "worker 2 is at work", ""},
		"on-demand":    {"unitc-port@on-demand:80.socket", "unitc-port@on-demand:80.socket unitc-port@on-demand:80.service on-demand.service", "", "http://127.0.0.1:8081/GPL-3"},
		"clock.target": {"clock.target", "clock.target", "UTC", ""},
	} {
		t.Run(name, func(t *testing.T) {
			units := strings.Fields(example.start)
			must(t, "systemctl", append([]string{"start"}, units...)...)
			t.Cleanup(func() { must(t, "systemctl", append([]string{"stop"}, strings.Fields(example.stop)...)...) })
			for _, unit := range units {
				if state := property(t, unit, "ActiveState"); state != "active" {
					t.Errorf("%s is %s", unit, state)
				}
			}
			if example.page != "" {
				await(t, "the page is there", func() bool {
					out, _ := command(t, "busybox", "wget", "-q", "-O", "-", example.page)
					return strings.Contains(out, "GNU GENERAL PUBLIC LICENSE")
				})
			}
			if unit := units[len(units)-1]; example.log != "" {
				unit = strings.Replace(unit, "clock.target", "clock-reader.service", 1)
				await(t, unit+" has spoken", func() bool {
					out, _ := command(t, "journalctl", "-q", "-o", "cat", "-u", unit)
					return strings.Contains(out, example.log)
				})
			}
		})
	}
}
