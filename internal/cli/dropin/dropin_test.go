// SPDX-License-Identifier: Apache-2.0

package dropin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
)

func TestProblems(t *testing.T) {
	ofService := &definition.Service{System: definition.System{Cgroup: definition.CgroupService}}
	for name, c := range map[string]struct {
		files map[string]string // below /etc/systemd/system, or absolute
		unit  string
		s     *definition.Service
		want  []string // "file:line name"
	}{
		"sandbox":     {map[string]string{"web.service.d/x.conf": "# [Service]\nUser=x\n[Unit]\nUser=x\n[Service]\n;User=x\nSystemCallFilter = @system-service\n"}, "web.service", nil, []string{"/etc/systemd/system/web.service.d/x.conf:7 SystemCallFilter"}},
		"continued":   {map[string]string{"web.service.d/x.conf": "[Service]\nNice=1 \\\n 2\nRestrictNamespaces=yes\n"}, "web.service", nil, []string{"/etc/systemd/system/web.service.d/x.conf:4 RestrictNamespaces"}},
		"no":          {map[string]string{"web.service.d/x.conf": "[Service]\nPrivateMounts=no\nProtectSystem=false\n"}, "web.service", nil, nil},
		"passes":      {map[string]string{"web.service.d/x.conf": "[Service]\nNice=5\nRestart=always\nTimeoutStopSec=9\nLimitNOFILE=9\nEnvironment=UNITC_TRACE=1\nX-Mine=1\n"}, "web.service", nil, nil},
		"limit":       {map[string]string{"web.service.d/x.conf": "[Service]\nMemoryMax=1G\n"}, "web.service", &definition.Service{}, []string{"/etc/systemd/system/web.service.d/x.conf:2 MemoryMax"}},
		"own limit":   {map[string]string{"web.service.d/x.conf": "[Service]\nMemoryMax=1G\n"}, "web.service", ofService, nil},
		"starves":     {map[string]string{"web.service.d/x.conf": "[Service]\nLimitAS=1G\nLimitFSIZE=0\nLimitSTACK=8M\nLimitSTACK=infinity\nLimitNPROC=0\n"}, "web.service", nil, []string{"/etc/systemd/system/web.service.d/x.conf:2 LimitAS", "/etc/systemd/system/web.service.d/x.conf:3 LimitFSIZE"}},
		"cleared":     {map[string]string{"web.service.d/10.conf": "[Service]\nUser=x\nGroup=x\n", "/run/systemd/system/web.service.d/20.conf": "[Service]\nUser=\n"}, "web.service", nil, []string{"/etc/systemd/system/web.service.d/10.conf:3 Group"}},
		"overridden":  {map[string]string{"web.service.d/x.conf": "[Service]\n", "/usr/lib/systemd/system/web.service.d/x.conf": "[Service]\nUser=x\n"}, "web.service", nil, nil},
		"of a prefix": {map[string]string{"blog-.service.d/x.conf": "[Service]\nUser=x\n", "service.d/y.conf": "[Service]\nGroup=x\n", "blog.service.d/z.conf": "[Service]\nType=x\n"}, "blog-web.service", nil, []string{"/etc/systemd/system/blog-.service.d/x.conf:2 User", "/etc/systemd/system/service.d/y.conf:2 Group"}},
		"of instance": {map[string]string{"w@.service.d/x.conf": "[Service]\nUser=x\n", "w@1.service.d/y.conf": "[Service]\nGroup=x\n", "w@2.service.d/z.conf": "[Service]\nType=x\n"}, "w@1.service", nil, []string{"/etc/systemd/system/w@.service.d/x.conf:2 User", "/etc/systemd/system/w@1.service.d/y.conf:2 Group"}},
		"no file":     {map[string]string{"web.service.d/x.conf/y": "", "web.service.d/x": "[Service]\nUser=x\n"}, "web.service", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range c.files {
				if !filepath.IsAbs(path) {
					path = "/etc/systemd/system/" + path
				}
				if err := os.MkdirAll(filepath.Dir(root+path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(root+path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got := Problems(root, c.unit, c.s)
			if len(got) != len(c.want) {
				t.Fatalf("got\n%swant %q", got, c.want)
			}
			for i, p := range got {
				place, name, _ := strings.Cut(c.want[i], " ")
				if text := p.String(); !strings.HasPrefix(text, place+":1: warning: "+name+": ") || !strings.Contains(text, "; take it out") {
					t.Errorf("got %s, want %s", text, c.want[i])
				}
			}
		})
	}
}
