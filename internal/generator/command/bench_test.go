// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/generator"
	"github.com/unitc/unitc/internal/syntax/library"
)

const benchDefinition = `rootfs: /srv/web%[1]d
command: ["/usr/sbin/nginx", "-g", "daemon off;"]
environment:
  PORT: "80%[1]d"
  MODE: production
volumes:
  - /srv/data%[1]d:/data
  - /srv/conf%[1]d:/etc/nginx:ro
mem_limit: 64m
cpus: 0.5
restart: always
systemd:
  unit:
    After: network.target
`

func BenchmarkRun(b *testing.B) {
	for _, count := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			root := b.TempDir()
			dir := filepath.Join(root, "etc/unitc")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
			for i := range count {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("web%d.yaml", i)), fmt.Appendf(nil, benchDefinition, i), 0o644); err != nil {
					b.Fatal(err)
				}
			}
			cfg := generator.Config{Root: root, Helper: "/usr/local/lib/unitc/unitc-exec", Parse: parseWith(library.Full),
				Report: func(p diag.Problem) { b.Fatal(p) }}
			b.ReportAllocs()
			for b.Loop() {
				// systemd empties the directory before each run.
				b.StopTimer()
				cfg.OutDir = b.TempDir()
				b.StartTimer()
				if err := generator.Run(cfg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
