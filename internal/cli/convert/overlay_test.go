// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"strings"
	"testing"
)

// Each option that `unitc run` has is one of the table, and becomes a key.
func TestRunOptions(t *testing.T) {
	for _, name := range ofRun {
		if o := optionOf(name); o == nil || !strings.HasPrefix(o.becomes, "`") {
			t.Errorf("--%s: %v", name, o)
		}
	}
	if got := len(RunOptions()); got != len(ofRun) {
		t.Errorf("%d options of %d", got, len(ofRun))
	}
}

func TestOverlay(t *testing.T) {
	for _, c := range []struct {
		given []Given
		want  string
	}{
		{nil, ""},
		{[]Given{{"sysctl", "net.core.somaxconn=1"}, {"group-add", "video"}, {"group-add", "7"}, {"no-healthcheck", "true"}}, "group_add:\n  - video\n"},
		{[]Given{{"mount", "type=bind,src=./x,dst=/y,ro"}}, "volumes:\n  - /srv/here/x:/y:ro\n"},
		{[]Given{{"runtime", "runc"}}, ""},
		{[]Given{{"annotation", "a=$b"}}, "a: \"$$b\"\n"},
		{[]Given{{"mount", "type=npipe,src=a,dst=/b"}}, "--mount: mounts of type npipe; write volumes:"},
	} {
		text, _, err := Overlay(Host{Dir: "/srv/here"}, c.given)
		got := string(text)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%v becomes\n%s", c.given, got)
		}
	}
}

func TestInstead(t *testing.T) {
	for name, want := range map[string]string{
		"sig-proxy": "leave it away: ", "oom-kill-disable": "cgroup v2 cannot keep", "restart": "in a definition it becomes restart: `unitc convert", "P": "which ports the image exposes", "nonsense": "", "Z": "",
	} {
		if got := Instead(name); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
