// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/definition"
)

func instances(key string, n int, r *definition.Rollout, checked bool) (list []Unit) {
	for i := range n {
		name := key
		if n > 1 {
			name = fmt.Sprintf("%s-%d", key, i+1)
		}
		list = append(list, Unit{Name: name, Checked: checked, Service: &definition.Service{Name: "p-" + name, Project: "p", Key: key, Replicas: &n, Rollout: r}})
	}
	return list
}

func TestSteps(t *testing.T) {
	two, none, second := 2, 0, time.Second
	for name, c := range map[string]struct {
		units []Unit
		want  string
	}{
		"nothing": {nil, "( in any case )"},
		"no service has several": {append(instances("db", 1, nil, false), instances("web", 1, nil, false)...),
			"db web ( in any case )"},
		"one after the other": {append(instances("web", 3, nil, false), instances("db", 1, nil, false)...),
			"db ( web-1 for 5s ) | ( web-2 for 5s ) | ( web-3 in any case )"},
		"a check is all that is waited for": {instances("web", 2, nil, true),
			"( web-1 ) | ( web-2 in any case )"},
		"two at once, with a pause": {instances("web", 5, &definition.Rollout{Parallelism: &two, Delay: time.Minute, Monitor: &second}, true),
			"( web-1 web-2 for 1s ) | ( behind 1m0s web-3 web-4 for 1s ) | ( behind 1m0s web-5 in any case )"},
		"all at once": {instances("web", 3, &definition.Rollout{Parallelism: &none, Delay: time.Minute}, false),
			"( web-1 web-2 web-3 in any case )"},
		"two services side by side": {append(instances("web", 2, &definition.Rollout{Continue: true}, false), instances("api", 3, &definition.Rollout{Continue: true}, false)...),
			"( web-1 api-1 for 5s in any case ) | ( web-2 api-2 for 5s in any case ) | ( api-3 in any case )"},
		"who goes on does not do so for others": {append(instances("web", 2, &definition.Rollout{Continue: true}, true), instances("api", 2, nil, true)...),
			"( web-1 api-1 ) | ( web-2 api-2 in any case )"},
		"by their numbers": {append(instances("web", 11, nil, true)[9:], instances("web", 11, nil, true)[1:2]...),
			"( web-2 ) | ( web-10 ) | ( web-11 in any case )"},
	} {
		var steps []string
		for _, s := range Steps(c.units) {
			words := append(s.Others, "(")
			if s.Delay > 0 {
				words = append(words, "behind "+s.Delay.String())
			}
			words = append(words, s.Instances...)
			if s.Monitor > 0 {
				words = append(words, "for "+s.Monitor.String())
			}
			if s.Continue {
				words = append(words, "in any case")
			}
			text := strings.Join(append(words, ")"), " ")
			steps = append(steps, text)
		}
		if got := strings.Join(steps, " | "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
