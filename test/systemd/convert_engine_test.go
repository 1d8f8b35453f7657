// SPDX-License-Identifier: Apache-2.0

//go:build lab && engines

package systemd

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a payload finds, in a file of its volume.
const convertFacts = `{
for a; do echo "argument [$a]"; done
for n in ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT Q H EMPTY S PASSWORD FROM TZ; do eval "echo \"$n [\$$n]\""; done
id; busybox pwd; busybox hostname; ulimit -n; ulimit -Hn
touch /x/a && echo x; touch /etc/a || echo no; touch /tmp/a && echo tmp; grep CapBnd /proc/self/status
grep 192.0.2.1 /etc/hosts; cat /mounted; touch /mounted || echo no
} > /data/facts.new 2>/dev/null
busybox mv /data/facts.new /data/facts.$WHO
exec sleep 1000
`

const convertQuadlet = `[Unit]
Description=Moved from Podman

[Container]
Image=localhost/imported:1
Network=none
Volume=moved-data.volume:/data
Volume=./facts.sh:/facts.sh:ro
Mount=type=bind,source=./mounted,destination=/mounted,ro
Environment="ONE=two words" 'TWO=a "b"' THREE=%N FOUR=$$x FIVE=${SUBST} SIX=%%i
Environment="SEVEN=a\tb\x41" EIGHT=${SUBST:-no}${OTHER:-other}
EnvironmentFile=moved.env
Secret=moved-pw,type=env,target=PASSWORD
WorkingDir=/seed
HostName=box
ReadOnly=true
Tmpfs=/x:size=1m
Ulimit=nofile=100:200
AddHost=db:192.0.2.1
DropCapability=all
AddCapability=CHOWN NET_RAW
RunInit=true
StopTimeout=3
Timezone=Europe/Paris
PodmanArgs=--env "WHO=podman"
Exec=sh /facts.sh one "two words" %N $$y ${SUBST} 'a "b"' "\x41 \"c\"" \
  $SUBST $TWOWORDS last

[Service]
Environment=SUBST=sub-st "TWOWORDS=first second"

[Quadlet]
DefaultDependencies=false
`

// A unit of Quadlet's, and what unitc convert makes of it, with the commands that its
// comments say: the payload finds the same, and what it wrote before.
func TestEngineConvert(t *testing.T) {
	const dir, made = "/etc/containers/systemd", "/etc/unitc/moved.yaml"
	cleanReload(t)
	loadBusybox(t, "localhost/other:1") // and /var/lib/unitc goes with it
	t.Cleanup(func() { must(t, "podman", "system", "reset", "-f") })
	place(t, "/etc/containers/containers.conf", podmanConfig)
	must(t, "podman", "load", "-q", "-i", savedImage(t, "localhost/imported:1", `{"Cmd": ["/bin/sh"], "Env": ["FROM=image"]}`))
	place(t, dir+"/moved.container", convertQuadlet)
	place(t, dir+"/moved-data.volume", "[Volume]\n")
	place(t, dir+"/moved.env", "# a comment\nQ=\"quoted\"\nH=a#b $x\nEMPTY=\nS=  spaced\n")
	place(t, dir+"/facts.sh", convertFacts)
	place(t, dir+"/mounted", "mounted\n")
	password := t.TempDir() + "/password"
	place(t, password, `a "b" $c`)
	must(t, "podman", "secret", "create", "moved-pw", password)

	must(t, "systemctl", "daemon-reload")
	must(t, "systemctl", "start", "moved.service")
	facts := func(exec ...string) (text string) {
		t.Helper()
		await(t, "the facts", func() (ok bool) {
			out, status := command(t, exec[0], exec[1:]...)
			text, ok = out, status == 0
			return ok
		})
		return text
	}
	want := facts("podman", "exec", "systemd-moved", "cat", "/data/facts.podman")
	must(t, "systemctl", "stop", "moved.service", "moved-data-volume.service")

	// As unitc-convert(1) says under MOVING.
	must(t, "unitc", "convert", "--output", "/etc/unitc", dir)
	t.Cleanup(func() {
		command(t, "systemctl", "stop", "moved.service")
		must(t, "rm", "-f", made, "/etc/unitc/moved.env", "/etc/unitc/moved.secrets")
		command(t, "unitc", "volume", "rm", "moved-data")
	})
	text := file(t, made)
	for _, name := range []string{"moved.container", "moved-data.volume"} {
		os.Remove(dir + "/" + name)
	}
	script := "set -e; cd /etc/unitc\n"
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# before the first start: "); ok {
			_, command, _ := strings.Cut(rest, ": ")
			script += command
		} else if rest, ok := strings.CutPrefix(line, "#   "); ok {
			script += rest
		}
	}
	must(t, "bash", "-c", script)
	place(t, made, strings.Replace(text, "WHO: podman", "WHO: unitc", 1))
	must(t, "systemctl", "daemon-reload")
	must(t, "systemctl", "start", "moved.service")
	got := facts("unitc", "exec", "moved", "cat", "/data/facts.unitc")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the payload finds (-podman +unitc):\n%s\n%s\n%s", diff, script, text)
	}
	if moved := facts("unitc", "exec", "moved", "cat", "/data/facts.podman"); moved != want {
		t.Errorf("what the volume had is %q, was %q", moved, want)
	}
	if got := property(t, "moved.service", "Description"); got != "Moved from Podman" {
		t.Errorf("its description is %s", got)
	}
	must(t, "systemctl", "stop", "moved.service")
}

