// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"testing"
)

func TestNetworkFile(t *testing.T) {
	file := parse(Input{Name: "front.network", Dir: "/etc/unitc", Layers: []Layer{
		{Path: "/etc/unitc/front.network.yaml", Data: []byte("enable_ipv6: true\ninternal: true\nipam: {config: [{subnet: 192.0.2.0/24}]}\n")},
		{Path: "/etc/unitc/front.network.yaml.d/a.yaml", Data: []byte("internal: false\ndriver_opts: {mtu: 1400}\n")},
	}})
	if len(file.Problems) > 0 || len(file.Services) > 0 || len(file.Networks) != 1 {
		t.Fatalf("%+v", file)
	}
	n := file.Networks[0]
	if n.Name != "front" || !n.IPv6 || n.Internal || len(n.Subnets) != 1 || n.Subnets[0].Subnet != "192.0.2.0/24" || len(n.Options) != 1 {
		t.Errorf("%+v", n)
	}
}

func TestFaultsOfNetworkFiles(t *testing.T) {
	for text, want := range map[string]string{
		"intrnal: true\n":           "front.network.yaml:1:1: error: intrnal: unknown key; did you mean internal?",
		"internal: 3\n":             "front.network.yaml:1:11: error: internal",
		"external: true\n":          "the file makes the network front",
		"services: {a: {image: b}}": "error: services: unknown key",
		"":                          "error: the file holds no definition; write at least `driver: bridge`",
	} {
		file := parse(Input{Name: "front.network", Layers: []Layer{{Path: "front.network.yaml", Data: []byte(text)}}})
		if got := file.Problems.String(); !strings.Contains(got, want) || len(file.Networks) > 0 {
			t.Errorf("%q gives\n%s and not %q", text, got, want)
		}
	}
}
