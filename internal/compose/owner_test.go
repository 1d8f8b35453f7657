// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/syntax/library"
)

// TestOwners: a fault keeps those services of a project from starting that have it, by
// whatever way, and no other one.
func TestOwners(t *testing.T) {
	for _, c := range []struct{ name, text, broken string }{
		{"unknown key", "services: {a: {image: x, imagee: y}, b: {image: x}}", "a"},
		{"required variable", "services: {a: {image: x, environment: ['A=${GONE:?}']}, b: {image: x}}", "a"},
		{"profile", "services: {a: {image: '${GONE:?}', profiles: [p]}, b: {image: x}}", "a"},
		{"names that begin alike", "services: {a: {image: x}, a-b: {image: x, userr: y}, a.c: {image: x, init: 7}}", "a-b a.c"},
		{"part of a made mapping", "services: {a: {image: x, sysctls: ['=1']}, b: {image: x}}", "a"},
		{"no file to extend", "services: {a: {extends: {file: gone.yaml, service: s}}, b: {extends: {file: gone.yaml, service: s}}, c: {image: x}}", "a b"},
		{"no service to extend", "services: {a: {image: x, extends: {service: gone}}, b: {extends: {service: a}, image: x}, c: {image: x}}", "a b"},
		{"in what is extended", "services: {a: {image: x, environment: ['A=${GONE:?}']}, b: {extends: {service: a}}, c: {image: x}}", "a b"},
		{"replaced in what extends", "services: {a: {image: x, user: '${GONE:?}'}, b: {extends: {service: a}, user: root}, c: {image: x}}", "a"},
		{"wrong in what is extended", "services: {a: {image: x, init: 7}, b: {extends: {service: a}}, c: {image: x}}", "a b"},
		{"anchor", "services: {a: &a {image: x, init: 7}, b: *a, c: {<<: *a, command: x}, d: {image: x}}", "a b c"},
		{"anchor with a variable", "services: {a: {image: x, environment: &e {A: '${GONE:?}'}}, b: {image: x, environment: {<<: *e, B: c}}, d: {image: x}}", "a b"},
		{"circle", "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}, c: {image: x}}", "b"},
		{"no such service", "services: {a: {image: x, depends_on: [gone]}, b: {image: x, depends_on: [a]}}", "a"},
		{"one port for two", "services: {a: {image: x, ports: ['80:80']}, b: {image: x, ports: ['80:80']}, c: {image: x}}", "b"},
		{"instances", "services: {a: {image: x, scale: 2, container_name: n}, b: {image: x, scale: 2}}", "a"},
		{"no mapping", "services: {a: hello, b: {image: x}}", "a"},
		{"a network", "services: {a: {image: x, networks: [n]}, b: {image: x, networks: {n: {aliases: [y]}, m: }}, c: {image: x, networks: [m]}, d: {image: x}}\nnetworks: {n: {internl: true}, m: }", "a b"},
		{"a network of another kind", "services: {a: {image: x, networks: [n]}, b: {image: x}}\nnetworks: {n: {driver: overlay}}", "a"},
		{"a network with a variable", "services: {a: {image: x, networks: [n]}, b: {image: x}}\nnetworks: {n: {name: '${GONE:?}'}}", "a"},
		{"the project's own network", "services: {a: {image: x}, b: {image: x, networks: [m]}, c: {image: x, networks: []}, d: {image: x, networks: [default, m]}}\nnetworks: {default: {internl: true}, m: }", "a c d"},
		{"a network that nobody uses", "services: {a: {image: x}, b: {image: x}}\nnetworks: {n: {drivr: x}}", ""},
		{"a volume", "services: {a: {image: x, volumes: ['v:/v:ro']}, b: {image: x, volumes: [{type: volume, source: v, target: /v}]}, c: {image: x, volumes: ['/v:/v', w:/w]}}\nvolumes: {v: {driver: plugin}, w: }", "a b"},
		{"a volume of one that is extended", "services: {a: {image: x, volumes: ['v:/v']}, b: {extends: {service: a}}, c: {image: x}}\nvolumes: {v: {driver: plugin}}", "a b"},
		{"a secret", "services: {a: {image: x, secrets: [s]}, b: {image: x, secrets: [{source: s, target: t}]}, c: {image: x, build: {context: /c, secrets: [s]}}, d: {image: x, secrets: [t]}}\nsecrets: {s: {fil: x}, t: {file: ./t}}", "a b c"},
		{"a config", "services: {a: {image: x, configs: [s]}, b: {image: x, secrets: [s]}}\nconfigs: {s: {fil: x}}\nsecrets: {s: {file: ./x}}", "a"},
		{"all networks", "services: {a: {image: x, networks: [n]}, b: {image: x}}\nnetworks: [n]", "a b"},
		{"a key that stands twice", "services: {a: {image: x, image: y}, b: {image: x}}", "a b"},
		{"a service that stands twice", "services: {a: {image: x}, b: {image: x}, a: {image: y}}", "a b"},
		{"beside the services", "services: {a: {image: x}, b: {image: x}}\nimage: x", "a b"},
		{"more than are looked at", "services:\n  a:\n    image: x\n" + unknown(2*maxProblems) + "  b: {image: x, init: 7}\n  c: {image: x}\n", "a b c"},
		{"as many as are shown", "services:\n  a:\n    image: x\n" + unknown(maxProblems) + "  b: {image: x, init: 7}\n", "a b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := Parse(Input{Name: "x", Dir: "/etc/unitc", Layers: []Layer{{Path: "x.yaml", Data: []byte(c.text)}}, Library: library.Full,
				Read: func(string) ([]byte, error) { return nil, errors.New("gone") }})
			var broken []string
			for i := range f.Services {
				if s := &f.Services[i]; f.ProblemsOf(s).HasErrors() && !slices.Contains(broken, s.Key) {
					broken = append(broken, s.Key)
				}
			}
			if got := strings.Join(broken, " "); got != c.broken {
				t.Errorf("broken are %q, want %q\n%s", got, c.broken, f.Problems)
			}
		})
	}
}

func unknown(count int) string {
	var b strings.Builder
	for i := range count {
		b.WriteString("    key" + itoa(i) + ": x\n")
	}
	return b.String()
}

// TestLinksAreDependencies, unless depends_on says otherwise.
func TestLinksAreDependencies(t *testing.T) {
	const text = "services: {db: {image: x}, a: {image: x, links: ['db:database']}, b: {image: x, links: [db], depends_on: {db: {condition: service_healthy, required: false}}}, c: {image: x, depends_on: [db], links: [db]}}"
	f := Parse(Input{Name: "x", Layers: []Layer{{Path: "x.yaml", Data: []byte(text)}}, Library: library.Full})
	for i, want := range []definition.Dependency{{}, {Service: "x-db", Condition: "service_started"}, {Service: "x-db", Condition: "service_healthy", Optional: true}, {Service: "x-db", Condition: "service_started"}} {
		if s := &f.Services[i]; i > 0 && (len(s.DependsOn) != 1 || s.DependsOn[0] != want) {
			t.Errorf("%s depends on %+v, want %+v", s.Name, s.DependsOn, want)
		}
	}
}
