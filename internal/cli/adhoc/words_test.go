// SPDX-License-Identifier: Apache-2.0

package adhoc

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	u := &Unit{dir: Prefix() + "x"}
	for text, want := range map[string]string{
		Prefix() + "x/x.yaml:1:19: error: open-rootfs: open_tree /nowhere: no such file; create it or correct `rootfs:`":    "open-rootfs: open_tree /nowhere: no such file; create it or correct `--rootfs`",
		Prefix() + "x/x.yaml:1:19: error: exec-payload: x; write it in `command:`, or `ls -l` there\nports[0]: \"7\" is no": "exec-payload: x; write it in the command, or `ls -l` there\n--publish: \"7\" is no",
		"mem_limit: \"1\" is 1 byte":                "--memory: \"1\" is 1 byte",
		"ulimits.nofile: x; write `ulimits: {a}`":   "--ulimit: x; write `--ulimit {a}`",
		"run `systemctl daemon-reload`; no backqu`": "run `systemctl daemon-reload`; no backqu`",
		"": "",
	} {
		if got := u.Words(text); got != want {
			t.Errorf("%q\n becomes %q\n want    %q", text, got, want)
		}
	}
}

// ofPlace are keys below a network: what is said of them has its name in front.
var ofPlace = []string{"aliases", "ipv4_address", "ipv6_address", "mac_address", "priority"}

// Every key that options become has its option.
func TestWordsKnowEveryOption(t *testing.T) {
	o := &Options{Image: "i", RootFS: "/", Command: []string{"a"}, readOnly: true, init: true, privileged: true, pids: 1}
	v := reflect.ValueOf(o).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		name := v.Type().Field(i).Name
		switch f.Kind() {
		case reflect.String:
			if f.String() == "" {
				reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().SetString("1")
			}
		case reflect.Slice:
			value := []string{"a=1"}
			if name == "envFiles" {
				value = nil
			}
			if name == "networks" || name == "aliases" {
				value = []string{"a"}
			}
			if f.Type().Elem().Kind() != reflect.String {
				continue // the table of package convert has their keys
			}
			reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem().Set(reflect.ValueOf(value))
		}
	}
	text, err := o.definition()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, part := range strings.Split(string(text), `"`) {
		if strings.Contains(string(text), `"`+part+`":`) && part != "pull_policy" && part != "a" && part != "soft" && part != "hard" && !slices.Contains(ofPlace, part) {
			if n++; optionOf[part] == "" {
				t.Errorf("%s has no option", part)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d keys in %s", n, text)
	}
}