// A .build of Quadlet's becomes build:, which builds of the same sources.
func TestEngineConvertBuild(t *testing.T) {
	const dir = "/etc/containers/systemd"
	cleanReload(t)
	loadBusybox(t, "localhost/other:1") // and /var/lib/unitc goes with it
	t.Cleanup(func() { must(t, "podman", "system", "reset", "-f") })
	place(t, "/etc/containers/containers.conf", "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n")
	t.Setenv("BUILDAH_ISOLATION", "chroot") // this machine has no more to give
	must(t, "podman", "load", "-q", "-i", savedImage(t, "localhost/base:1", "{}"))
	place(t, dir+"/made.container", "[Container]\nImage=made.build\nNetwork=none\nRunInit=true\nExec=sh -c \"cat /word /argument; exec sleep 1000\"\n")
	place(t, dir+"/made.build", "[Build]\nImageTag=localhost/made:1\nImageTag=localhost/made:again\nSetWorkingDirectory=./sources\nFile=Containerfile.prod\nBuildArg=WORD=argument\nNetwork=host\nTarget=final\n")
	place(t, dir+"/sources/word", "copied\n")
	place(t, dir+"/sources/Containerfile.prod", "FROM localhost/base:1 AS final\nARG WORD\nCOPY word /word\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo $WORD >/argument\"]\nFROM nothing.invalid/at-all\n")
	must(t, "unitc", "convert", "--strict", "--output", "/etc/unitc", dir)
	t.Cleanup(func() {
		command(t, "systemctl", "stop", "made.service")
		must(t, "rm", "-f", "/etc/unitc/made.yaml")
	})
	for _, name := range []string{"made.container", "made.build"} {
		os.Remove(dir + "/" + name)
	}
	must(t, "systemctl", "daemon-reload")
	_, build, ok := strings.Cut(file(t, "/etc/unitc/made.yaml"), "# before the first start: the image has to be built: ")
	if !ok {
		t.Fatalf("it does not say how the image is built:\n%s", file(t, "/etc/unitc/made.yaml"))
	}
	build, _, _ = strings.Cut(build, "\n")
	must(t, "bash", "-c", build)
	if images := must(t, "unitc", "images"); !strings.Contains(images, "localhost/made:again") {
		t.Errorf("there are\n%s", images)
	}
	must(t, "systemctl", "start", "made.service")
	awaitLine(t, "made", "copied")
	awaitLine(t, "made", "argument")
}
