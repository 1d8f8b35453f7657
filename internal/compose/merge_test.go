// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unitc/unitc/internal/definition"
)

// parseLayers parses a definition "web" and its drop-ins d1.yaml, d2.yaml, …
func parseLayers(layers ...string) definition.File {
	in := Input{Name: "web", Dir: "/etc/unitc"}
	for i, text := range layers {
		path := fmt.Sprintf("d%d.yaml", i)
		if i == 0 {
			path = "web.yaml"
		}
		in.Layers = append(in.Layers, Layer{path, []byte(text)})
	}
	return parse(in)
}

// TestMerge compares what layers give with one file that says the same.
func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name   string
		layers []string
		want   string
	}{
		{"scalars replace", []string{"mem_limit: 1g\nhostname: a", "mem_limit: 2g"}, "mem_limit: 2g\nhostname: a"},
		{"commands replace", []string{"command: [a, b]\nentrypoint: x", "command: c\nentrypoint: [y]"}, "command: c\nentrypoint: [y]"},
		{"lists append", []string{"group_add: [a]\ncap_add: [KILL]", "group_add: [b]\ncap_add: [KILL, CHOWN]"}, "group_add: [a, b]\ncap_add: [KILL, CHOWN]"},
		{"mappings merge", []string{"logging: {driver: journald}\nulimits: {core: 1, nofile: 5}", "logging: {options: {tag: x}}\nulimits: {core: {soft: 1, hard: 2}}"},
			"logging: {driver: journald, options: {tag: x}}\nulimits: {core: {soft: 1, hard: 2}, nofile: 5}"},
		{"environment as list and mapping", []string{"environment: [A=1, B=2, C]", "environment: {B: 3, D: 4}", "environment: [A=5]"}, "environment: {A: 5, B: 3, C: , D: 4}"},
		{"labels", []string{"labels: {a: 1}", "labels: [a=2, b=3]"}, "labels: {a: 2, b: 3}"},
		{"volumes by target", []string{"volumes: [/a:/x, /b:/y]", "volumes: [{type: bind, source: /c, target: /x/}]"}, "volumes: [{type: bind, source: /c, target: /x}, /b:/y]"},
		{"tmpfs by target", []string{"tmpfs: /x:size=1m", "tmpfs: [/x:size=2m, /y]"}, "tmpfs: [/x:size=2m, /y]"},
		{"devices by target", []string{"devices: [/dev/a:/dev/x]", "devices: [/dev/b:/dev/x, /dev/c]"}, "devices: [/dev/b:/dev/x, /dev/c]"},
		{"env files append", []string{"env_file: a.env", "env_file: [b.env, {path: a.env, required: false}]"}, "env_file: [{path: a.env, required: false}, b.env]"},
		{"dns", []string{"dns: 192.0.2.1", "dns: [192.0.2.2]"}, "dns: [192.0.2.1, 192.0.2.2]"},
		{"logging of two drivers", []string{"logging: {driver: journald, options: {tag: x}}", "logging: {driver: none}"}, "logging: {driver: none}"},
		{"networks as list and mapping", []string{"networks: [a, b]", "networks: {b: {aliases: [x]}, c: }"}, "networks: {a: , b: {aliases: [x]}, c: }"},
		{"dependencies as list and mapping", []string{"depends_on: [a, b]", "depends_on: {a: {condition: service_healthy}}"},
			"depends_on: {a: {condition: service_healthy}, b: {condition: service_started}}"},
		{"extra hosts", []string{"extra_hosts: {a: 192.0.2.1}", "extra_hosts: [\"b:192.0.2.2\"]"}, "extra_hosts: [\"a=192.0.2.1\", \"b:192.0.2.2\"]"},
		{"health test", []string{"healthcheck: {test: [CMD, a, b], retries: 3}", "healthcheck: {test: [CMD, c]}"}, "healthcheck: {test: [CMD, c], retries: 3}"},
		{"reset", []string{"mem_limit: 1g\nenvironment: {A: 1, B: 2}\nvolumes: [/a:/x]", "mem_limit: !reset 0\nenvironment: {A: !reset null}\nvolumes: !reset []"}, "environment: {B: 2}"},
		{"reset, then set", []string{"volumes: [/a:/x]", "volumes: !reset []", "volumes: [/b:/y]"}, "volumes: [/b:/y]"},
		{"override", []string{"volumes: [/a:/x]\nlogging: {driver: none}", "volumes: !override [/b:/y]\nlogging: !override {options: {tag: x}}"}, "volumes: [/b:/y]\nlogging: {options: {tag: x}}"},
		{"empty values change nothing", []string{"mem_limit: 1g\nvolumes: [/a:/x]", "mem_limit:\nvolumes:"}, "mem_limit: 1g\nvolumes: [/a:/x]"},
		{"empty layers", []string{"mem_limit: 1g", "", "# nothing", "---\n"}, "mem_limit: 1g"},
		{"systemd", []string{"systemd: {unit: {After: a, Wants: [b]}}", "systemd: {unit: {After: c, Wants: [d]}, service: {RestartSec: 5}}"},
			"systemd: {unit: {After: c, Wants: [b, d]}, service: {RestartSec: 5}}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.layers[0] += "\nrootfs: host"
			got, want := parseLayers(c.layers...), parseLayers(c.want+"\nrootfs: host")
			if got.Problems.HasErrors() || want.Problems.HasErrors() {
				t.Fatalf("problems:\n%s%s", got.Problems, want.Problems)
			}
			forgetPlaces(got.Services)
			forgetPlaces(want.Services)
			if diff := cmp.Diff(want.Services, got.Services); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func forgetPlaces(services []definition.Service) {
	for i := range services {
		services[i].Source = definition.Source{}
	}
}

// TestPlacesSurviveMerging: a fault of a drop-in is shown in the drop-in.
func TestPlacesSurviveMerging(t *testing.T) {
	got := parseLayers("rootfs: host\nenvironment: [A=b]\nvolumes: [/a:/x]\nmem_limit: 1g\n",
		"environment:\n  B: [1]\nvolumes:\n- /b:/proc/x\nmem_limit: 2\nmem_reservation: 4g\n", "mem_limit: 3g\n")
	want := `d1.yaml:2:6: error: environment.B: a list, where a string, a number or true or false is wanted
d1.yaml:4:3: error: volumes[1]: /proc/x is the kernel's: unitc mounts /proc itself; write sysctls: for values under /proc/sys; nothing else can be mounted there
d1.yaml:6:1: error: mem_reservation: more is kept than mem_limit at line 1 of d2.yaml allows; lower it, or raise mem_limit
`
	if diff := cmp.Diff(want, got.Problems.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if place, _ := got.Services[0].Source.Lines.At("volumes[1]"); place != (definition.Position{File: "d1.yaml", Line: 4, Col: 3}) {
		t.Errorf("volumes[1] stands at %+v", place)
	}
}

func parseExtends(text string, files map[string]string) definition.File {
	in := parseText("blog", text)
	in.Read = func(path string) ([]byte, error) {
		if data, ok := files[path]; ok {
			return []byte(data), nil
		}
		return nil, errors.New("no such file or directory")
	}
	return parse(in)
}

func TestExtends(t *testing.T) {
	files := map[string]string{
		"/etc/unitc/base/base.yaml": "services: {base: {extends: root, image: base, volumes: [./data:/data], environment: {A: 1}}, root: {user: root, hostname: r}}",
		"/etc/unitc/single.yaml":    "rootfs: host\nuser: single\n",
	}
	got := parseExtends(`
services:
  web:
    extends: {file: base/base.yaml, service: base}
    environment: [B=2]
    hostname: !reset null
  two: {extends: web, user: other, volumes: !override [./own:/data]}
  three: {extends: {file: single.yaml, service: single}, command: x}
`, files)
	want := parseExtends(`
services:
  web: {user: root, image: base, volumes: [/etc/unitc/base/data:/data], environment: {A: 1, B: 2}}
  two: {user: other, image: base, volumes: [/etc/unitc/own:/data], environment: {A: 1, B: 2}}
  three: {rootfs: host, user: single, command: x}
`, nil)
	if len(got.Problems)+len(want.Problems) > 0 {
		t.Fatalf("problems:\n%s%s", got.Problems, want.Problems)
	}
	forgetPlaces(got.Services)
	forgetPlaces(want.Services)
	if diff := cmp.Diff(want.Services, got.Services); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestExtendsFaults(t *testing.T) {
	files := map[string]string{
		"/etc/unitc/bad.yaml":    "services: {bad: {image: x, mem_limit: lots}}",
		"/etc/unitc/broken.yaml": "services: [",
		"/etc/unitc/circle.yaml": "services: {a: {extends: {file: circle.yaml, service: b}}, b: {extends: {file: circle.yaml, service: a}}}",
	}
	got := parseExtends(`
services:
  a: {extends: b}
  b: {extends: a}
  c: {extends: nobody, image: x}
  d: {extends: {file: gone.yaml, service: x}, image: x}
  e: {extends: {file: bad.yaml, service: bad}}
  f: {extends: {file: broken.yaml, service: bad}, image: x}
  g: {extends: {file: circle.yaml, service: a}, image: x}
  h: {extends: [a], image: x}
  i: {extends: {service: a, fil: b}, image: x}
  self: {extends: self, image: x}
`, files)
	for _, want := range []string{
		"blog.yaml:4:16: error: services.b.extends: the service extends itself",
		"blog.yaml:5:16: error: services.c.extends: there is no service \"nobody\" to extend; there is a, b, c",
		"blog.yaml:6:16: error: services.d.extends: reading the extended file: no such file or directory",
		"/etc/unitc/bad.yaml:1:39: error: services.e.mem_limit: \"lots\" is no amount of memory",
		"/etc/unitc/broken.yaml:1:",
		"/etc/unitc/circle.yaml:1:",
		"blog.yaml:10:16: error: services.h.extends: a list, where a string or a mapping is wanted",
		"blog.yaml:11:29: error: services.i.extends.fil: unknown key; did you mean file?",
		"blog.yaml:12:19: error: services.self.extends: the service extends itself",
	} {
		if !strings.Contains(got.Problems.String(), want) {
			t.Errorf("no %q in\n%s", want, got.Problems)
		}
	}
}

// TestAliasFault: a fault behind an anchor is shown once, however many aliases
// lead to it.
func TestAliasFault(t *testing.T) {
	got := parse(parseText("blog", "x-check: &check {interval: 5}\nservices:\n  a: {image: x, healthcheck: *check}\n  b: {image: x, healthcheck: *check}\n"))
	want := "blog.yaml:1:28: error: services.a.healthcheck.interval: \"5\" is no length of time; write the unit too, as in 5s\n"
	if diff := cmp.Diff(want, got.Problems.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Of items that are the same the last takes the place of the first within a file
// too, where Compose has it so; elsewhere they are a fault.
func TestRepeats(t *testing.T) {
	const file = `services:
  web:
    image: x
    ports: ["80:80", "81:81", "80:80", {target: 81, published: 81}]
    expose: [80, 80]
    volumes: ["a:/data", "b:/other", "b:/data/"]
    env_file: [x.env, y.env, {path: x.env, required: false}]
    cap_add: [NET_ADMIN, SYS_TIME, NET_ADMIN]
    dns_opt: [rotate, rotate]
    tmpfs: ["/t:size=1m", "/t:size=2m"]
    devices: ["/dev/null:/dev/x", "/dev/zero:/dev/x"]
    secrets: [s, {source: s, mode: 0400}]
    profiles: [p, p]
    networks: {n: {aliases: [q, r, q]}}
secrets: {s: {environment: S}}
networks: {n: {}}
volumes: {a: , b: }
`
	f := parse(parseText("blog", file))
	if f.Problems.HasErrors() || len(f.Problems) != 12 {
		t.Fatalf("%d problems: %s", len(f.Problems), f.Problems)
	}
	s := &f.Services[0]
	if len(s.Ports) != 2 || len(s.Volumes) != 3 || s.Volumes[0].Source != "blog_b" || s.Volumes[0].Target != "/data" || s.Volumes[2].Size != 2<<20 ||
		len(s.EnvFiles) != 2 || !s.EnvFiles[0].Optional || len(s.CapAdd) != 2 || len(s.Devices) != 1 || s.Devices[0].Source != "/dev/zero" ||
		len(s.Secrets) != 1 || s.Secrets[0].Mode != 0o400 || len(s.Networks[0].Aliases) != 2 {
		t.Errorf("%+v", s)
	}
	if want := `blog.yaml:6:38: warning: services.web.volumes: "/data" stands twice: first at line 6; the last one counts; keep one of the two`; !strings.Contains(f.Problems.String(), want) {
		t.Errorf("%s\nlacks %s", f.Problems, want)
	}
	for _, text := range []string{
		`ports: ["80:80", "80:81"]`, `security_opt: ["no-new-privileges:true", "no-new-privileges:true"]`, `networks: [n, n]`,
		`{tmpfs: /t, volumes: ["a:/t"]}`,
	} {
		in := parseText("blog", "services: {web: {image: x, "+strings.Trim(text, "{}")+"}}\nnetworks: {n: {}}\nvolumes: {a: }\n")
		if f := parse(in); !f.Problems.HasErrors() || !strings.Contains(f.Problems.String(), "twice") {
			t.Errorf("%s: %s", text, f.Problems)
		}
	}
}

// Services that are there in the place of another may publish the same port.
func TestPortsOfProfiles(t *testing.T) {
	const file = `services:
  a: {image: x, ports: ["80:80"], profiles: [one]}
  b: {image: x, ports: ["80:81"], profiles: [two]}
  c: {image: x, ports: ["80:82"]}
  d: {image: x, ports: ["80:83"], scale: 0}
`
	for _, c := range []struct{ more, profiles, want string }{
		{"", "", ""},
		{"", "one", "blog.yaml:4:25: error: services.c.ports[0]: the host's port 80 is published twice: first at line 2"},
		{"", "*", "blog.yaml:3:25: error: services.b.ports[0]: the host's port 80 is published twice: first at line 2"},
		{"  e: {image: x, ports: ['80:84']}\n", "", "blog.yaml:6:25: error: services.e.ports[0]: the host's port 80 is published twice: first at line 4"},
	} {
		in := parseText("blog", file+c.more)
		in.Env = map[string]string{"COMPOSE_PROFILES": c.profiles}
		f := parse(in)
		if f.Problems.HasErrors() != (c.want != "") || !strings.Contains(f.Problems.String(), c.want) {
			t.Errorf("with profiles %q: %swant %s", c.profiles, f.Problems, c.want)
		}
		if len(f.Services[1].Ports) != 1 {
			t.Errorf("b has the ports %v", f.Services[1].Ports)
		}
	}
}

func TestGluedVolumeOptions(t *testing.T) {
	f := parse(parseText("web", "image: x\nvolumes: ['/a:/a:roz', '/b:/b:rwZ']\n"))
	v := f.Services[0].Volumes
	if f.Problems.HasErrors() || len(f.Problems) != 2 || !v[0].ReadOnly || v[0].SELinux != "z" || v[1].ReadOnly || v[1].SELinux != "Z" {
		t.Errorf("%s%+v", f.Problems, v)
	}
}

// TestMergeOfNetworks: as in Compose the last file's ranges count, with what was said of
// the same range before; and what another file says is there already is not made.
func TestMergeOfNetworks(t *testing.T) {
	const made = "services: {w: {image: x, networks: [n]}}\nnetworks: {n: {driver: bridge, ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.9}]}}}"
	for over, want := range map[string]string{
		"networks: {n: {ipam: {config: [{subnet: 10.9.0.0/24}]}}}":                          "n: {ipam: {config: [{subnet: 10.9.0.0/24}]}}",
		"networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24, ip_range: 10.0.0.128/25}]}}}": "n: {ipam: {config: [{subnet: 10.0.0.0/24, gateway: 10.0.0.9, ip_range: 10.0.0.128/25}]}}",
		"networks: {n: {ipam: {config: [{subnet: 'fd00::/64'}, {subnet: 10.0.0.0/24}]}}}":   "n: {ipam: {config: [{subnet: 'fd00::/64'}, {subnet: 10.0.0.0/24, gateway: 10.0.0.9}]}}",
		"networks: {n: {external: true, name: other}}":                                      "n: {external: true, name: other}",
		"networks: {n: {ipam: !override {config: [{subnet: 10.0.0.0/24}]}}}":                "n: {ipam: {config: [{subnet: 10.0.0.0/24}]}}",
	} {
		got, expected := parseLayers(made, over), parseLayers("services: {w: {image: x, networks: [n]}}\nnetworks: {"+want+"}")
		if got.Problems.HasErrors() || expected.Problems.HasErrors() {
			t.Errorf("%s:\n%s%s", over, got.Problems, expected.Problems)
		}
		one, other := got.Networks[0], expected.Networks[0]
		one.Source, other.Source = definition.Position{}, definition.Position{}
		if diff := cmp.Diff(other, one); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", over, diff)
		}
	}
	if f := parseLayers(made, "networks: {n: {external: true, driver: macvlan}}"); !f.Problems.HasErrors() {
		t.Error("a file may describe what it says exists already")
	}
}

// Secrets and configs of one name in different directories are two.
func TestGrantsInDirectories(t *testing.T) {
	const text = "services: {web: {image: x, secrets: [{source: a, target: /etc/a/key}, {source: a, target: /etc/b/key}, a, {source: b, target: /run/secrets/a}], configs: [{source: c, target: /c}, c]}}\n" +
		"secrets: {a: {file: ./a}, b: {file: ./b}}\nconfigs: {c: {content: c}}\n"
	f := parse(parseText("blog", text))
	if f.Problems.HasErrors() || len(f.Problems) != 2 {
		t.Fatalf("%d problems: %s", len(f.Problems), f.Problems)
	}
	s := &f.Services[0]
	if len(s.Secrets) != 3 || s.Secrets[2].Source != "b" || len(s.Configs) != 1 {
		t.Errorf("%+v %+v", s.Secrets, s.Configs)
	}
}
