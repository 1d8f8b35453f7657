// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"testing"
)

// A limit that stands twice is a fault only where the values differ, as in Compose;
// and slips that others' words make are answered with the key.
func TestSameLimitsAndSlips(t *testing.T) {
	for text, want := range map[string]string{
		"mem_limit: 512m\ndeploy: {resources: {limits: {memory: 512M}}}":           "",
		"mem_limit: 1g\ndeploy: {resources: {limits: {memory: 1024mb}}}":           "",
		"mem_limit: 512m\ndeploy: {resources: {limits: {memory: 513m}}}":           "mem_limit at line 3 says",
		"cpus: 0.5\ndeploy: {resources: {limits: {cpus: '0.50'}}}":                 "",
		"cpus: 0.5\ndeploy: {resources: {limits: {cpus: '0.51'}}}":                 "cpus at line 3 says",
		"pids_limit: 0\ndeploy: {resources: {limits: {pids: -1}}}":                 "",
		"pids_limit: 5\ndeploy: {resources: {limits: {pids: -1}}}":                 "pids_limit at line 3 says",
		"mem_reservation: 64m\ndeploy: {resources: {reservations: {memory: 64M}}}": "",
		"service: {}":           "did you mean services?",
		"restart_policy: no":    "write restart",
		"replicas: 2":           "write scale",
		"dockerfile: x":         "write build: {dockerfile: FILE}",
		"working_dir: ''":       "warning: working_dir: the value is empty",
		"container_name: ''":    "warning: container_name: the value is empty",
		"working_dir: relative": "error: working_dir: ",
	} {
		problems := parse(parseText("web", "rootfs: host\ncommand: [a]\n"+text+"\n")).Problems.String()
		if want == "" && problems != "" || !strings.Contains(problems, want) || strings.HasPrefix(want, "warning: ") && strings.Contains(problems, ": error: ") {
			t.Errorf("%s: %s", text, problems)
		}
	}
}

// A port of the host on one of its addresses and on all of them is published twice, as
// a start says too.
func TestPortsOnAddresses(t *testing.T) {
	for ports, twice := range map[string]bool{
		`"8080:80", "127.0.0.1:8080:81"`:                                   true,
		`"127.0.0.1:8080:81", "8080:80"`:                                   true,
		`"8080:80", "0.0.0.0:8080:81"`:                                     true,
		`"0.0.0.0:8080:80", "8080:81"`:                                     true,
		`"0.0.0.0:8080:80", "192.0.2.1:8080:81"`:                           true,
		`"[::]:8080:80", "[2001:db8::1]:8080:81"`:                          true,
		`"[2001:db8::1]:8080:80", "[::]:8080:81"`:                          true,
		`"192.0.2.1:8080:80", "192.0.2.2:8080:81"`:                         false,
		`"8080:80", "127.0.0.1:8080:81/udp"`:                               false,
		`"8080:80", "127.0.0.1:8081:81"`:                                   false,
		`"0.0.0.0:8080:80", "[2001:db8::1]:8080:81"`:                       false,
		`"0.0.0.0:8080:80", "[::]:8080:80"`:                                false,
		`"8080:80", {target: 81, published: "8080", host_ip: "127.0.0.1"}`: true,
	} {
		problems := parse(parseText("web", "rootfs: host\ncommand: [a]\nports: ["+ports+"]\n")).Problems.String()
		if got := strings.Contains(problems, "published twice: first at line 3"); got != twice {
			t.Errorf("%s: %s", ports, problems)
		}
	}
	project := "services:\n  a: {rootfs: host, command: [a], ports: ['127.0.0.1:8080:80']}\n  b: {rootfs: host, command: [a], ports: ['8080:80']PROFILE}\n"
	for profile, twice := range map[string]bool{"": true, ", profiles: [x]": false} {
		problems := parse(parseText("web", strings.Replace(project, "PROFILE", profile, 1))).Problems.String()
		if got := strings.Contains(problems, "published twice: first at line 2"); got != twice {
			t.Errorf("in a project with %q: %s", profile, problems)
		}
	}
	if problems := parse(parseText("web", "rootfs: host\ncommand: [a]\nnetwork_mode: host\nports: ['8080:80', '127.0.0.1:8080:80']\n")).Problems; problems.HasErrors() {
		t.Errorf("on the host's network: %s", problems.String())
	}
}
