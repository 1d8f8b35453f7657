// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// Each option that has values to offer is there, and takes them.
func TestOptionValues(t *testing.T) {
	root := testApp().command()
	for verb, options := range optionValues {
		cmd, _, err := root.Find([]string{verb})
		if err != nil || cmd == root {
			t.Errorf("there is no verb %s", verb)
			continue
		}
		for name := range options {
			if cmd.Flags().Lookup(name) == nil {
				t.Errorf("unitc %s has no --%s", verb, name)
			}
		}
	}
	for _, name := range optionValues["kill"]["signal"] {
		if _, err := signalNumber(name); err != nil {
			t.Errorf("unitc kill -s %s: %v", name, err)
		}
	}
	if _, _, err := parseFilters(optionValues["ps"]["filter"]); err != nil {
		t.Error(err)
	}
}
