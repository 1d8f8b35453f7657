// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/definition"
)

// names are the services of a file, with what each depends on.
func names(t *testing.T, name, text string) string {
	t.Helper()
	file := parse(parseText(name, text))
	if file.Problems.HasErrors() {
		t.Fatalf("%s\n%s", text, file.Problems)
	}
	var all []string
	for _, s := range file.Services {
		word := s.Name
		for _, d := range s.DependsOn {
			word += ">" + d.Service
		}
		all = append(all, word)
	}
	return fmt.Sprint(file.Project, " ", strings.Join(all, " "))
}

func TestScale(t *testing.T) {
	for text, want := range map[string]string{
		"services:\n  db: {rootfs: host, scale: 2}\n  web: {rootfs: host, deploy: {replicas: 2}, depends_on: [db]}\n": "true blog-db-1 blog-db-2 blog-web-1>blog-db-1>blog-db-2 blog-web-2>blog-db-1>blog-db-2",
		"services: {web: {rootfs: host, scale: 1}}": "true blog-web",
		"services: {web: {rootfs: host, scale: 0}}": "true blog-web",
		"{rootfs: host, deploy: {replicas: 2}}":     "true blog-1 blog-2",
		"{rootfs: host, scale: 1}":                  "false blog",
	} {
		if got := names(t, "blog", text); got != want {
			t.Errorf("%s\ngives %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"{rootfs: host, scale: 2, container_name: x}":                            "one name: container_name at line 1",
		"{rootfs: host, scale: 2, ports: [\"80:80\"]}":                           "one port",
		"{rootfs: host, scale: 2, deploy: {replicas: 3}}":                        "deploy.replicas at",
		"services: {a: {rootfs: host, scale: 999}, b: {rootfs: host, scale: 2}}": "more than 1000 instances",
	} {
		if file := parse(parseText("blog", text)); !strings.Contains(file.Problems.String(), want) {
			t.Errorf("%s\ngives %s, want %q", text, file.Problems, want)
		}
	}
	if file := parse(parseText("worker@", "{rootfs: host, scale: 2}")); !strings.Contains(file.Problems.String(), "a template has no number") {
		t.Errorf("a template gives %s", file.Problems)
	}
}

func TestRollout(t *testing.T) {
	number := func(n int) *int { return &n }
	span := func(d time.Duration) *time.Duration { return &d }
	for text, want := range map[string]*definition.Rollout{
		"{replicas: 2}": nil,
		"{replicas: 2, update_config: {parallelism: 0}}":                        {Parallelism: number(0)},
		"{replicas: 2, update_config: {delay: 10s, order: stop-first}}":         {Delay: 10 * time.Second},
		"{replicas: 2, update_config: {monitor: 0s, failure_action: continue}}": {Monitor: span(0), Continue: true},
		"{replicas: 2, update_config: {monitor: 1m, failure_action: rollback}}": {Monitor: span(time.Minute)},
		"{replicas: 9, update_config: {parallelism: 3, failure_action: pause}}": {Parallelism: number(3)},
	} {
		file := parse(parseText("blog", "services: {web: {rootfs: host, deploy: "+text+"}}"))
		if len(file.Problems) > 0 || !reflect.DeepEqual(file.Services[1].Rollout, want) {
			t.Errorf("%s gives %+v %s", text, file.Services[1].Rollout, file.Problems)
		}
	}
	for text, want := range map[string]string{
		"{parallelism: -1}":         "parallelism",
		"{parallelism: many}":       "parallelism",
		"{delay: soon}":             "delay",
		"{order: start-first}":      "deploy.update_config.order: an instance is stopped before",
		"{max_failure_ratio: 0.5}":  "only a Swarm cluster obeys",
		"{failure_action: explode}": "failure_action",
	} {
		if file := parse(parseText("blog", "services: {web: {rootfs: host, deploy: {replicas: 2, update_config: "+text+"}}}")); !strings.Contains(file.Problems.String(), want) {
			t.Errorf("%s gives %s, want %q", text, file.Problems, want)
		}
	}
}
