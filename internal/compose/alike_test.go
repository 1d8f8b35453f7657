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
		if want == "" && problems != "" || !strings.Contains(problems, want) {
			t.Errorf("%s: %s", text, problems)
		}
	}
}
