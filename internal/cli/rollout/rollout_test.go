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
		"nothing": {nil, ""},
		"no service has several": {append(instances("db", 1, nil, false), instances("web", 1, nil, false)...),
			"db web"},
		"one after the other": {append(instances("web", 3, nil, false), instances("db", 1, nil, false)...),
			"web-1 db [web-1 5s] | web-2 [web-2 5s] | web-3"},
		"a check is all that is waited for": {instances("web", 2, nil, true),
			"web-1 [web-1 0s] | web-2"},
		"two at once, with a pause": {instances("web", 5, &definition.Rollout{Parallelism: &two, Delay: time.Minute, Monitor: &second}, true),
			"web-1 web-2 [web-1 web-2 1s] | 1m0s web-3 web-4 [web-3 web-4 1s] | 1m0s web-5"},
		"all at once": {instances("web", 3, &definition.Rollout{Parallelism: &none, Delay: time.Minute}, false),
			"web-1 web-2 web-3"},
		"two services side by side": {append(instances("web", 2, &definition.Rollout{Continue: true}, false), instances("api", 3, &definition.Rollout{Continue: true}, false)...),
			"web-1 api-1 [web-1 api-1 5s go on] | web-2 api-2 [api-2 5s go on] | api-3"},
		"who goes on does not do so for others": {append(instances("web", 2, &definition.Rollout{Continue: true}, true), instances("api", 2, nil, true)...),
			"web-1 api-1 [web-1 api-1 0s] | web-2 api-2"},
		"by their numbers": {append(instances("web", 11, nil, true)[9:], instances("web", 11, nil, true)[1:2]...),
			"web-2 [web-2 0s] | web-10 [web-10 0s] | web-11"},
	} {
		var steps []string
		for _, s := range Steps(c.units) {
			text := strings.Join(s.Units, " ")
			if s.Delay > 0 {
				text = s.Delay.String() + " " + text
			}
			if len(s.Instances) > 0 {
				text += " [" + strings.Join(s.Instances, " ") + " " + s.Monitor.String()
				if s.Continue {
					text += " go on"
				}
				text += "]"
			}
			steps = append(steps, text)
		}
		if got := strings.Join(steps, " | "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
