// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"testing"
)

// What a probe asks is checked to the port, and TLS goes with an https URL alone.
func TestProbes(t *testing.T) {
	for probe, want := range map[string]string{
		`http: "http://:8080/health"`:                        "",
		`http: "https://:8443/health"`:                       "",
		`http: "https://localhost"`:                          "",
		`http: "https://:1/", tls: {ca: /ca.pem}`:            "",
		`http: "https://:1/", tls: {server_name: a.example}`: "",
		`http: "https://:1/", tls: {ca: ca.pem}`:             "absolute",
		`http: "http://:1/", tls: {ca: /ca.pem}`:             "the probe speaks no TLS",
		`tcp: 1, tls: {ca: /ca.pem}`:                         "the probe speaks no TLS",
		`tls: {ca: /ca.pem}`:                                 "the probe asks nothing",
		``:                                                   "the probe asks nothing",
		`tcp: 1, file: /x`:                                   "a service has one check",
		`http: "https://web/"`:                               "no URL of the container",
		`http: "ftp://:1/"`:                                  "no URL of the container",
		`http: "https://:65536/"`:                            "65536 is no port",
		`tcp: "10.0.0.256:1"`:                                "no address",
		`file: run/ready`:                                    "no absolute path",
		`log: "("`:                                           "no regular expression",
	} {
		text := "rootfs: host\ncommand: [a]\nsystemd: {probe: {" + probe + "}}\n"
		file := parse(Input{Name: "web", Dir: "/etc/unitc", Layers: []Layer{{Path: "/etc/unitc/web.yaml", Data: []byte(text)}}})
		said := file.Problems.String()
		if want == "" && file.Problems.HasErrors() || !strings.Contains(said, want) {
			t.Errorf("%s: want %q, got:\n%s", probe, want, said)
		}
	}
}
