// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"testing"
)

// Each verb that users have is one; those that they have not are a decision.
func TestVerbsOfUsers(t *testing.T) {
	refused := []string{"boot", "devices", "oci"}
	known := slices.Concat(verbsOfUsers, verbsOfStores, refused)
	a := &app{}
	for _, cmd := range a.command().Commands() {
		if !slices.Contains(known, cmd.Name()) && !cmd.Hidden {
			t.Errorf("%s is a verb of nobody's", cmd.Name())
		}
		known = slices.DeleteFunc(known, func(name string) bool { return name == cmd.Name() })
	}
	if len(known) > 0 {
		t.Errorf("there are no verbs %q", known)
	}
}

func TestTakeUser(t *testing.T) {
	for _, c := range []struct {
		args, rest []string
		user       bool
	}{
		{[]string{"--user", "exec", "web", "--user", "x"}, []string{"exec", "web", "--user", "x"}, true},
		{[]string{"exec", "--user", "x", "web"}, []string{"exec", "--user", "x", "web"}, false},
		{[]string{"__complete", "--user", "ps", ""}, []string{"__complete", "ps", ""}, true},
		{nil, nil, false},
	} {
		a := &app{}
		if rest := a.takeUser(c.args); !slices.Equal(rest, c.rest) || a.user != c.user {
			t.Errorf("%q leaves %q, %v", c.args, rest, a.user)
		}
	}
}
