// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/syntax/library"
)

// "Compose `healthcheck` (all keys, image HEALTHCHECK as default)": what is
// checked, how often, and what makes the unit active.
func TestHealthcheckKeys(t *testing.T) {
	image := &definition.Healthcheck{Test: []string{"CMD", "/image"}, Interval: 7 * time.Second, Timeout: 8 * time.Second, StartPeriod: 9 * time.Second, StartInterval: 2 * time.Second, Retries: 4}
	for text, want := range map[string]string{
		"": "exec [/image] every 7s in 8s, from 9s every 2s, 4 times: healthy",
		"healthcheck: {test: [CMD, /own, now], interval: 11s, timeout: 12s, start_period: 13s, start_interval: 3s, retries: 5}": "exec [/own now] every 11s in 12s, from 13s every 3s, 5 times: healthy",
		"healthcheck: {test: own now}":                                                          "exec [/bin/sh -c own now] every 7s in 8s, from 9s every 2s, 4 times: healthy",
		"healthcheck: {test: [CMD-SHELL, own now]}":                                             "exec [/bin/sh -c own now] every 7s in 8s, from 9s every 2s, 4 times: healthy",
		"healthcheck: {interval: 1m, retries: 1}":                                               "exec [/image] every 1m0s in 8s, from 9s every 2s, 1 times: healthy",
		"healthcheck: {disable: true}":                                                          "nothing: ",
		"healthcheck: {test: [NONE]}":                                                           "nothing: ",
		"healthcheck: {test: NONE}":                                                             "nothing: ",
		"systemd: {notify: started}":                                                            "exec [/image] every 7s in 8s, from 9s every 2s, 4 times: ",
		"systemd: {notify: healthy}":                                                            "exec [/image] every 7s in 8s, from 9s every 2s, 4 times: healthy",
		"systemd: {notify: container}":                                                          "exec [/image] every 7s in 8s, from 9s every 2s, 4 times: container",
		"healthcheck: {disable: true}\nsystemd: {notify: healthy}":                              "systemd.notify: there is no check",
		"healthcheck: {interval: 4s}\nsystemd: {probe: {tcp: 80}}":                              "tcp 80 every 4s in 30s, from 0s every 5s, 3 times: healthy",
		"systemd: {probe: {file: /run/ready}}":                                                  "file /run/ready every 30s in 30s, from 0s every 5s, 3 times: healthy",
		"systemd: {probe: {unix: /run/s}}":                                                      "unix /run/s every 30s in 30s, from 0s every 5s, 3 times: healthy",
		"systemd: {probe: {exec: [/probe, it]}}":                                                "exec [/probe it] every 30s in 30s, from 0s every 5s, 3 times: healthy",
		"systemd: {probe: {log: \"up$$\"}}":                                                     "log up$ every 30s in 30s, from 0s every 5s, 3 times: healthy",
		"systemd: {probe: {http: \"https://localhost/x\", tls: {ca: /ca.pem, server_name: a}}}": "http https://localhost/x every 30s in 30s, from 0s every 5s, 3 times: healthy",
	} {
		file := compose.Parse(compose.Input{Name: "web", Dir: "/etc/unitc", Library: library.Full, Layers: []compose.Layer{{Path: "web.yaml", Data: []byte("rootfs: /srv\ncommand: [/bin/x]\n" + text + "\n")}}})
		if file.Problems.HasErrors() {
			t.Errorf("%s: %s", text, file.Problems.String())
			continue
		}
		got := ""
		p, err := Build(&file.Services[0], Facts{Image: &Image{Healthcheck: image}})
		switch {
		case err != nil:
			got = err.Error()
		case p.Health == nil:
			got = "nothing: " + p.Ready
		default:
			h := p.Health
			what := h.Kind + " " + h.Target
			if h.Target == "" {
				what = fmt.Sprint(h.Kind, " ", h.Command)
			}
			got = fmt.Sprintf("%s every %v in %v, from %v every %v, %d times: %s", what, h.Interval, h.Timeout, h.StartPeriod, h.StartInterval, h.Retries, p.Ready)
		}
		if got != want && !(err != nil && strings.HasPrefix(got, want)) {
			t.Errorf("%q\n gives %s\n want  %s", text, got, want)
		}
	}
}

// Docker runs CMD-SHELL by the image's SHELL, also where the definition has the test.
func TestHealthcheckByTheShellOfTheImage(t *testing.T) {
	image := &Image{Shell: []string{"/bin/bash", "-o", "pipefail", "-c"}, Healthcheck: &definition.Healthcheck{Test: []string{"CMD-SHELL", "a | b"}}}
	for text, want := range map[string]string{
		"":                                     "[/bin/bash -o pipefail -c a | b]",
		"healthcheck: {test: c | d}":           "[/bin/bash -o pipefail -c c | d]",
		"healthcheck: {test: [CMD, /own, -c]}": "[/own -c]",
	} {
		file := compose.Parse(compose.Input{Name: "web", Dir: "/etc/unitc", Library: library.Full, Layers: []compose.Layer{{Path: "web.yaml", Data: []byte("rootfs: /srv\ncommand: [/bin/x]\n" + text + "\n")}}})
		p, err := Build(&file.Services[0], Facts{Image: image})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(p.Health.Command); got != want {
			t.Errorf("%q gives %s, want %s", text, got, want)
		}
	}
	if len(image.Shell) != 4 {
		t.Errorf("the image's shell is %q", image.Shell)
	}
}
