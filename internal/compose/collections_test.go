// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"strings"
	"testing"
)

// What stands in files that others wrote, and Compose takes, is taken or answered with
// what an operator can do.
func TestWordsOfCollections(t *testing.T) {
	const service = "services:\n  web: {image: x"
	for text, want := range map[string]string{
		// Taken.
		service + ", volumes: ['d:/d']}\nvolumes: {d: {driver_opts: {type: '${T:-}', o: '${O:-}', device: '${D:-}'}}}":     "",
		service + "}\nnetworks: {default: {driver_opts: {com.docker.network.enable_ipv6: 'false'}}}":                       "",
		service + ", ports: [{target: 53, published: 53, protocol: UDP}]}":                                                 "",
		service + ", volumes: ['v:/data']}\nvolumes: {v: {}}":                                                              "",
		service + ", hostname: '${NAME}'}":                                                                                 "warning: services.web.hostname: the variable NAME is not set and gives an empty string; set it in app.env beside the definition, or write ${NAME:-default}",
		service + ", runtime: nvidia, gpus: all}":                                                                          "warning: services.web.runtime: the runtime nvidia is not needed: the Container Device Interface does its work; remove it",
		"name: '${N:-}'\n" + service + "}":                                                                                 "warning: name: the value is empty and changes nothing; write for example `name: blog`",
		"name: '${N}'\n" + service + "}":                                                                                   "warning: name: the variable N is not set and gives an empty string",
		service + ", network_mode: default}":                                                                               "",
		service + ", volumes: ['/run/docker.sock:/run/docker.sock:ro']}":                                                   "warning: services.web.volumes[0]: the engine that listens there knows nothing of unitc's containers; give the payload what it needs by other means; where that engine is meant, write the long form with bind: {create_host_path: false}",
		service + ", volumes: [{type: bind, source: /run/podman/podman.sock, target: /p.sock}]}":                           "warning: services.web.volumes[0]: the engine that listens there",
		service + ", volumes: [{type: bind, source: /run/docker.sock, target: /d.sock, bind: {create_host_path: false}}]}": "",
		// Notes are not almost keys for being long.
		service + "}\nx-a-note-that-is-much-longer-than-any-key: {}": "",
		service + "}\nx-shopware-runtime-volumes: {}":                "",
		// Refused.
		service + ", runtime: nvidia}":                                                                  "error: services.web.runtime: unitc does not support the runtime nvidia; the Container Device Interface does its work; write gpus: all in its place",
		service + ", logging: {driver: loki}}":                                                          `error: services.web.logging.driver: unitc does not support the driver "loki"; write journald, or remove logging: to log to the journal`,
		service + ", ports: [{target: 53, protocol: udb}]}":                                             `error: services.web.ports[0].protocol: "udb" is no protocol of ports; did you mean udp?`,
		service + "}\nnetworks: {default: {driver_opts: {com.docker.network.enable_ipv6: maybe}}}":      "unitc has no option com.docker.network.enable_ipv6; write enable_ipv6:",
		service + ", volumes: ['C:/git/x:/x']}":                                                         `error: services.web.volumes[0]: "C:/git/x:/x" is a path of Windows; write a path of this host`,
		service + ", volumes: ['M:\\x:/x']}":                                                            "is a path of Windows",
		service + ", volumes: [{type: bind, source: 'C:\\x', target: /x}]}":                             "is a path of Windows",
		service + ", volumes: ['/proc:/proc']}":                                                         "error: services.web.volumes[0]: unitc mounts /proc itself; write pid: host for the host's processes, or mount it elsewhere, as in /proc:/host/proc:ro",
		"version: '3.8'\nnetworks: {front: {driver: bridge, ipam: {config: [{subnet: 192.0.2.0/24}]}}}": "error: the project has no services; write for example services: {web: {image: nginx}}; a file that others are merged with is named behind them in COMPOSE_FILE, or stands in the NAME.yaml.d of theirs",
		"volumes: {data: {}}\nx-common: {}":                                                             "error: the project has no services",
		"networks: [front]\nvolumes: ['/srv:/srv']":                                                     "error: the service has no root file system",
	} {
		file := parseApp(text+"\n", nil)
		got := file.Problems.String()
		if want == "" && got != "" || !strings.Contains(got, want) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s:\n%s\nwant %s", text, got, want)
		}
	}
}

// No directory is made where a daemon makes a socket.
func TestSocketsAreNotMade(t *testing.T) {
	for volume, want := range map[string]bool{
		"/run/x.sock:/x.sock": false, "/srv/x:/x": true,
		"{type: bind, source: /run/x.sock, target: /x.sock}": false, "{type: bind, source: /srv/x, target: /x}": true,
		"{type: bind, source: /run/x.sock, target: /x.sock, bind: {create_host_path: true}}": true,
	} {
		file := parseApp("services: {web: {image: x, volumes: ["+volume+"]}}\n", nil)
		if v := file.Services[0].Volumes; len(file.Problems) > 0 || len(v) != 1 || v[0].CreateHostPath != want {
			t.Errorf("%s: %+v %s", volume, v, file.Problems)
		}
	}
}

// Options of a driver say what the keys of a network may say, too; the keys win.
func TestNetworkSwitchesAmongOptions(t *testing.T) {
	for text, want := range map[string][2]bool{
		"driver_opts: {com.docker.network.enable_ipv6: 'true'}":                                             {false, true},
		"driver_opts: {com.docker.network.enable_ipv6: true, com.docker.network.enable_ipv4: 0, mtu: 1400}": {true, true},
		"driver_opts: {com.docker.network.enable_ipv6: true}, enable_ipv6: false":                           {false, false},
		"driver_opts: {com.docker.network.enable_ipv6: false}":                                              {false, false},
	} {
		file := parseApp("services: {web: {image: x}}\nnetworks: {default: {"+text+"}}\n", nil)
		n := file.Networks[0]
		if len(file.Problems) > 0 || n.NoIPv4 != want[0] || n.IPv6 != want[1] || len(n.Options) > 1 {
			t.Errorf("%s: %+v %s", text, n, file.Problems)
		}
	}
}
