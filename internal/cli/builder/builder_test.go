// SPDX-License-Identifier: Apache-2.0

package builder

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
)

func TestCommand(t *testing.T) {
	context, dir := t.TempDir(), t.TempDir()
	one, content := "1", "secret"
	for name, c := range map[string]struct {
		build definition.Build
		o     Options
		want  string
	}{
		"bare": {definition.Build{Context: context}, Options{}, "build --tag x -- " + context},
		"file": {definition.Build{Context: context, File: "a/D", Target: "prod", Args: []definition.Env{{Name: "A", Value: &one}, {Name: "B"}}}, Options{NoCache: true},
			"build --tag x --file " + context + "/a/D --build-arg A=1 --target prod --no-cache -- " + context},
		"elsewhere": {definition.Build{Context: context, File: "/etc/D"}, Options{}, "build --tag x --file /etc/D -- " + context},
		"remote": {definition.Build{Context: "https://example.org/x.git", File: "D", Platforms: []string{"linux/arm64"}, Pull: true}, Options{Platform: "linux/amd64"},
			"build --tag x --file D --platform linux/arm64 --pull -- https://example.org/x.git"},
		"inline": {definition.Build{Context: context, Inline: "FROM scratch"}, Options{Platform: "linux/amd64"}, "build --tag x --file " + dir + "/Dockerfile --platform linux/amd64 -- " + context},
		"rest": {definition.Build{Context: context, Labels: []definition.KeyValue{{Key: "a", Value: "b"}}, ExtraHosts: []definition.Host{{Name: "db", Address: "192.0.2.1"}},
			Ulimits: []definition.Ulimit{{Name: "nofile", Soft: 1, Hard: -1}}, Contexts: []definition.KeyValue{{Key: "docs", Value: "/docs"}}, Network: "host", CacheFrom: []string{"c"},
			CacheTo: []string{"d"}, SSH: []string{"default"}, ShmSize: 64 << 20, Secrets: []definition.Grant{{Source: "s", File: "/token"}, {Source: "t", Target: "/run/secrets/u", Content: &content}}}, Options{},
			"build --tag x --label a=b --add-host db:192.0.2.1 --ulimit nofile=1:-1 --build-context docs=/docs --network host --cache-from c --cache-to d --ssh default --shm-size 67108864b " +
				"--secret id=s,src=/token --secret id=u,src=" + dir + "/secret-u -- " + context},
	} {
		c.o.Dir = dir
		cmd, err := (&Builder{Path: "/bin/docker", kind: "docker"}).Command(t.Context(), "x", &c.build, c.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := strings.Join(cmd.Args[1:], " "); got != c.want {
			t.Errorf("%s:\n%s\n%s", name, got, c.want)
		}
	}
	if data, err := os.ReadFile(dir + "/secret-u"); err != nil || string(data) != content {
		t.Errorf("the secret's file: %q, %v", data, err)
	}
	for want, build := range map[string]definition.Build{
		"/nowhere: no such file or directory; write": {Context: "/nowhere"},
		"/etc/passwd: not a directory; write":        {Context: "/etc/passwd"},
		"is no file":                                 {Context: context, Secrets: []definition.Grant{{Source: "s", Environment: "S"}}},
	} {
		if _, err := (&Builder{Path: "/bin/docker", kind: "docker"}).Command(t.Context(), "x", &build, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Each program is told in its own words to look for newer images: to podman 5.4 --pull
// alone means that it does not.
func TestPull(t *testing.T) {
	for kind, want := range map[string]string{"docker": "--pull", "podman": "--pull=always", "buildah": "--pull=always"} {
		for _, c := range []struct {
			build definition.Build
			o     Options
		}{{definition.Build{Pull: true}, Options{}}, {definition.Build{}, Options{Pull: true}}} {
			c.build.Context = t.TempDir()
			cmd, err := (&Builder{Path: "/bin/" + kind, kind: kind}).Command(t.Context(), "x", &c.build, c.o)
			if err != nil || !slices.Contains(cmd.Args, want) {
				t.Errorf("%s: %v, %v", kind, cmd, err)
			}
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := Find(""); err == nil || !strings.Contains(err.Error(), "unitc load") {
		t.Errorf("without one: %v", err)
	}
	for _, kind := range slices.Backward(kinds) {
		if err := os.WriteFile(dir+"/"+kind, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if b, err := Find(""); err != nil || b.kind != kind {
			t.Errorf("%s is installed: %+v, %v", kind, b, err)
		}
	}
	if b, err := Find("docker"); err != nil || b.kind != "docker" {
		t.Errorf("docker: %+v, %v", b, err)
	}
	if _, err := Find("/usr/bin/make"); err == nil {
		t.Error("make builds images")
	}
}
