// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"errors"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/busvalue"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/syntax/library"
)

func parseApp(text string, env map[string]string) definition.File {
	return Parse(Input{Name: "app", Dir: "/etc/unitc", Library: library.Full, Env: env, Layers: []Layer{{Path: "app.yaml", Data: []byte(text)}}})
}

// A profile without a name is started where COMPOSE_PROFILES chooses none.
func TestUnnamedProfile(t *testing.T) {
	const text = "services:\n  db: {image: x, profiles: ['', db]}\n  more: {image: x, profiles: [linux/amd64]}\n"
	for value, want := range map[string]string{"": "db", "other": "", "db": "db", "a, linux/amd64": "more", "a,": "db", "*": "db more"} {
		for _, env := range []map[string]string{{"COMPOSE_PROFILES": value}, {}} {
			if len(env) == 0 && value != "" {
				continue
			}
			file := parseApp(text, env)
			var started []string
			for i := range file.Services {
				if file.Services[i].StartsWithProject() {
					started = append(started, file.Services[i].Key)
				}
			}
			if got := strings.Join(started, " "); got != want || len(file.Problems) > 0 {
				t.Errorf("with COMPOSE_PROFILES=%q %q starts, want %q: %s", value, got, want, file.Problems)
			}
		}
	}
}

// A bare number that can't be octal is decimal; one that can is told.
func TestModes(t *testing.T) {
	for written, want := range map[string]struct {
		mode uint32
		word string
	}{
		"493":    {0o755, ""},
		"0440":   {0o440, ""},
		"0o440":  {0o440, ""},
		`"440"`:  {0o440, ""},
		"440":    {0o440, `440 is taken for "0440"; Compose takes digits without a leading 0 for a decimal number; write "0440"`},
		`"493"`:  {0, `"493" is no mode`},
		"999999": {0, `"999999" is no mode`},
	} {
		file := parseApp("services: {web: {image: x, configs: [{source: c, target: /c, mode: "+written+"}]}}\nconfigs: {c: {content: x}}\n", nil)
		if len(file.Problems) > 0 != (want.word != "") || !strings.Contains(file.Problems.String(), want.word) {
			t.Errorf("mode: %s: %s", written, file.Problems)
		}
		if want.mode != 0 && file.Services[0].Configs[0].Mode != want.mode {
			t.Errorf("mode: %s is %o", written, file.Services[0].Configs[0].Mode)
		}
	}
}

// What Compose takes from a login would make other paths of the host.
func TestVariablesOfALogin(t *testing.T) {
	const text = "image: x\nvolumes: ['${HOME}/x:/x', '${PWD:-/srv}/y:/y']\n"
	if got := parseApp(text, nil).Problems; !got.HasErrors() || !strings.Contains(got.String(), "the variable HOME is not set: a unit has none of a login's, as Compose has; set it in app.env beside the definition") {
		t.Errorf("HOME unset: %s", got)
	}
	if got := parseApp(text, map[string]string{"HOME": "/home/ada"}); len(got.Problems) > 0 || got.Services[0].Volumes[0].Source != "/home/ada/x" {
		t.Errorf("HOME set: %s", got.Problems)
	}
}

// Devices come by devices:, and all of them with privileged.
func TestDevicesInVolumes(t *testing.T) {
	for text, want := range map[string]string{
		"volumes: ['/dev:/dev']":                                             "error: volumes[0]: unitc mounts /dev itself; write devices: for device nodes or directories of them",
		"volumes: ['/dev:/dev']\nprivileged: true":                           "warning: volumes[0]: with privileged: true all devices are there that the host has at the start",
		"volumes: ['/dev:/dev/host']\nprivileged: true":                      "",
		"volumes: ['/dev/bus/usb:/dev/bus/usb']":                             "warning: volumes[0]: no device in a volume can be opened (nodev); write it under devices:, where",
		"volumes: [{type: bind, source: /dev/dri, target: /dev/dri}]":        "warning: volumes[0].target: no device in a volume",
		"volumes: ['/dev/shm:/dev/shm', '/dev/log:/dev/log', '/d:/dev/dri']": "",
	} {
		file := parseApp("image: x\n"+text+"\n", nil)
		if len(file.Problems) > 0 != (want != "") || !strings.Contains(file.Problems.String(), want) {
			t.Errorf("%s: %s", text, file.Problems)
		}
		if count := len(file.Services[0].Volumes); strings.Contains(want, "/dev") && count > 0 || strings.Contains(want, "nodev") && count != 1 {
			t.Errorf("%s: %d volumes", text, count)
		}
	}
}

