// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// `unitc up` builds what is missing by the builder that is installed, before anything
// is installed; what runs changes with `unitc up --build`, or with apply behind a build.
func TestEngineBuild(t *testing.T) {
	cleanReload(t)
	loadBusybox(t, "localhost/other:1") // and /var/lib/unitc goes with it
	t.Cleanup(func() { must(t, "podman", "system", "reset", "-f") })
	must(t, "podman", "load", "-q", "-i", savedImage(t, "localhost/base:1", "{}"))
	t.Setenv("BUILDAH_ISOLATION", "chroot") // this machine has no more to give
	dir := t.TempDir()
	place(t, dir+"/token", "a secret\n")
	const text = `name: built
services:
  web:
    build:
      context: ./web
      dockerfile: Dockerfile.prod
      target: final
      network: host
      ulimits: {nofile: 1024, nproc: 1024}
      args: {WORD: hello}
      labels: {org.example: "yes"}
      secrets: [token]
      tags: ["localhost/built-again:2"]
    network_mode: none
    init: true
    command: [/bin/sh, -c, "cat /word /length; exec sleep infinity"]
  other:
    build: {dockerfile_inline: "FROM nothing.invalid/at-all", network: host}
    profiles: [never]
secrets: {token: {file: ./token}}
`
	place(t, dir+"/compose.yaml", text)
	const dockerfile = `FROM localhost/base:1 AS first
ARG WORD
RUN ["/bin/busybox", "sh", "-c", "echo $WORD >/word"]
FROM first AS final
RUN --mount=type=secret,id=token ["/bin/busybox", "sh", "-c", "/bin/busybox wc -c </run/secrets/token >/length"]
FROM nothing.invalid/at-all
`
	place(t, dir+"/web/Dockerfile.prod", strings.ReplaceAll(dockerfile, "RUN [", "RUN [\"/bin/nowhere\", "))
	if out, status := command(t, "unitc", "up", dir+"/compose.yaml"); status == 0 || !strings.Contains(out, "building localhost/built-web of built-web") {
		t.Errorf("a build that fails: %d, %s", status, out)
	}
	if _, err := os.Stat("/etc/unitc/built.yaml"); err == nil {
		t.Error("a definition is installed whose image could not be built")
	}
	place(t, dir+"/web/Dockerfile.prod", dockerfile)
	t.Cleanup(func() { command(t, "unitc", "down", "--purge", "built") })
	must(t, "unitc", "up", dir+"/compose.yaml")
	awaitLine(t, "built-web", "hello")
	awaitLine(t, "built-web", "9")
	if images := must(t, "unitc", "images"); !strings.Contains(images, "localhost/built-web") || !strings.Contains(images, "localhost/built-again:2") {
		t.Errorf("there are\n%s", images)
	}
	// What is there is not built again, and the sources count from where they are.
	place(t, dir+"/compose.yaml", strings.ReplaceAll(text, "hello", "changed"))
	if out := must(t, "unitc", "up", dir+"/compose.yaml"); strings.Contains(out, "Building") {
		t.Errorf("up builds again:\n%s", out)
	}
	if out := must(t, "unitc", "build", "built"); !strings.Contains(out, "localhost/built-web") {
		t.Errorf("build says\n%s", out)
	}
	must(t, "unitc", "apply", "built")
	awaitLine(t, "built-web", "changed")
	place(t, dir+"/compose.yaml", strings.ReplaceAll(text, "hello", "anew"))
	must(t, "unitc", "up", "--build", dir+"/compose.yaml")
	awaitLine(t, "built-web", "anew")
	if out, status := command(t, "unitc", "build", "built", "other"); status == 0 || !strings.Contains(out, "building localhost/built-other") {
		t.Errorf("what no registry has: %d, %s", status, out)
	}
	// An interrupt ends the builder and leaves nothing beside it.
	place(t, dir+"/web/Dockerfile.prod", strings.ReplaceAll(dockerfile, "echo $WORD >/word", "echo $WORD >/word; busybox sleep 1000"))
	cmd := exec.Command("unitc", "build", dir+"/compose.yaml")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "it builds", func() bool { _, status := command(t, "pgrep", "-f", "busybox sleep 1000"); return status == 0 })
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err == nil {
		t.Error("a build that was interrupted has succeeded")
	}
	await(t, "what it ran has ended", func() bool { _, status := command(t, "pgrep", "-f", "busybox sleep 1000"); return status != 0 })
	if left := must(t, "sh", "-c", "ls -d /tmp/unitc-build-* 2>/dev/null || true"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// A user's images are built by the user's own podman.
func TestEngineUserBuild(t *testing.T) {
	s := newSession(t)
	t.Cleanup(func() { s.run("env", "BUILDAH_ISOLATION=chroot", "podman", "system", "reset", "-f") })
	must(t, "install", "-o", somebody, savedImage(t, "localhost/base:1", "{}"), s.home+"/box.tar")
	s.must("podman", "load", "-q", "-i", s.home+"/box.tar")
	s.must("mkdir", s.home+"/app")
	place(t, s.home+"/app/Dockerfile", "FROM localhost/base:1\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo built >/word\"]\n")
	place(t, s.home+"/app/compose.yaml", "services: {web: {build: {context: ., network: host}, network_mode: none, init: true, command: [/bin/sh, -c, 'cat /word; exec sleep infinity']}}\n")
	s.must("env", "BUILDAH_ISOLATION=chroot", "unitc", "--user", "up", s.home+"/app/compose.yaml")
	await(t, "it says its word", func() bool { return strings.Contains(s.logs("app-web"), "built") })
	if out := s.must("unitc", "--user", "up", s.home+"/app/compose.yaml"); strings.Contains(out, "Building") {
		t.Errorf("up builds again:\n%s", out)
	}
}