// Limits that nothing can live with: the cure is no unit behind another.
func TestLimitsThatAreTooSmall(t *testing.T) {
	for text, want := range map[string]string{
		"mem_limit: 512":               `error: mem_limit: "512" is 512 bytes, too little for any process; write the unit too, as in 512m`,
		"mem_limit: 900k":              `error: mem_limit: "900k" is 921600 bytes, too little for any process; write at least 1m`,
		"ulimits: {stack: 8192}":       "warning: ulimits.stack: a limit of 8192 is too small for any process; write bytes: ulimit(1) of shells counts KiB",
		"ulimits: {nofile: 2}":         "warning: ulimits.nofile: a limit of 2 is too small for any process; write at least 3",
		"ulimits: {as: -1, stack: -1}": "", "ulimits: {as: 1073741824, stack: 8388608, nofile: 3, nproc: 1}": "",
	} {
		if got := parseApp("image: x\n"+text+"\n", nil).Problems; len(got) > 0 != (want != "") || !strings.Contains(got.String(), want) {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// A scope needs its service, which systemd then needs for ever.
func TestStopWhenUnneeded(t *testing.T) {
	for text, want := range map[string]bool{
		"{unit: {StopWhenUnneeded: true}}":                    true,
		"{unit: {StopWhenUnneeded: 'yes'}}":                   true,
		"{unit: {StopWhenUnneeded: true}, cgroup: service}":   false,
		"{unit: {StopWhenUnneeded: false, After: x.service}}": false,
	} {
		got := parseApp("image: x\nsystemd: "+text+"\n", nil).Problems
		if got.HasErrors() || strings.Contains(got.String(), "warning: systemd.unit.StopWhenUnneeded: it never stops") != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// A key of unitc's that is misspelt would be a note, and change nothing.
func TestNotesThatAreAlmostKeys(t *testing.T) {
	f := parse(parseText("blog", `x-direktory: /srv
x-common: {}
services:
  web:
    image: x
    x-idle-timout: 15m
    x-Systemd: {slice: x}
    x-podman: {}
    x-date: today
    ports: [{target: 80, published: 80, x-activaton: true, x-note: y}]
`))
	const note = "a note of your own, which changes nothing; did you mean "
	want := "blog.yaml:1:1: warning: x-direktory: " + note + "x-directory?\n" +
		"blog.yaml:6:5: warning: services.web.x-idle-timout: " + note + "x-idle-timeout?\n" +
		"blog.yaml:7:5: warning: services.web.x-Systemd: " + note + "x-systemd?\n" +
		"blog.yaml:10:41: warning: services.web.ports[0].x-activaton: " + note + "x-activation?\n"
	if got := f.Problems.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// What a scope can't be given, or not with that value, is a fault at its line, where
// systemd would say so at the start, or pass over the line of a unit.
func TestValuesOfScopes(t *testing.T) {
	for text, want := range map[string]string{
		"scope: {MemoryMax: much}":                                                                       `web.yaml:3:22: error: systemd.scope.MemoryMax: "much" is not a size; write a number with K, M, G or T; systemd.resource-control(5) says what it takes`,
		"scope: {MemoryMax: much}\n  cgroup: service":                                                    `web.yaml:3:22: error: systemd.scope.MemoryMax: "much" is not a size`,
		"scope: {AllowedMemoryNodes: [0, x]}":                                                            `systemd.scope.AllowedMemoryNodes[1]: "x" is not a list`,
		"scope: {SocketBindDeny: any, SocketBindAllow: 80}":                                              "",
		"scope: {MemoryHigh: 50%, CPUQuota: 150%, IPAddressDeny: any, MemoryMax: ''}\n  cgroup: service": "",
		"scope: {DevicePolicy: closed, MemoryPressureWatch: off, RuntimeMaxSec: 1h}":                     "",
	} {
		in := parseText("web", "rootfs: host\nsystemd:\n  "+text+"\n")
		if got := parse(in).Problems.String(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %s", text, got, want)
		}
	}
}

// Every directive that may stand under scope: can be given to a scope.
func TestEveryScopeDirectiveHasAForm(t *testing.T) {
	for i := range directives {
		d := &directives[i]
		if d.rooms&(inScope|inKill|inResource) == 0 || refusedScope(d) != "" {
			continue
		}
		if _, _, err := busvalue.Of(d.name, ""); errors.Is(err, busvalue.ErrNone) {
			t.Errorf("%s: %v", d.name, err)
		}
	}
}

func TestCompleted(t *testing.T) {
	for text, want := range map[string]string{
		"restart: on-failure":                        "",
		"restart: always":                            "web.yaml:2:11: error: systemd.notify: conflicts with restart at line 3: it is started again whenever it ends, so it never completes; write restart: no or on-failure",
		"deploy: {restart_policy: {condition: any}}": "conflicts with restart_policy at line 3",
	} {
		f := parse(parseText("web", "rootfs: host\nsystemd: {notify: completed}\n"+text+"\n"))
		if got := f.Problems.String(); (got == "") != (want == "") || !strings.Contains(got, want) || !f.Services[0].AwaitedCompletion {
			t.Errorf("%s: %s\nwant %s", text, got, want)
		}
	}
}
